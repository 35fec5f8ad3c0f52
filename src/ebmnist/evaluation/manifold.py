"""Precision, recall, density and coverage: are samples among real images, and real images among samples?"""

from typing import NamedTuple

import torch
from torch import Tensor


class Manifold(NamedTuple):
    """Points (N, D), each with the distance to its k-th nearest neighbour among the others, (N,)."""

    points: Tensor
    radii: Tensor
    k: int


class Neighbourhood(NamedTuple):
    """What the k-nearest-neighbour balls of real images and samples say of one another."""

    precision: Tensor  # (M,) bool: is this sample in the ball of any real image?
    recall: Tensor  # (N,) bool: is this real image in the ball of any sample?
    density: Tensor  # (M,): how many real balls hold this sample, over k
    coverage: Tensor  # (N,) bool: is there a sample in this real image's ball?


def manifold(points: Tensor, k: int = 5, *, rows: int = 1000) -> Manifold:
    """Return the k-nearest-neighbour balls of points (N, D), N > k, `rows` rows of distances at a time."""
    radii = []
    for start in range(0, len(points), rows):
        distances = torch.cdist(points[start : start + rows], points)
        # A point is not its own neighbour.
        index = torch.arange(len(distances), device=points.device)
        distances[index, start + index] = torch.inf
        radii.append(distances.topk(k, dim=1, largest=False).values[:, -1])
    return Manifold(points, torch.cat(radii), k)


def neighbourhood(real: Manifold, samples: Manifold, *, rows: int = 1000) -> Neighbourhood:
    """Compare real images, N of them, with samples, M of them, in feature space.

    Precision and recall are Kynkäänniemi et al. 2019, eq. 2, density and coverage Naeem et al. 2020, sec. 3;
    the means of the four tensors are the four figures.
    """
    n_holding = []
    recalled = torch.zeros_like(real.radii, dtype=torch.bool)
    covered = torch.zeros_like(real.radii, dtype=torch.bool)
    for start in range(0, len(samples.points), rows):
        distances = torch.cdist(samples.points[start : start + rows], real.points)  # (rows, N)
        in_real = distances <= real.radii
        n_holding.append(in_real.sum(1))
        covered |= in_real.any(0)
        recalled |= (distances <= samples.radii[start : start + rows, None]).any(0)
    count = torch.cat(n_holding)
    return Neighbourhood(count > 0, recalled, count.double() / real.k, covered)
