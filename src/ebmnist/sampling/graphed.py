"""Chains on a GPU as replays of one CUDA graph: a step of so small a network takes longer to launch than to compute."""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ebmnist.energies.base import Energy
from ebmnist.random import ChainRng, StepRng
from ebmnist.sampling.ancestral import Ancestral
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.base import ChainState, Kernel, StepInfo
from ebmnist.sampling.dpm_solver import DPMSolver
from ebmnist.sampling.heun import Heun
from ebmnist.sampling.langevin import Langevin
from ebmnist.sampling.mala import MALA

FIRST = 3  # steps made one by one: what libraries make at a first call must not be made while a graph is captured
# Steps from which a capture pays. Before torch 2.9 it begins with a garbage collection, of a tenth of a second.
WORTH = 16 if torch.__version__ >= "2.9" else 128


def graphed(energy: Energy, kernel: Kernel, state: ChainState, n_steps: int) -> bool:
    """Whether these chains can be replayed, and gain by it; not where EBMNIST_GRAPHS=0 asks for step by step."""
    return (
        state.x.device.type == "cuda"
        and n_steps >= WORTH
        and type(kernel) in (Langevin, AnnealedLangevin, Ancestral, Heun, DPMSolver, MALA)
        and getattr(energy, "capturable", False)
        and os.environ.get("EBMNIST_GRAPHS") != "0"
        and not torch.is_anomaly_enabled()  # it looks at every gradient
        and not torch.cuda.is_current_stream_capturing()
    )


def replay(
    energy: Energy, kernel: Kernel, state: ChainState, numbers: ChainRng
) -> Iterator[tuple[ChainState, StepInfo]]:
    """Yield what `kernel.step` gives, step after step: the same numbers, launched at once for each step.

    The energy's weights must stay where they are meanwhile (a frozen copy's do).
    """
    steps = iter(numbers)
    for rng in islice(steps, FIRST):
        held = _Held(rng)
        state, info = kernel.step(energy, state, held)
        yield state, info
    held.rewind()
    begin, device = _copied(state), state.x.device
    graph = torch.cuda.CUDAGraph()
    # What other threads ask of the GPU meanwhile is theirs.
    captured = torch.cuda.graph(graph, stream=_stream(device), capture_error_mode="thread_local")
    with torch.cuda.device(device), captured:
        after, seen = kernel.step(energy, begin, held)
    for rng in steps:
        held.refill(rng)
        graph.replay()
        state, info = _copied(after), StepInfo(*_copies(seen))
        for to, now in zip(_tensors(begin), _tensors(state), strict=True):
            if to is not None and now is not None:
                to.copy_(now)
        yield state, info


class _Held(StepRng):
    """One step's random numbers in memory of their own: a captured step reads them there, whatever step they are of."""

    def __init__(self, rng: StepRng) -> None:
        self.device = rng.device
        self._rng = rng
        self._held: list[tuple[str, Tensor]] = []
        self._place = 0

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the numbers held for this draw."""
        return self._number("normal", shape, dtype)

    def uniform(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the numbers held for this draw."""
        return self._number("uniform", shape, dtype)

    def rewind(self) -> None:
        """Begin again with the first draw."""
        self._place = 0

    def refill(self, rng: StepRng) -> None:
        """Hold the numbers of another step."""
        for law, held in self._held:
            held.copy_(getattr(rng, law)(tuple(held.shape), held.dtype))

    def _number(self, law: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self._place == len(self._held):
            self._held.append((law, getattr(self._rng, law)(shape, dtype).clone()))
        self._place += 1
        return self._held[self._place - 1][1]


@cache  # each keeps a workspace
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _copied(state: ChainState) -> ChainState:
    return ChainState(*_copies(state[:4]))._replace(memory=tuple(_copies(state.memory)))


def _tensors(state: ChainState) -> tuple[Tensor | None, ...]:
    return *state[:4], *state.memory


def _copies(tensors: Iterable[Tensor | None]) -> list[Any]:
    """The graph's own are written again at the next step."""
    return [None if t is None else t.clone() for t in tensors]
