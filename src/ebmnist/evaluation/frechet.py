"""The Fréchet distance: how far apart two clouds of features are, were both Gaussian."""

from typing import NamedTuple

import torch
from torch import Tensor


class Moments(NamedTuple):
    """Mean (D,) and unbiased covariance (D, D) of features, float64."""

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
    cross = torch.linalg.svdvals(_square_root(a.cov) @ _square_root(b.cov)).sum()
    return float((a.mean - b.mean).square().sum() + a.cov.trace() + b.cov.trace() - 2 * cross)


def _square_root(cov: Tensor) -> Tensor:
    """Return the symmetric square root of a covariance; eigenvalues that rounding left below 0 are 0."""
    eigenvalues, basis = torch.linalg.eigh(cov)
    return (basis * eigenvalues.clamp_min(0).sqrt()) @ basis.T
