"""Uniform dequantisation: bytes become reals in the unit box, so that a density of images has a meaning."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.random import AnyRng, Rng

N_LEVELS = 256  # of a byte


class Dequantised(NamedTuple):
    """The images of the three splits, (N, D) float64 in (0, 1)ᴰ, and the labels of the first."""

    train: Tensor
    labels: Tensor
    validation: Tensor
    test: Tensor
    shape: tuple[int, ...]  # of one image

    @property
    def n_dims(self) -> int:
        """Pixels in an image, D."""
        return math.prod(self.shape)


def dequantise(images: Tensor, rng: AnyRng) -> Tensor:
    """Return x = (k + u)/256, u ~ U(0, 1), (N, *shape) -> (N, D) float64 in the open box (0, 1)ᴰ.

    k = 0 … 255 is the byte nearest to 255 times the pixel. The mean log density of x is a lower bound on the mean
    log probability of the bytes, after −D log 256 (Theis et al. 2016). `rng` is on the images' device.
    """
    k = (255 * images.flatten(1)).round_()
    u = Rng.of(rng).uniform(tuple(k.shape), torch.float64)
    # Multiples of 2⁻²⁴ from 0 on; moved by half of that, they reach neither end. In place: 55,000 images are
    # 345 MB, and dividing by a power of two is exact.
    return u.add_(2.0**-25).add_(k).mul_(1 / N_LEVELS)


def bits_per_dimension(log_likelihood: float, n_dims: int) -> float:
    """Return log₂ 256 − log p / (D log 2) for a density on [0, 1]ᴰ in nats; uniform noise has 8, less is better.

    >>> bits_per_dimension(0.0, 784), round(bits_per_dimension(1475.0, 784), 2)
    (8.0, 5.29)
    """
    return math.log2(N_LEVELS) - log_likelihood / (n_dims * math.log(2))
