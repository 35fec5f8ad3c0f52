"""What an evaluation is: a trained energy goes in, metrics with their error and baselines come out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from ebmnist.data.base import Dataset
from ebmnist.energies.base import Energy
from ebmnist.inference.detector import Detector
from ebmnist.random import Rng
from ebmnist.sampling.base import Kernel, Sampler

ProgressCallback = Callable[[int, int], None]  # called with how many steps of a long chain are done, and of how many


def unwatched(done: int, total: int) -> None:
    """The progress that nobody looks at."""


class EvaluationContext(NamedTuple):
    """What is being judged: the (EMA) energy, the kernel that samples it, the data it saw, its replay buffer if any."""

    energy: Energy
    kernel: Kernel
    n_steps: int  # of a chain of `kernel` from noise
    dataset: Dataset
    device: torch.device
    replay: Tensor | None = None  # (N, 1, 28, 28): labelled, never the samples
    replay_step_index: Tensor | None = None  # (N,) int64, the step each of them is at, for a kernel with a cycle
    progress: ProgressCallback = unwatched  # told of their steps by the sections that run long chains
    faster: Sampler | None = None  # the recipe's, where it is another than the kernel
    detector: Detector | None = None  # of outliers, if the model has one

    @property
    def sampler(self) -> Sampler:
        """How samples are drawn from noise."""
        return self.faster or Sampler(self.kernel, self.n_steps)

    def steps(self, total: int, before: int = 0) -> Callable[[int], None]:
        """What a chain tells its steps to, where `before` of the section's `total` were done by others."""
        return lambda done: self.progress(before + done, total)


class Metric(NamedTuple):
    """One number: what it is, its value, its spread (None where it has none) and in which unit."""

    name: str
    value: float
    error: float | None = None  # one standard error, or the standard deviation named in `note`
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class SectionResult:
    """A section's outcome: metrics, what was measured beside them, tensors for the pictures, and how it was done."""

    metrics: tuple[Metric, ...]
    baselines: tuple[Metric, ...] = ()  # real references and baselines, measured in the same way
    arrays: dict[str, Tensor] = field(default_factory=dict)  # for reporting.plots
    method: str = ""  # one paragraph: N, seeds, chain length, feature net, which split chose and which reported


def mean_metric(name: str, values: Tensor, *, unit: str = "", note: str = "") -> Metric:
    """Return the mean of a value per image, (N,), with its standard error; infinite values have none."""
    x = values.double()
    error = float(x.std() / len(x) ** 0.5)
    return Metric(name, float(x.mean()), error if math.isfinite(error) else None, unit, note)


def evenly_spaced(n_all: int, n: int) -> Tensor:
    """Return n of the indices 0 … n_all − 1, evenly spaced: the halves of MNIST's test file are not alike."""
    return torch.arange(n) * n_all // n


def take(images: Tensor, n: int, device: torch.device) -> Tensor:
    """Return at most n images, (N, *shape), evenly spaced among all, on `device`."""
    return images[evenly_spaced(len(images), min(n, len(images)))].to(device)


class Section(Protocol):
    """One section of the evaluation. Frozen dataclass; `measure` raises `Unmeasurable` rather than invent a number."""

    @classmethod
    def quick(cls) -> Self:
        """The section at small sizes, for a first look in seconds."""
        ...

    def measure(self, context: EvaluationContext, rng: Rng) -> SectionResult:
        """Measure the model."""
        ...
