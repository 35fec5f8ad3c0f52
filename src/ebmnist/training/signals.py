"""What the guard looks at: one record in, the signs of trouble out. A pure function of record and memory."""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from ebmnist.training.base import StepRecord


class Severity(IntEnum):
    """How bad a signal is, mildest first."""

    WATCH = 0  # bad only if it lasts
    EASE = 1
    CLEAN = 2
    ROLL_BACK = 3


class Signal(NamedTuple):
    """A sign of trouble: how bad, and what was seen, in words a person reads in `events.jsonl`."""

    severity: Severity
    words: str


@dataclass(frozen=True)
class Limits:
    """Where normal ends. Scales are the run's own running means, or the energy regulariser's natural scale."""

    energy_growth: float = 20.0
    """max|E| above this many times its running mean, and above as many times 1/(2λ), is a blow-up."""
    gap_growth: float = 10.0
    """|E(x⁻) − E(x⁺)| above this many times its running mean is a spike."""
    gap_saturation: float = 0.9
    """A gap above this share of 1/λ, the regulariser's own optimum, means the chains no longer follow the energy."""
    grad_growth: float = 10.0
    """‖∂L/∂θ‖ above this many times its running geometric mean is a spike."""
    share_clipped: float = 0.98
    """Share of clipped Langevin components above which ∇E has exploded."""
    share_at_clamp: float = 0.5
    """Excess share of x⁻'s pixels at the clamp, over x⁺'s, above which the chains are stuck there."""
    displacement: float = 1e-4
    """Distance ‖x_K − x_0‖ below which chains do not move."""
    diversity: float = 0.4
    """Pairwise distance within x⁻, relative to x⁺'s, below which the chains have collapsed."""
    settling: int = 50
    """Updates before the running means are trusted."""


class Running(NamedTuple):
    """Exponential running means of healthy records, with the number seen."""

    n_seen: int = 0
    energy_max: float = 0.0
    gap: float = 0.0  # of |gap|
    log_grad: float = 0.0  # of log ‖∂L/∂θ‖

    def after(self, record: StepRecord, decay: float = 0.98) -> "Running":
        """The means with one more healthy record in them."""
        # Unbiased from the first record on: the weight of the past grows to `decay`.
        keep = min(decay, self.n_seen / (self.n_seen + 1))
        new = (record.energy_max, abs(record.gap), math.log(max(record.weight_grad_norm, 1e-30)))
        return Running(
            self.n_seen + 1, *(keep * a + (1 - keep) * b for a, b in zip(self[1:], new, strict=True))
        )


def signals_in(record: StepRecord, running: Running, limits: Limits) -> list[Signal]:
    """Every signal that `record` gives; an empty list is a healthy update."""
    broken = _not_finite(record)
    return broken or [*_too_large(record, running, limits), *_rotten_chains(record, limits)]


def _not_finite(r: StepRecord) -> list[Signal]:
    if not math.isfinite(r.weight_norm):
        return [Signal(Severity.ROLL_BACK, "a weight is not finite")]
    if not math.isfinite(r.energy_pos):
        return [Signal(Severity.ROLL_BACK, "the energy of real images is not finite")]
    if r.finite_images < 1:
        return [Signal(Severity.CLEAN, "a negative image is not finite")]
    if not math.isfinite(r.energy_max):
        return [Signal(Severity.ROLL_BACK, "the energy of negative images is not finite")]
    if not math.isfinite(r.weight_grad_norm) or not math.isfinite(r.loss):
        return [Signal(Severity.EASE, "the weight gradient is not finite: update skipped")]
    return []


def _too_large(r: StepRecord, running: Running, limits: Limits) -> list[Signal]:
    found = []
    natural = 0.5 / r.energy_l2 if r.energy_l2 > 0 else 0.0  # |E| at the regulariser's optimum, 1/(2λ)
    settled = running.n_seen >= limits.settling
    ceiling = limits.energy_growth * max(running.energy_max, natural)
    if r.energy_max > ceiling > 0 and (settled or natural):
        found.append(Signal(Severity.ROLL_BACK, f"|E| grew to {r.energy_max:.3g}, beyond {ceiling:.3g}"))
    if settled:
        usual = math.exp(running.log_grad)
        if r.weight_grad_norm > limits.grad_growth * usual:
            words = f"weight-gradient norm {r.weight_grad_norm:.3g}, usually {usual:.3g}"
            found.append(Signal(Severity.EASE, words))
        if abs(r.gap) > limits.gap_growth * running.gap and abs(r.gap) > 0.1 * natural:
            found.append(Signal(Severity.EASE, f"energy gap {r.gap:.3g}, usually ±{running.gap:.3g}"))
    if natural and r.gap > limits.gap_saturation * 2 * natural:
        found.append(Signal(Severity.WATCH, f"energy gap {r.gap:.3g} is pinned at the regulariser's optimum"))
    if r.share_clipped > limits.share_clipped:
        found.append(Signal(Severity.WATCH, f"{r.share_clipped:.0%} of the Langevin components are clipped"))
    return found


def _rotten_chains(r: StepRecord, limits: Limits) -> list[Signal]:
    found = []
    if r.displacement < limits.displacement:
        found.append(Signal(Severity.WATCH, f"chains do not move: {r.displacement:.2g} from start to end"))
    if r.diversity < limits.diversity:
        words = f"negatives have collapsed: pairwise distance {r.diversity:.2f} of the data's"
        found.append(Signal(Severity.CLEAN, words))
    if r.share_at_clamp > limits.share_at_clamp:
        words = f"negatives stuck at the clamp: {r.share_at_clamp:.0%} more pixels there than in the data"
        found.append(Signal(Severity.CLEAN, words))
    return found
