"""Outlier detectors without an energy: what a few lines of linear algebra over pixels already achieve."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.evaluation.once import once

# Pixels are multiples of 1/255: rounding alone has this variance, so no direction is known better.
ROUNDING = 1 / (12 * 255**2)


class PrincipalComponents(NamedTuple):
    """Mean and eigendecomposed covariance of images, over D pixels, float64."""

    mean: Tensor  # (D,)
    eigenvalues: Tensor  # (D,) rising, ≥ 0
    basis: Tensor  # (D, D), one eigenvector a column

    def coordinates(self, images: Tensor) -> Tensor:
        """Return images as sums of the components, (N, *shape) -> (N, D), in the images' type."""
        return (images.flatten(1) - self.mean.to(images)) @ self.basis.to(images)


@once
def fit_components(images: Tensor) -> PrincipalComponents:
    """Fit mean and covariance to images (N, *shape), N ≥ 2, in float64; once for each split, as four sections ask."""
    x = images.flatten(1).to(torch.float64, copy=True)
    mean = x.mean(0)
    x -= mean  # in place: of MNIST it is 345 MB
    eigenvalues, basis = torch.linalg.eigh(x.T @ x / (len(x) - 1))
    return PrincipalComponents(mean, eigenvalues.clamp_min(0), basis)


def mahalanobis(coordinates: Tensor, eigenvalues: Tensor) -> Tensor:
    """Return (x − μ)ᵀ (C + σ²I)⁻¹ (x − μ), (N, D) -> (N,), σ² the variance of rounding to a pixel's 256 levels.

    Without it, pixels that are black in every training image would make C singular (Lee et al. 2018, in pixels).
    """
    return (coordinates.square() / (eigenvalues + ROUNDING)).sum(1)


def reconstruction_error(coordinates: Tensor, n_components: int = 50) -> Tensor:
    """Return ‖x − x̂‖², x̂ the projection on the leading principal components, (N, D) -> (N,)."""
    return coordinates[:, :-n_components].square().sum(1)


def kth_nearest(queries: Tensor, references: Tensor, k: int = 5, *, rows: int = 500) -> Tensor:
    """Return the distance ‖·‖₂ to the k-th nearest of references (N, *shape), N ≥ k, (M, *shape) -> (M,).

    `rows` queries at a time (Ramaswamy, Rastogi and Shim 2000; Sun et al. 2022, in pixels).
    """
    r = references.flatten(1)
    half_norm = 0.5 * r.square().sum(1)
    parts = []
    for q in torch.split(queries.flatten(1), rows):
        # Ranked by ‖r‖²/2 − q·r = (‖q − r‖² − ‖q‖²)/2; the distance itself is taken exactly.
        found = (half_norm - q @ r.T).topk(k, dim=1, largest=False).indices
        parts.append((q[:, None] - r[found]).norm(dim=2).amax(1))
    return torch.cat(parts)
