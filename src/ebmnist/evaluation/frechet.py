"""The Fréchet distance: how far apart two clouds of features are, were both Gaussian."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.inference.jackknife import N_GROUPS, group_error


class Moments(NamedTuple):
    """Mean (*, D) and unbiased covariance (*, D, D) of one set of features, or of several, float64."""

    mean: Tensor
    cov: Tensor


def moments(features: Tensor) -> Moments:
    """Return the moments of features (N, D), N ≥ 2."""
    x = features.double()
    return Moments(x.mean(0), torch.cov(x.T))


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return d² = ‖μ_a − μ_b‖² + Tr(C_a + C_b − 2 (C_a C_b)^½), ≥ 0 (Dowson & Landau 1982; Heusel et al. 2017).

    Tr (C_a C_b)^½ is the sum of the singular values of C_a^½ C_b^½: real and exact where a matrix square root
    of the unsymmetric product is neither, singular covariances included.

    >>> unit = Moments(torch.zeros(2).double(), torch.eye(2).double())
    >>> round(frechet_distance(unit, Moments(unit.mean + 1, 4 * unit.cov)), 6)  # 2 + 2 (1 − 2)²
    4.0
    """
    return float(_distances(a, b))


def leave_one_out_distances(features: Tensor, b: Moments, n_groups: int = N_GROUPS) -> Tensor:
    """Return the distances to `b` of features (N, D) without the rows g, g + G, g + 2G, …, (G,) float64."""
    return _distances(_leave_one_out(features, n_groups), b)


def frechet_error(features: Tensor, b: Moments) -> float:
    """Return the error of the distance from features (N, D) to `b`: the delete-a-group jackknife, `b` held fixed."""
    return group_error(leave_one_out_distances(features, b))


def _leave_one_out(features: Tensor, n_groups: int) -> Moments:
    """Return the moments without each group, from the groups' own sums: one pass, where G would copy all the rows."""
    centre = features.double().mean(0)
    groups = [features[g::n_groups].double() - centre for g in range(n_groups)]
    sums, squares = torch.stack([x.sum(0) for x in groups]), torch.stack([x.T @ x for x in groups])
    n = len(features) - torch.tensor([len(x) for x in groups], device=centre.device).view(-1, 1, 1)  # (G, 1, 1)
    mean = (sums.sum(0) - sums) / n[:, 0]
    outer = mean[:, :, None] * mean[:, None, :]
    return Moments(mean + centre, (squares.sum(0) - squares - n * outer) / (n - 1))


def _distances(a: Moments, b: Moments) -> Tensor:
    cross = torch.linalg.svdvals(_square_root(a.cov) @ _square_root(b.cov)).sum(-1)
    traces = a.cov.diagonal(dim1=-2, dim2=-1).sum(-1) + b.cov.trace()
    return (a.mean - b.mean).square().sum(-1) + traces - 2 * cross


def _square_root(cov: Tensor) -> Tensor:
    """Return the symmetric square root of a covariance; eigenvalues that rounding left below 0 are 0."""
    eigenvalues, basis = torch.linalg.eigh(cov)
    return (basis * eigenvalues.clamp_min(0).sqrt()[..., None, :]) @ basis.mT
