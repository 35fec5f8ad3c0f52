"""Precision, recall, density and coverage: are samples among real images, and real images among samples?"""

from typing import NamedTuple

import torch
from torch import Tensor

ROWS = 100  # of distances at a time: as many as stay in a processor's cache


class Manifold(NamedTuple):
    """Points (N, D), each with the distance to its k-th nearest neighbour among the others, (N,)."""

    points: Tensor
    radii: Tensor
    k: int

    @property
    def reach(self) -> Tensor:
        """Squares of the radii, a rounding error wider: the k-th neighbour itself is in the ball, (N,)."""
        return self.radii.square() * (1 + 1e-9)


class Neighbourhood(NamedTuple):
    """What the k-nearest-neighbour balls of real images and samples say of one another."""

    precision: Tensor  # (M,) bool: is this sample in the ball of any real image?
    recall: Tensor  # (N,) bool: is this real image in the ball of any sample?
    density: Tensor  # (M,): how many real balls hold this sample, over k
    coverage: Tensor  # (N,) bool: is there a sample in this real image's ball?


def manifold(points: Tensor, k: int = 5, *, rows: int = ROWS) -> Manifold:
    """Return the k-nearest-neighbour balls of points (N, D), N > k, `rows` rows of distances at a time."""
    radii = []
    for start in range(0, len(points), rows):
        squares = _squares(points[start : start + rows], points)
        # A point is not its own neighbour.
        index = torch.arange(len(squares), device=points.device)
        squares[index, start + index] = torch.inf
        radii.append(squares.topk(k, dim=1, largest=False).values[:, -1])
    return Manifold(points, torch.cat(radii).clamp_min(0).sqrt(), k)


def neighbourhood(real: Manifold, samples: Manifold, *, rows: int = ROWS) -> Neighbourhood:
    """Compare real images, N of them, with samples, M of them, in feature space.

    Precision and recall are Kynkäänniemi et al. 2019, eq. 2, density and coverage Naeem et al. 2020, sec. 3;
    the means of the four tensors are the four metrics.
    """
    n_holding = []
    recalled = torch.zeros_like(real.radii, dtype=torch.bool)
    covered = torch.zeros_like(real.radii, dtype=torch.bool)
    for start in range(0, len(samples.points), rows):
        squares = _squares(samples.points[start : start + rows], real.points)  # (rows, N)
        in_real = squares <= real.reach
        n_holding.append(in_real.sum(1))
        covered |= in_real.any(0)
        recalled |= (squares <= samples.reach[start : start + rows, None]).any(0)
    count = torch.cat(n_holding)
    return Neighbourhood(count > 0, recalled, count.double() / real.k, covered)


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Return ‖xᵢ − yⱼ‖² = ‖xᵢ‖² + ‖yⱼ‖² − 2 xᵢ·yⱼ, (M, N), with no root taken of what is only compared."""
    return torch.addmm(y.square().sum(1), x, y.T, alpha=-2).add_(x.square().sum(1, keepdim=True))
