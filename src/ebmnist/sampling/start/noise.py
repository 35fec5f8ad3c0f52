"""Chains that always begin in uniform noise: short-run maximum likelihood (Nijkamp et al. 2019)."""

import math

import torch
from torch import Tensor

from ebmnist.random import AnySource, source_of
from ebmnist.sampling.base import Draw
from ebmnist.sampling.start.base import Forgetful


def uniform_noise(n: int, shape: tuple[int, ...], rng: AnySource) -> Tensor:
    """Return x ~ U[0, 1], (n, *shape), float32, on the rng's device."""
    return source_of(rng).uniform((n, *shape))


def coarse_noise(n: int, shape: tuple[int, ...], rng: AnySource) -> Tensor:
    """Return noise in squares of one grey each, (n, *shape) in [0, 1], float32, on the rng's device.

    The side of an image's squares is 1, 2, 4, … pixels, up to the whole image, each as likely. Their greys are uniform
    up to a brightness, which is uniform itself. So some images are nearly black, whatever the side.
    """
    rng = source_of(rng)
    *_, height, width = (1, 1, *shape)
    greys = uniform_noise(n, shape, rng).view(n, math.prod(shape[:-2]), height, width)
    sides = 2 ** rng.integers((max(height, width) - 1).bit_length() + 1, (n, 1))
    brightness = uniform_noise(n, (1, 1, 1), rng)
    row, column = (torch.arange(k, device=rng.device) // sides for k in (height, width))
    squares = greys.take_along_dim(row[:, None, :, None], 2).take_along_dim(column[:, None, None, :], 3)
    return (brightness * squares).view(n, *shape)


def corrupted(x: Tensor, rng: AnySource) -> Tensor:
    """Return real images `x`, (B, *shape), each a share of the way to coarse noise; the share is uniform in [0, 1]."""
    rng = source_of(rng)
    share = uniform_noise(len(x), (1,) * (x.dim() - 1), rng)
    return x.lerp(coarse_noise(len(x), tuple(x.shape[1:]), rng), share)


class FromNoise(Forgetful):
    """x₀ ~ U[0, 1] at every update."""

    def draw(self, x_pos: Tensor, rng: AnySource) -> Draw:
        """One noise image per row of `x_pos`."""
        return Draw(uniform_noise(len(x_pos), tuple(x_pos.shape[1:]), rng))
