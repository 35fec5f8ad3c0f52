"""How well one score tells outliers from the rest, by its ranks alone: AUROC, AUPR and FPR@95, exact with ties.

Outliers are the positive class in all three, and a high score means outlier (Hendrycks, Mazeika and Dietterich 2019,
sec. 4.1). Not torchmetrics: it takes scores outside [0, 1] for logits, and a sigmoid makes ties of large energies.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.inference.jackknife import N_GROUPS, group_error

N_MIN = N_GROUPS  # scores on each side


class Estimate(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float


class Ranking(NamedTuple):
    """One score on one set of outliers; the names are what the metrics are called."""

    auroc: Estimate
    aupr: Estimate
    fpr_at_95: Estimate


class Counts(NamedTuple):
    """How many of each side lie on each distinct score, from high to low, (*, L) float64."""

    inside: Tensor
    outside: Tensor


def rank(inside: Tensor, outside: Tensor) -> Ranking:
    """Measure all three, each with its error, from scores (N,) and (M,), N and M ≥ `N_MIN`.

    Error of the AUROC: `delong`; of the others: the delete-a-group jackknife on either side, in quadrature.
    """
    by_group = _counts(inside, outside, N_GROUPS)
    whole = Counts(by_group.inside.sum(0), by_group.outside.sum(0))
    # One side at a time less each of its groups, (G, L).
    lesser = (
        Counts(whole.inside - by_group.inside, whole.outside.expand_as(by_group.outside)),
        Counts(whole.inside.expand_as(by_group.inside), whole.outside - by_group.outside),
    )
    by_counts = (
        Estimate(float(statistic(whole)), math.hypot(*(group_error(statistic(counts)) for counts in lesser)))
        for statistic in (_average_precision, _flagged_at_95)
    )
    return Ranking(Estimate(auroc(inside, outside), delong(inside, outside)), *by_counts)


def auroc(inside: Tensor, outside: Tensor) -> float:
    """Return P(s₋ < s₊) + ½ P(s₋ = s₊), s₋ from inside (N,) and s₊ from outside (M,).

    >>> auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))  # one tie among four pairs
    0.875
    """
    return float(_placements(outside, inside).mean())


def delong(inside: Tensor, outside: Tensor) -> float:
    """Return the standard error of the AUROC of two independent sets (DeLong, DeLong and Clarke-Pearson 1988).

    √(Var_j P(s₋ < s₊ⱼ)/M + Var_i P(s₋ᵢ < s₊)/N), a tie counted as half. It is 0 where the sets do not overlap.
    """
    among_inside, among_outside = _placements(outside, inside), _placements(inside, outside)
    return float((among_inside.var() / len(outside) + among_outside.var() / len(inside)).sqrt())


def aupr(inside: Tensor, outside: Tensor) -> float:
    """Return the average precision Σ_k (R_k − R_{k−1}) P_k over the distinct scores from high to low.

    For a score that says nothing it is the share of outliers, M/(N + M).
    """
    return float(_average_precision(_counts(inside, outside)))


def fpr_at_95(inside: Tensor, outside: Tensor) -> float:
    """Return the share of the inside that is flagged at the highest threshold that catches 95 % of the outside."""
    return float(_flagged_at_95(_counts(inside, outside)))


def _placements(scores: Tensor, among: Tensor) -> Tensor:
    """Return for each score the share of the others below it, ties as half, (M,) and (N,) -> (M,) float64."""
    values, ordered = scores.double(), among.double().sort().values
    below, up_to = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (below + up_to).double() / (2 * len(among))


def _counts(inside: Tensor, outside: Tensor, n_groups: int = 1) -> Counts:
    """Count both sides on each of the L distinct scores, by group (the rows g, g + G, g + 2G, …), (G, L)."""
    levels, which = torch.unique(torch.cat([inside, outside]).double(), return_inverse=True)

    def count(place: Tensor) -> Tensor:
        group = torch.arange(len(place), device=place.device) % n_groups
        cells = torch.bincount(group * len(levels) + place, minlength=n_groups * len(levels))
        return cells.view(n_groups, -1).flip(1).double()

    return Counts(count(which[: len(inside)]), count(which[len(inside) :]))


def _average_precision(counts: Counts) -> Tensor:
    caught = counts.outside.cumsum(-1)
    flagged = caught + counts.inside.cumsum(-1)
    # Where nothing is flagged yet, nothing new is caught either.
    return (counts.outside * caught / flagged.clamp_min(1)).sum(-1) / caught[..., -1]


def _flagged_at_95(counts: Counts) -> Tensor:
    caught, flagged = counts.outside.cumsum(-1), counts.inside.cumsum(-1)
    k = (caught < 0.95 * caught[..., -1:]).sum(-1, keepdim=True)  # the first level that catches enough
    return flagged.gather(-1, k)[..., 0] / flagged[..., -1]
