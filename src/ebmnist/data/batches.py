"""Batches of the training set: it is one tensor, so batching is indexing and resuming needs only the step."""

from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from ebmnist.data.base import as_images
from ebmnist.errors import BadInput
from ebmnist.random import Stream


@dataclass(frozen=True, eq=False)
class Batches:
    """Shuffled batches without replacement; an epoch's last N mod B images are left out.

    `images` is (N, *shape) on any device; of uint8 pixels, batches are the images (`as_images`). Batch `step` belongs
    to epoch step // (N // B), whose order depends on (stream, epoch) alone.
    Raises: BadInput unless 1 <= batch_size <= N.

    >>> import torch
    >>> from ebmnist.random import Purpose
    >>> batches = Batches(torch.arange(6), batch_size=2, stream=Stream(0, Purpose.BATCHES))
    >>> sorted(torch.cat([batches.at(step) for step in range(3)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """

    images: Tensor  # (N, *shape)
    batch_size: int
    stream: Stream

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= len(self.images):
            raise BadInput(f"batch_size = {self.batch_size}: expected 1 to {len(self.images)}, the number of images")

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch, N // B."""
        return len(self.images) // self.batch_size

    def at(self, step: int) -> Tensor:
        """Return batch number `step` >= 0, (B, *shape): the same one whenever it is asked for."""
        epoch, position = divmod(step, self.per_epoch)
        order = epoch_order(len(self.images), self.stream, epoch)
        rows = order[position * self.batch_size : (position + 1) * self.batch_size]
        return as_images(self.images[rows.to(self.images.device)])


@lru_cache(maxsize=2)
def epoch_order(n: int, stream: Stream, epoch: int) -> Tensor:
    """Return the permutation of 0 … n − 1 that an epoch follows, (n,) int64, CPU; shared, so only read it."""
    return stream.permutation(n, epoch)
