"""The learning rate over training, as a pure function of the update: nothing to save, nothing to resume."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from ebmnist.errors import BadInput

Shape = Literal["constant", "cosine", "exponential"]


@dataclass(frozen=True)
class Schedule:
    """lr(step) = lr · warm-up(step) · shape(step / n_updates).

    Raises:
        BadInput: a field out of its range.

    >>> [round(Schedule("cosine", warmup=2).factor(step, 10), 2) for step in (0, 1, 2, 5, 9)]
    [0.5, 0.98, 0.9, 0.5, 0.02]
    """

    kind: Shape = "constant"
    """Shape after the warm-up: constant, cosine to zero (Loshchilov & Hutter 2017), or exponential in stairs."""
    warmup: int = 0
    """Updates over which the rate rises linearly from near zero, ≥ 0."""
    horizon: int | None = None
    """cosine: updates over which it falls, ≥ 1; null for all of the run's. A longer one stops short of zero."""
    decay: float = 0.97
    """exponential: factor per stair, in (0, 1]."""
    decay_every: int = 429
    """exponential: updates per stair, ≥ 1 (429 is an epoch of 55,000 images in batches of 128)."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Shape):
            raise BadInput(f"schedule: kind must be one of {', '.join(get_args(Shape))}, not {self.kind!r}")
        if self.warmup < 0 or not 0 < self.decay <= 1 or self.decay_every < 1:
            raise BadInput("schedule: warmup must be ≥ 0, decay in (0, 1] and decay_every ≥ 1")
        if self.horizon is not None and self.horizon < 1:
            raise BadInput(f"schedule: horizon must be ≥ 1 or null, not {self.horizon}")

    def factor(self, step: int, n_updates: int) -> float:
        """What the base learning rate is multiplied by at `step`, counted from 0."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.kind == "cosine":
            return warm * 0.5 * (1 + math.cos(math.pi * min(step / (self.horizon or n_updates), 1.0)))
        if self.kind == "exponential":
            return warm * float(self.decay ** (step // self.decay_every))
        return warm
