"""How well one score tells outliers from the rest, by its ranks alone: AUROC, AUPR and FPR@95, exact with ties.

Outliers are the positive class in all three, and a high score means outlier (Hendrycks, Mazeika and Dietterich 2019,
sec. 4.1). Not torchmetrics: it takes scores outside [0, 1] for logits, and a sigmoid makes ties of large energies.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.evaluation.jackknife import jackknife

N_MIN = 20  # scores on each side: as many as the jackknife has groups


class Estimate(NamedTuple):
    """A value and its standard error."""

    value: float
    error: float


class Ranking(NamedTuple):
    """One score on one set of outliers; the names are what the figures are called."""

    auroc: Estimate
    aupr: Estimate
    fpr_at_95: Estimate


def rank(inside: Tensor, outside: Tensor) -> Ranking:
    """Measure all three, each with its error, from scores (N,) and (M,), N and M ≥ `N_MIN`.

    Error of the AUROC: `delong`; of the others: the delete-a-group jackknife on either side, in quadrature.
    """
    return Ranking(
        Estimate(auroc(inside, outside), delong(inside, outside)),
        Estimate(aupr(inside, outside), _two_sided(aupr, inside, outside)),
        Estimate(fpr_at_95(inside, outside), _two_sided(fpr_at_95, inside, outside)),
    )


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
    caught, flagged = _flagged(inside, outside)
    new = caught.diff(prepend=caught.new_zeros(1))
    return float((new * caught / flagged).sum() / len(outside))


def fpr_at_95(inside: Tensor, outside: Tensor) -> float:
    """Return the share of the inside that is flagged at the highest threshold that catches 95 % of the outside."""
    caught, flagged = _flagged(inside, outside)
    k = int((caught >= 0.95 * len(outside)).nonzero()[0])
    return float((flagged[k] - caught[k]) / len(inside))


def _placements(scores: Tensor, among: Tensor) -> Tensor:
    """Return for each score the share of the others below it, ties as half, (M,) and (N,) -> (M,) float64."""
    values, ordered = scores.double(), among.double().sort().values
    below, up_to = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (below + up_to).double() / (2 * len(among))


def _flagged(inside: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many outliers, and how many of all, score at least each distinct score, from high to low."""
    levels, which = torch.unique(torch.cat([outside, inside]).double(), return_inverse=True)
    caught = torch.bincount(which[: len(outside)], minlength=len(levels)).flip(0).cumsum(0)
    return caught.double(), torch.bincount(which).flip(0).cumsum(0).double()


def _two_sided(statistic: Callable[[Tensor, Tensor], float], inside: Tensor, outside: Tensor) -> float:
    over_inside = jackknife(lambda scores: statistic(scores, outside), inside, N_MIN)
    over_outside = jackknife(lambda scores: statistic(inside, scores), outside, N_MIN)
    return float((over_inside**2 + over_outside**2) ** 0.5)
