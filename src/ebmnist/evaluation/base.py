"""What an evaluation is: a trained energy goes in, figures with their error and anchors come out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from ebmnist.data.base import Dataset
from ebmnist.energy.base import Energy
from ebmnist.random import Rng
from ebmnist.sampling.base import Kernel

Progress = Callable[[int, int], None]  # called with how many steps of a long chain are done, and of how many


def unwatched(done: int, total: int) -> None:
    """The progress that nobody looks at."""


class Subject(NamedTuple):
    """What is being judged: the (EMA) energy, the kernel that samples it, the data it saw, its replay buffer if any."""

    energy: Energy
    kernel: Kernel
    n_steps: int  # chain length from noise that the recipe calls its own
    dataset: Dataset
    device: torch.device
    replay: Tensor | None = None  # (N, 1, 28, 28): labelled, never the samples
    replay_clock: Tensor | None = None  # (N,) int64, the step each of them is at, for a kernel with a cycle
    progress: Progress = unwatched  # told of their steps by the sections that run long chains

    def steps(self, total: int, before: int = 0) -> Callable[[int], None]:
        """What a chain tells its steps to, where `before` of the section's `total` were done by others."""
        return lambda done: self.progress(before + done, total)


class Figure(NamedTuple):
    """One number: what it is, its value, its spread (None where it has none) and in which unit."""

    name: str
    value: float
    error: float | None = None  # one standard error, or the standard deviation named in `note`
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """A section's outcome: figures, what was measured beside them, tensors for the pictures, and how it was done."""

    figures: tuple[Figure, ...]
    anchors: tuple[Figure, ...] = ()  # floors and baselines, measured in the same way
    arrays: dict[str, Tensor] = field(default_factory=dict)  # for artifacts.figures
    method: str = ""  # one paragraph: N, seeds, chain length, feature net, which split chose and which reported


class Section(Protocol):
    """One file of this room. Frozen dataclass; `measure` raises `Unmeasurable` rather than invent a number."""

    @classmethod
    def quick(cls) -> Self:
        """The section at small sizes, for a first look in seconds."""
        ...

    def measure(self, subject: Subject, rng: Rng) -> Measured:
        """Measure the subject."""
        ...


class Unmeasurable(RuntimeError):
    """A section could not be measured; the message says in one line which and why."""
