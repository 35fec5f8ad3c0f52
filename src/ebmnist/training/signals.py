"""What the guard looks at: an update in, the signs of trouble out. Pure functions of record and memory."""

import math
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import NamedTuple

from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.training.base import StepRecord
from ebmnist.training.running import Running, magnitudes


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
    """Where normal ends, relative to what is usual in the run (`Running`), to the data, or to the regulariser.

    Raises:
        BadInput: a limit that is not > 0.
    """

    settling: int = 100
    """Updates before the running means are trusted: a young run swings wildly, and needs no answer for it."""
    energy_growth: float = 10.0
    """max|E| above this many times its usual, and above as many times the regulariser's 1/(2λ), is a blow-up."""
    gap_growth: float = 10.0
    """|E(x⁻) − E(x⁺)| above this many times its usual, and above a tenth of 1/(2λ), is a spike."""
    gap_saturation: float = 0.9
    """A gap above this share of 1/λ, the regulariser's own optimum, means the chains no longer follow the energy."""
    gap_collapse: float = 1e-4
    """|E(x⁻) − E(x⁺)| below this share of its usual, for long: the energy no longer tells anything apart."""
    weight_grad_growth: float = 10.0
    """‖∂L/∂θ‖ above this many times its usual is a spike."""
    grad_collapse: float = 0.02
    """‖∂E/∂x‖ below this share of its usual leaves the chains nothing to follow."""
    clipping: float = 0.02
    """Share of unclipped Langevin components, relative to its usual, below which ∇E has exploded."""
    displacement: float = 0.01
    """‖x_K − x_0‖ relative to its usual, below which the chains stand still."""
    share_at_clamp: float = 0.8
    """Share of x⁻'s pixels at the clamp, in excess of clean data's, above which the chains are stuck there."""
    diversity: float = 0.4
    """Pairwise distance within x⁻, relative to x⁺'s, below which the chains have collapsed."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise BadInput(f"guard: limits.{name} must be > 0, not {value}")


def signals_in(record: StepRecord, running: Running, limits: Limits, natural: float = 0.0) -> list[Signal]:
    """Return every signal that `record` gives; none is a healthy update.

    `natural` is the size of |E| at the energy regulariser's optimum, 1/(2λ) before any easing; 0 for no regulariser.
    """
    if broken := _not_finite(record):
        return [broken]
    usual = running if running.n_seen >= limits.settling else None
    return [*_too_large(record, usual, limits, natural), *_too_small(record, usual, limits), *_rotten(record, limits)]


def not_finite_in(tensors: dict[str, Tensor]) -> list[Signal]:
    """Return a signal for what holds a NaN or an infinity among a snapshot's tensors: chains, or anything else."""
    broken = sorted(k for k, v in tensors.items() if v.is_floating_point() and not v.isfinite().all())
    rotten = [name for name in broken if name.startswith("start.")]
    severity = Severity.CLEAN if rotten == broken else Severity.ROLL_BACK
    return [Signal(severity, f"{broken[0]} is not finite")] if broken else []


def _not_finite(r: StepRecord) -> Signal | None:
    if not math.isfinite(r.weight_norm):
        return Signal(Severity.ROLL_BACK, "a weight is not finite")
    if not math.isfinite(r.energy_pos):
        return Signal(Severity.ROLL_BACK, "the energy of real images is not finite")
    if r.finite_images < 1:
        return Signal(Severity.CLEAN, "a negative image is not finite: update skipped")
    if not math.isfinite(r.energy_max):
        return Signal(Severity.ROLL_BACK, "the energy of negative images is not finite")
    if not math.isfinite(r.weight_grad_norm) or not math.isfinite(r.loss):
        return Signal(Severity.EASE, "the loss or its weight gradient is not finite: update skipped")
    return None


def _too_large(r: StepRecord, usual: Running | None, limits: Limits, natural: float) -> list[Signal]:
    found, gap = [], abs(r.gap)
    ceiling = limits.energy_growth * max(usual.energy_max if usual else 0.0, natural)
    if 0 < ceiling < r.energy_max:
        found.append(Signal(Severity.ROLL_BACK, f"|E| grew to {r.energy_max:.3g}, beyond {ceiling:.3g}"))
    if usual and r.weight_grad_norm > limits.weight_grad_growth * usual.weight_grad_norm:
        words = f"weight-gradient norm {r.weight_grad_norm:.3g}, usually {usual.weight_grad_norm:.3g}"
        found.append(Signal(Severity.EASE, words))
    if usual and gap > max(limits.gap_growth * usual.gap, 0.1 * natural):
        found.append(Signal(Severity.EASE, f"energy gap {r.gap:.3g}, usually ±{usual.gap:.3g}"))
    if natural and r.gap > limits.gap_saturation * 2 * natural:
        found.append(Signal(Severity.WATCH, f"energy gap {r.gap:.3g} is pinned at the regulariser's optimum"))
    return found


def _too_small(r: StepRecord, usual: Running | None, limits: Limits) -> list[Signal]:
    if usual is None:
        return []
    found, now = [], magnitudes(r)
    if now.gap < limits.gap_collapse * usual.gap:
        found.append(f"energy gap collapsed to {r.gap:.1g}, usually ±{usual.gap:.3g}")
    if now.grad_norm < limits.grad_collapse * usual.grad_norm:
        found.append(f"‖∂E/∂x‖ collapsed to {r.grad_norm:.1g}, usually {usual.grad_norm:.3g}")
    if now.displacement < limits.displacement * usual.displacement:
        found.append(f"chains moved {r.displacement:.1g}, usually {usual.displacement:.3g}")
    if now.unclipped < limits.clipping * usual.unclipped:
        found.append(f"{r.share_clipped:.0%} of the Langevin components are clipped, usually {1 - usual.unclipped:.0%}")
    return [Signal(Severity.WATCH, words) for words in found]


def _rotten(r: StepRecord, limits: Limits) -> list[Signal]:
    found = []
    if r.diversity < limits.diversity:
        found.append(f"negatives have collapsed: pairwise distance {r.diversity:.2f} of the data's")
    if r.share_at_clamp > limits.share_at_clamp:
        found.append(f"negatives stuck at the clamp: {r.share_at_clamp:.0%} of the pixels that data leave free")
    return [Signal(Severity.CLEAN, words) for words in found]
