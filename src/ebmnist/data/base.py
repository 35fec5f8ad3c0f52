"""What a data set is: images in [0, 1] with labels, in three splits."""

from typing import NamedTuple, Protocol

from torch import Tensor


class Split(NamedTuple):
    """Images (N, 1, 28, 28), float32 in [0, 1], and labels (N,), int64."""

    images: Tensor
    labels: Tensor


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
