"""Signs of instability in one update. Pure functions of record and memory."""

import math
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from torch import Tensor

from ebmnist.training.base import StepRecord
from ebmnist.training.limits import Limits
from ebmnist.training.running import Running, magnitudes


class Severity(IntEnum):
    """How bad a signal is, mildest first."""

    WATCH = 0  # bad only if it lasts
    LOWER_LR = 1
    REINITIALISE = 2
    ROLL_BACK = 3


class Signal(NamedTuple):
    """A sign of n_unhealthy: how bad, and what was seen, in words a person reads in `events.jsonl`."""

    severity: Severity
    words: str


def signals_in(record: StepRecord, running: Running, limits: Limits, natural: float = 0.0) -> list[Signal]:
    """Return every signal that `record` gives; none is a healthy update.

    `natural` is the size of |E| at the energy regulariser's optimum, 1/(2λ) of the recipe's λ; 0 for no regulariser.
    """
    if broken := _not_finite(record):
        return [broken]
    usual = running if running.n_seen >= limits.settling else None
    small = [*_dead(record, limits), *_too_small(record, usual, limits)]
    return [*_too_large(record, usual, limits, natural), *small, *_invalid_chains(record, limits)]


def not_finite_in(tensors: dict[str, Tensor]) -> list[Signal]:
    """Return a signal for what holds a NaN or an infinity among a snapshot's tensors: chains, or anything else."""
    broken = sorted(k for k, v in tensors.items() if v.is_floating_point() and not v.isfinite().all())
    invalid = [name for name in broken if name.startswith("start.")]
    severity = Severity.REINITIALISE if invalid == broken else Severity.ROLL_BACK
    return [Signal(severity, f"{broken[0]} is not finite")] if broken else []


def _not_finite(r: StepRecord) -> Signal | None:
    if not math.isfinite(r.weight_norm):
        return Signal(Severity.ROLL_BACK, "a weight is not finite")
    if not math.isfinite(r.energy_pos):
        return Signal(Severity.ROLL_BACK, "the energy of real images is not finite")
    if r.finite_images < 1:
        return Signal(Severity.REINITIALISE, "a negative image is not finite: update skipped")
    if not math.isfinite(r.energy_max):
        return Signal(Severity.ROLL_BACK, "the energy of negative images is not finite")
    if not math.isfinite(r.weight_grad_norm) or not math.isfinite(r.loss):
        return Signal(Severity.LOWER_LR, "the loss or its weight gradient is not finite: update skipped")
    return None


def _too_large(r: StepRecord, usual: Running | None, limits: Limits, natural: float) -> Iterator[Signal]:
    bound = limits.energy_growth * max(usual.energy_max if usual else 0.0, natural)
    if 0 < bound < r.energy_max:
        yield Signal(Severity.ROLL_BACK, f"|E| grew to {r.energy_max:.3g}, beyond {bound:.3g}")
    if usual:
        weight_grad = (r.weight_grad_norm, usual.weight_grad_norm, limits.weight_grad_growth)
        yield from _spike("weight-gradient norm", *weight_grad)
        if abs(r.gap) > 0.1 * natural:
            yield from _spike("size of the energy gap", abs(r.gap), usual.gap, limits.gap_growth)
    if usual and r.diversity > limits.spread:
        words = f"negatives have spread: median distance {r.diversity:.2f} of the data's: chains do not follow"
        yield Signal(Severity.WATCH, words)
    if natural and r.gap > limits.gap_saturation * 2 * natural:
        yield Signal(Severity.WATCH, f"energy gap {r.gap:.3g} nears the regulariser's optimum: chains do not follow")


def _spike(what: str, now: float, usual: float, limit: float) -> Iterator[Signal]:
    if now > limit * usual:
        severity = Severity.ROLL_BACK if now > limit**2 * usual else Severity.LOWER_LR
        yield Signal(severity, f"{what} {now:.3g}, usually {usual:.3g}")


def _too_small(r: StepRecord, usual: Running | None, limits: Limits) -> Iterator[Signal]:
    if usual is None:
        return
    now = magnitudes(r)
    for what, value, normal, limit in (
        ("size of the energy gap", now.gap, usual.gap, limits.gap_collapse),
        ("‖∂E/∂x‖", now.grad_norm, usual.grad_norm, limits.grad_collapse),
        ("distance that chains moved", now.displacement, usual.displacement, limits.displacement),
        ("share of unclipped Langevin components", now.unclipped, usual.unclipped, limits.unclipped),
    ):
        if value < limit * normal:
            yield Signal(Severity.WATCH, f"{what} fell to {value:.2g}, usually {normal:.3g}")


def _dead(r: StepRecord, limits: Limits) -> Iterator[Signal]:
    size = max(abs(r.energy_pos), abs(r.energy_neg))
    if r.weight_grad_norm * r.weight_norm < limits.weight_grad_collapse * size:
        yield Signal(Severity.WATCH, f"weights no longer matter: weight-gradient norm {r.weight_grad_norm:.2g}")


def _invalid_chains(r: StepRecord, limits: Limits) -> Iterator[Signal]:
    if r.diversity < limits.diversity:
        words = f"negatives have collapsed: median distance {r.diversity:.2f} of the data's"
        yield Signal(Severity.REINITIALISE, words)
    if r.share_at_clamp > limits.share_at_clamp:
        words = f"negatives stuck at the clamp: {r.share_at_clamp:.0%} of the pixels that data leave free"
        yield Signal(Severity.REINITIALISE, words)
