"""What a data set is: images in [0, 1] with labels, in three splits."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


def as_images(pixels: Tensor) -> Tensor:
    """Return uint8 pixels divided by 255, as float32; a tensor of another type, itself.

    >>> as_images(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    if pixels.dtype != torch.uint8:
        return pixels
    x = pixels.to(torch.float32)
    # By a tensor of the device: to divide by a number of the host, CUDA multiplies by its rounded reciprocal.
    return x.div_(x.new_full((), 255))


@dataclass(frozen=True, eq=False)
class Split:
    """Images with labels. They are held as they were read, for bytes take a quarter of the memory of floats."""

    pixels: Tensor
    """(N, 1, 28, 28): uint8, or float32 in [0, 1]. Only read it: other splits may share its memory."""
    labels: Tensor
    """(N,), int64."""

    @cached_property
    def images(self) -> Tensor:
        """The images, (N, 1, 28, 28), float32 in [0, 1]; computed when they are first asked for, and then kept."""
        return as_images(self.pixels)

    def at(self, rows: Tensor | slice) -> "Split":
        """Return the images and labels of some rows: indices, a mask or a slice."""
        return Split(self.pixels[rows], self.labels[rows])


class Dataset(NamedTuple):
    """A named data set. Choose on `validation`, report on `test`."""

    name: str
    train: Split
    validation: Split
    test: Split


class Source(Protocol):
    """Something a recipe's `data` section can name: `load()` returns a `Dataset` or raises `BadInput`."""

    def load(self) -> Dataset:
        """Return the three splits."""
        ...
