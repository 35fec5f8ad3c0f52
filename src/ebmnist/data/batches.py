"""Batches of the training set: it is one tensor, so batching is indexing and resuming needs only the step."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ebmnist.errors import BadInput


@dataclass(frozen=True, eq=False)
class Batches:
    """Shuffled batches without replacement; an epoch's last N mod B images are left out.

    `images` is (N, *shape) on any device; batch `step` belongs to epoch step // (N // B), whose order
    depends on (seed, epoch) alone. Raises: BadInput unless 1 <= batch_size <= N and seed >= 0.

    >>> batches = Batches(torch.arange(6), batch_size=2, seed=0)
    >>> sorted(torch.cat([batches.at(step) for step in range(3)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """

    images: Tensor  # (N, *shape)
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= len(self.images):
            raise BadInput(f"batch_size = {self.batch_size}: expected 1 to {len(self.images)}, the number of images")
        if self.seed < 0:
            raise BadInput(f"seed = {self.seed}: expected a number >= 0")

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch, N // B."""
        return len(self.images) // self.batch_size

    def at(self, step: int) -> Tensor:
        """Return batch number `step` >= 0, (B, *shape): the same one whenever it is asked for."""
        epoch, position = divmod(step, self.per_epoch)
        order = epoch_order(len(self.images), self.seed, epoch)
        rows = order[position * self.batch_size : (position + 1) * self.batch_size]
        return self.images[rows.to(self.images.device)]


@lru_cache(maxsize=2)
def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """Return the permutation of 0 … n − 1 that an epoch follows, (n,) int64, CPU; shared, so only read it."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(mixed(seed, epoch)))


def mixed(seed: int, n: int) -> int:
    """Return a seed of its own for number `n` of what `seed` begins; (seed, n) and (seed + 1, n - 1) stay apart."""
    return int(np.random.SeedSequence([seed, n]).generate_state(1, np.uint64)[0])
