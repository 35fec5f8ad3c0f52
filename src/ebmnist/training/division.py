"""How an update is divided over ranks, and into pieces that a rank computes one by one."""

from typing import NamedTuple

import torch

from ebmnist.errors import BadInput
from ebmnist.ranks import Ranks
from ebmnist.training.gradients import fixed

# Images of a piece of the fixed sum (`WeightGradient`). The C++ takes longer for smaller ones (docs/how-to/scale.md).
PIECE = 64
DENOISING_PIECE = 8  # the same where an objective differentiates in x, which takes more memory and time an image


class Division(NamedTuple):
    """How an update is divided: among which ranks, and of how many images a rank computes at a time."""

    ranks: Ranks
    microbatch_size: int | None = None
    """The most images that a rank moves or differentiates at a time; None for all that it has."""
    compressed: bool = False
    """Whether ranks send each other gradients of half the bytes."""

    def pieces(self, n: int, device: torch.device, size: int) -> list[list[slice]]:
        """Return which of n images each rank differentiates, by pieces.

        Where bits must not depend on the number of ranks, neither may pieces: they have `size` images, or fewer if
        microbatches are smaller. Otherwise small pieces would only cost time.

        Raises:
            BadInput: more ranks than pieces.
        """
        ranks, most = self.ranks, self.microbatch_size or n
        if fixed(ranks, device):
            every = cut(slice(0, n), min(size, most))
            shares = [every[ranks.share(len(every), rank)] for rank in range(ranks.size)]
        else:
            shares = [cut(ranks.share(n, rank), most) for rank in range(ranks.size)]
        if not all(shares):
            found = sum(map(len, shares))
            raise BadInput(
                f"{ranks.size} ranks: an update has {n} images to differentiate, and pieces for {found} ranks at most; "
                "start fewer, or raise training.batch_size"
            )
        return shares


def cut(rows: slice, size: int) -> list[slice]:
    """Return consecutive slices of at most `size`."""
    return [slice(i, min(i + size, rows.stop)) for i in range(rows.start, rows.stop, size)]
