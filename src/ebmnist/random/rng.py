"""What is passed around where random numbers are needed: a source of them, none of which it hands out twice."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.random.streams import N_SEEDS, Purpose, Stream


class Source(ABC):
    """Random numbers by shape, on the source's device.

    The first axis is of rows, and row i is the same whatever their number.
    """

    device: torch.device

    @abstractmethod
    def _next(self) -> tuple[Stream, int, int]:
        """Take the next address: stream, step and draw."""

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return standard normal numbers."""
        stream, step, draw = self._next()
        return stream.normal(self._rows(shape), step, shape[1:], draw=draw, dtype=dtype)

    def uniform(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return numbers uniform on [0, 1)."""
        stream, step, draw = self._next()
        return stream.uniform(self._rows(shape), step, shape[1:], draw=draw, dtype=dtype)

    def integers(self, high: int, shape: tuple[int, ...]) -> Tensor:
        """Return whole numbers from 0 to high − 1, int64."""
        stream, step, draw = self._next()
        return stream.integers(high, self._rows(shape), step, shape[1:], draw=draw)

    def permutation(self, n: int) -> Tensor:
        """Return 0 … n − 1 in a random order, (n,) int64."""
        stream, step, draw = self._next()
        return stream.permutation(n, step, draw=draw, device=self.device)

    def rows(self, rows: Tensor) -> "Source":
        """Return a source of some rows alone, (R,) int64: its row i is row rows[i] of what this one would give."""
        return _SomeRows(self, rows)

    def _rows(self, shape: tuple[int, ...]) -> Tensor:
        return torch.arange(shape[0], dtype=torch.int64, device=self.device)


class _SomeRows(Source):
    def __init__(self, source: Source, rows: Tensor) -> None:
        self.device = source.device
        self._source, self._some = source, rows

    def _next(self) -> tuple[Stream, int, int]:
        return self._source._next()

    def _rows(self, shape: tuple[int, ...]) -> Tensor:
        assert shape[0] == len(self._some)
        return self._some


class Rng(Source):
    """Random numbers of one seed and purpose; each use takes the next call of them.

    Args:
        seed: 0 … 2⁶³ − 1.
        purpose: what for.
        device: where the numbers are made.

    Raises:
        BadInput: a seed out of its range.

    >>> rng = Rng(0)
    >>> first, second = rng.normal((2, 3)), rng.normal((2, 3))
    >>> torch.equal(first, second), torch.equal(first, Rng(0).normal((2, 3)))
    (False, True)
    """

    def __init__(self, seed: int, purpose: int = Purpose.SAMPLING, device: torch.device | str = "cpu") -> None:
        self._unused = Stream(seed, purpose)
        self.device = torch.device(device)

    @classmethod
    def of(cls, rng: "AnyRng") -> "Rng":
        """Return an Rng as it is; for a `torch.Generator`, one on its device whose seed is drawn from it.

        Raises:
            BadInput: neither.
        """
        if isinstance(rng, Rng):
            return rng
        if not isinstance(rng, torch.Generator):
            raise BadInput(f"rng must be a generator, not {rng!r}; give torch.Generator().manual_seed(0)")
        seed = torch.randint(N_SEEDS - 1, (), dtype=torch.int64, generator=rng, device=rng.device)
        return cls(int(seed), device=rng.device)

    @property
    def seed(self) -> int:
        """The seed."""
        return self._unused.seed

    def stream(self) -> Stream:
        """Take the next stream, one call of this seed and purpose."""
        now = self._unused
        self._unused = Stream(now.seed, now.purpose, now.call + 1)
        return now

    def _next(self) -> tuple[Stream, int, int]:
        return self.stream(), 0, 0


# What people pass, where many calls draw and where one does.
AnyRng = Rng | torch.Generator
AnySource = Source | torch.Generator


def source_of(rng: AnySource) -> Source:
    """Return a source as it is; for a `torch.Generator`, an Rng that is seeded by it."""
    return rng if isinstance(rng, Source) else Rng.of(rng)
