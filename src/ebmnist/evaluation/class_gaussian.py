"""The class-Gaussian sampler: one full-covariance Gaussian for each class, the baseline a deep energy has to beat."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.data.base import Split
from ebmnist.errors import Unmeasurable
from ebmnist.random import AnyRng, Rng


class ClassGaussian(NamedTuple):
    """p(x) = Σ_c w_c N(x; μ_c, R_cᵀ R_c) over pixels, D of them.

    A class's centred images, over the root of their number n_c, are a square root of its covariance: nothing is
    factorised, and constant pixels, which make the covariance singular, do no harm.
    """

    weights: Tensor  # (C,) float64, they sum to 1
    means: Tensor  # (C, D)
    roots: tuple[Tensor, ...]  # C of (n_c, D)
    shape: torch.Size  # of one image

    def sample(self, n: int, rng: AnyRng) -> Tensor:
        """Draw n images (n, *shape), clamped to [0, 1]; `rng` is on the device of the fit."""
        rng = Rng.of(rng)
        shares = self.weights.cumsum(0)
        classes = torch.searchsorted(shares, rng.uniform((n,), shares.dtype) * shares[-1], right=True)
        x = self.means[classes]
        for c, root in enumerate(self.roots):
            mine = classes == c
            x[mine] += rng.normal((int(mine.sum()), len(root))) @ root
        return x.clamp(0, 1).view(n, *self.shape)


def fit_class_gaussian(train: Split) -> ClassGaussian:
    """Fit share, mean and covariance of every class that has images by maximum likelihood.

    Raises:
        Unmeasurable: a class with fewer than two images has no covariance.
    """
    counts = train.labels.bincount()
    present = counts.nonzero()[:, 0]  # a digit may be held out
    counts = counts[present]
    if int(counts.min()) < 2:
        raise Unmeasurable(f"class Gaussians: class {int(present[counts.argmin()])} has fewer than 2 training images")
    classes = [train.images[train.labels == c].flatten(1) for c in present]
    means = torch.stack([x.mean(0) for x in classes])
    roots = tuple((x - mean) / len(x) ** 0.5 for x, mean in zip(classes, means, strict=True))
    return ClassGaussian(counts.double() / counts.sum(), means, roots, train.images.shape[1:])
