"""What is usual in a run: running means of its own magnitudes, against which the guard judges the next update."""

import math
from typing import NamedTuple

from ebmnist.training.base import StepRecord


class Running(NamedTuple):
    """Running geometric means of a run's magnitudes, and the number of updates seen."""

    n_seen: int = 0
    energy_max: float = 1.0
    gap: float = 1.0  # |E(x⁻) − E(x⁺)|
    weight_grad_norm: float = 1.0
    grad_norm: float = 1.0
    displacement: float = 1.0
    unclipped: float = 1.0  # share of the Langevin gradient's components that were not clipped

    def after(self, record: StepRecord, *, settling: int, decay: float = 0.98) -> "Running":
        """Return the means with one more record in them; what is not finite teaches nothing.

        Once `settling` records were seen, an outlier counts as at most ten times, at least a tenth of, the usual:
        a spike must not become usual; a lasting change may, slowly.
        """
        # Unbiased from the first record on: the weight of the past grows to `decay`.
        keep = min(decay, self.n_seen / (self.n_seen + 1))
        bound = 10.0 if self.n_seen >= settling else math.inf
        means = [
            usual**keep * min(max(now, usual / bound), usual * bound) ** (1 - keep) if math.isfinite(now) else usual
            for usual, now in zip(self[1:], magnitudes(record)[1:], strict=True)
        ]
        return Running(self.n_seen + 1, *means)


def magnitudes(r: StepRecord) -> Running:
    """Return what `Running` follows as it stands in one record: ≥ 1e-12, so that it has a logarithm, or NaN."""
    values = (r.energy_max, abs(r.gap), r.weight_grad_norm, r.grad_norm, r.displacement, 1 - r.share_clipped)
    return Running(1, *(value if math.isnan(value) else max(value, 1e-12) for value in values))
