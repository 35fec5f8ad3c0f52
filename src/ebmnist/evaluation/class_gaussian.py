"""The class-Gaussian sampler: one full-covariance Gaussian for each class, the anchor a deep energy has to beat."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.data.base import Split
from ebmnist.evaluation.base import Unmeasurable


class ClassGaussian(NamedTuple):
    """p(x) = Σ_c w_c N(x; μ_c, A_c A_cᵀ) over pixels, D of them."""

    weights: Tensor  # (C,), they sum to 1
    means: Tensor  # (C, D)
    factors: Tensor  # (C, D, D), a square root of each covariance; constant pixels leave it singular
    shape: torch.Size  # of one image

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw n images (n, *shape), clamped to [0, 1]; `rng` is on the device of the fit."""
        classes = torch.multinomial(self.weights, n, replacement=True, generator=rng)
        noise = torch.randn(n, self.means.shape[1], generator=rng, device=rng.device)
        x = torch.empty_like(noise)
        for c in range(len(self.weights)):
            mine = classes == c
            x[mine] = self.means[c] + noise[mine] @ self.factors[c].T
        return x.clamp(0, 1).view(n, *self.shape)


def fit_class_gaussian(train: Split) -> ClassGaussian:
    """Fit share, mean and covariance of every class by maximum likelihood.

    Raises:
        Unmeasurable: a class with fewer than two images has no covariance.
    """
    counts = torch.bincount(train.labels)
    if int(counts.min()) < 2:
        raise Unmeasurable(f"class Gaussians: class {int(counts.argmin())} has fewer than 2 training images")
    means, factors = [], []
    for c in range(len(counts)):
        x = train.images[train.labels == c].flatten(1).double()
        eigenvalues, basis = torch.linalg.eigh(torch.cov(x.T, correction=0))
        means.append(x.mean(0))
        factors.append(basis * eigenvalues.clamp_min(0).sqrt())
    weights = counts.double() / counts.sum()
    return ClassGaussian(
        weights, torch.stack(means).float(), torch.stack(factors).float(), train.images.shape[1:]
    )
