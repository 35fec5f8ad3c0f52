"""The class-Gaussian sampler: one full-covariance Gaussian for each class, the baseline a deep energy has to beat."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.data.base import Split
from ebmnist.errors import Unmeasurable
from ebmnist.random import AnyRng, Rng


class ClassGaussian(NamedTuple):
    """p(x) = Σ_c w_c N(x; μ_c, R_cᵀ R_c) over pixels, D of them."""

    weights: Tensor  # (C,) float64, they sum to 1
    means: Tensor  # (C, D)
    labels: Tensor  # (C,) int64, of the classes
    train: Split  # what it was fitted to

    def sample(self, n: int, rng: AnyRng) -> Tensor:
        """Draw n images (n, *shape), clamped to [0, 1]; `rng` is on the device of the fit."""
        rng = Rng.of(rng)
        shares = self.weights.cumsum(0)
        classes = torch.searchsorted(shares, rng.uniform((n,), shares.dtype) * shares[-1], right=True)
        x = self.means[classes]
        for c in range(len(self.labels)):
            mine, root = classes == c, self.root(c)
            x[mine] += rng.normal((int(mine.sum()), len(root))) @ root
        return x.clamp(0, 1).view(n, *self.train.pixels.shape[1:])

    def root(self, c: int) -> Tensor:
        """Return R_c, (n_c, D): the class's n_c images less their mean, over √n_c.

        Nothing is factorised, and constant pixels, which make the covariance singular, do no harm.
        """
        x = _of_class(self.train, self.labels[c])
        return (x - self.means[c]) / len(x) ** 0.5


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
    means = torch.stack([_of_class(train, c).mean(0) for c in present])
    return ClassGaussian(counts.double() / counts.sum(), means, present, train)


def _of_class(train: Split, label: Tensor) -> Tensor:
    """The images of one class, (n_c, D)."""
    return train.at(train.labels == label).images.flatten(1)
