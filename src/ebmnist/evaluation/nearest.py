"""The nearest training image: a sample much closer to one than test images are was memorised."""

from typing import NamedTuple

import torch
from torch import Tensor

from ebmnist.data.base import as_images


class Nearest(NamedTuple):
    """For each query, which reference image is nearest and the distance to it."""

    indices: Tensor  # (M,) int64
    distances: Tensor  # (M,) ‖·‖₂ over pixels on [0, 1]


def nearest(queries: Tensor, references: Tensor, *, rows: int = 5000) -> Nearest:
    """Find the nearest of references (N, *shape) to each of queries (M, *shape), among `rows` references at a time.

    References may be uint8 pixels. The search expands the square, the distance does not: it is exact, 0 for a copy.
    """
    q = queries.flatten(1)
    least = torch.full_like(q[:, 0], torch.inf)
    indices = torch.zeros_like(least, dtype=torch.int64)
    for start in range(0, len(references), rows):
        r = as_images(references[start : start + rows]).flatten(1)
        # argmin ‖q − r‖² = argmin ‖r‖²/2 − q·r
        found = torch.addmm(0.5 * r.square().sum(1), q, r.T, alpha=-1).min(1)
        nearer = found.values < least
        least = torch.where(nearer, found.values, least)
        indices = torch.where(nearer, start + found.indices, indices)
    return Nearest(indices, (q - as_images(references[indices]).flatten(1)).norm(dim=1))
