"""The nearest training image: a sample much closer to one than test images are was memorised."""

from typing import NamedTuple

import torch
from torch import Tensor


class Nearest(NamedTuple):
    """For each query, which reference image is nearest and the distance to it."""

    indices: Tensor  # (M,) int64
    distances: Tensor  # (M,) ‖·‖₂ over pixels on [0, 1]


def nearest(queries: Tensor, references: Tensor, *, rows: int = 500) -> Nearest:
    """Find the nearest of references (N, *shape) to each of queries (M, *shape), `rows` queries at a time.

    The search expands the square, the distance does not: it is exact, 0 for a copy.
    """
    r = references.flatten(1)
    half_norm = 0.5 * r.square().sum(1)
    # argmin ‖q − r‖² = argmin ‖r‖²/2 − q·r
    q = queries.flatten(1)
    indices = torch.cat([(half_norm - q[i : i + rows] @ r.T).argmin(1) for i in range(0, len(q), rows)])
    return Nearest(indices, (q - r[indices]).norm(dim=1))
