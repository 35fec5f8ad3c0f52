"""The kernel distance (KID): a maximum mean discrepancy, unbiased at any number of samples."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.random import AnyRng, Rng


class KernelDistance(NamedTuple):
    """Mean over subsets, and the standard deviation between them (of one subset, not of the mean)."""

    mean: float
    std: float


def kernel_distance(
    a: Tensor, b: Tensor, rng: AnyRng, *, n_subsets: int = 50, subset_size: int = 1000
) -> KernelDistance:
    """Return the unbiased MMD² under k(x, y) = (x·y/D + 1)³ over random subsets (Bińkowski et al. 2018, sec. 4).

    Features (N, D) and (M, D). A subset is at most half a set, so that subsets differ; `rng` is on their device.
    """
    size = min(subset_size, len(a) // 2, len(b) // 2)
    values, rng = [], Rng.of(rng)
    for _ in range(n_subsets):
        x = a[rng.permutation(len(a))[:size]]
        y = b[rng.permutation(len(b))[:size]]
        values.append(mmd2(x, y))
    stacked = torch.stack(values)
    return KernelDistance(float(stacked.mean()), float(stacked.std()))


def mmd2(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased MMD² of features (n, D) and (m, D): a scalar, at times negative (Gretton et al. 2012)."""
    n, m = len(x), len(y)
    within_x = (_kernel_sum(x, x) - _of_itself(x)) / (n * (n - 1))
    within_y = (_kernel_sum(y, y) - _of_itself(y)) / (m * (m - 1))
    return within_x + within_y - 2 * _kernel_sum(x, y) / (n * m)


def _kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    """Return Σᵢⱼ k(xᵢ, yⱼ), in two passes over the matrix."""
    k = torch.addmm(x.new_ones(1, 1), x, y.T, alpha=1 / x.shape[1]).flatten()
    return torch.dot(k * k, k)


def _of_itself(x: Tensor) -> Tensor:
    """Return Σᵢ k(xᵢ, xᵢ)."""
    return (x.square().sum(1) / x.shape[1] + 1).pow(3).sum()
