"""Full-covariance Gaussians, one or one for each class, as a density."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable

RIDGES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)


class GaussianMixture(NamedTuple):
    """p(x) = Σ_c w_c N(x; μ_c, V_c (Λ_c + λI) V_cᵀ) on all of Rᴰ; everything float64."""

    weights: Tensor  # (C,), they sum to 1
    means: Tensor  # (C, D)
    eigenvalues: Tensor  # (C, D), ≥ 0
    bases: Tensor  # (C, D, D), one eigenvector a column
    ridge: float = 0.0  # λ, as a share of the mean eigenvalue

    def log_density(self, x: Tensor) -> Tensor:
        """Return log p(x) in nats, (N, D) -> (N,)."""
        return self._log_densities(x, (self.ridge,))[0]

    def log_joint(self, x: Tensor) -> Tensor:
        """Return log p(x, c) in nats for each class c, (N, D) -> (N, C)."""
        return self._log_joint(x, (self.ridge,))[:, 0].T

    def with_best_ridge(self, validation: Tensor, ridges: Sequence[float] = RIDGES) -> "GaussianMixture":
        """Return the mixture with the ridge under which `validation`, (N, D), is likeliest.

        Raises:
            Unmeasurable: no ridge gives a finite density.
        """
        scores = self._log_densities(validation, ridges).mean(1)
        if not scores.isfinite().any():
            raise Unmeasurable("the covariance of the training images is singular, whatever the ridge")
        return self._replace(ridge=ridges[int(scores.where(scores.isfinite(), -torch.inf).argmax())])

    @property
    def variances(self) -> Tensor:
        """Along the eigenvectors, the ridge included, (C, D)."""
        return self.eigenvalues + self.ridge * self.eigenvalues.mean()

    def _log_densities(self, x: Tensor, ridges: Sequence[float]) -> Tensor:
        """Return log p(x) for each ridge, (R, N)."""
        return self._log_joint(x, ridges).logsumexp(0)

    def _log_joint(self, x: Tensor, ridges: Sequence[float]) -> Tensor:
        """Return log p(x, c) for each class and ridge, (C, R, N)."""
        parts = []  # of one class each: (R, N)
        for c in range(len(self.weights)):
            squares = ((x - self.means[c]) @ self.bases[c]).square()  # (N, D)
            variances = torch.stack([self._replace(ridge=ridge).variances[c] for ridge in ridges])  # (R, D)
            log_dets = (2 * math.pi * variances).log().sum(1, keepdim=True)
            parts.append(self.weights[c].log() - 0.5 * (variances.reciprocal() @ squares.T + log_dets))
        return torch.stack(parts)


def fit_gaussian_mixture(x: Tensor, labels: Tensor | None = None) -> GaussianMixture:
    """Fit share, mean and covariance of each class of x, (N, D) float64, by maximum likelihood.

    Without labels it is one Gaussian.
    """
    names = [] if labels is None else labels.bincount().nonzero().flatten().tolist()
    classes = [x[labels == c] for c in names] or [x]
    means = [rows.mean(0) for rows in classes]
    # No centred copy of 55,000 images.
    covariances = [
        rows.T @ rows / len(rows) - torch.outer(mean, mean) for rows, mean in zip(classes, means, strict=True)
    ]
    weights = torch.tensor([len(rows) / len(x) for rows in classes], dtype=x.dtype, device=x.device)
    return _mixture(weights, means, covariances)


def _mixture(weights: Tensor, means: Sequence[Tensor], covariances: Sequence[Tensor]) -> GaussianMixture:
    eigenvalues, bases = torch.linalg.eigh(torch.stack(list(covariances)))
    # Rounding may leave a zero below it.
    return GaussianMixture(weights, torch.stack(list(means)), eigenvalues.clamp_min(0), bases)
