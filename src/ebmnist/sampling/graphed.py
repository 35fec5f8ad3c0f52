"""Chains on a GPU as replays of one CUDA graph: a step of so small a network takes longer to launch than to compute."""

import os
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ebmnist.energy.base import Energy
from ebmnist.sampling.base import ChainState, Kernel, StepInfo
from ebmnist.sampling.cyclic import Cyclic
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
        and type(kernel) in (Langevin, Cyclic, MALA)
        and getattr(energy, "capturable", False)
        and os.environ.get("EBMNIST_GRAPHS") != "0"
        and not torch.is_anomaly_enabled()  # it looks at every gradient
        and not torch.cuda.is_current_stream_capturing()
    )


def replay(
    energy: Energy, kernel: Kernel, state: ChainState, n_steps: int, rng: torch.Generator
) -> Iterator[tuple[ChainState, StepInfo]]:
    """Yield what `kernel.step` gives, `n_steps` times over: the same numbers, launched at once for each step.

    The energy's weights must stay where they are meanwhile (a frozen copy's do).
    """
    for _ in range(FIRST):
        state, info = kernel.step(energy, state, rng)
        yield state, info
    begin, device = ChainState(*_copies(state)), state.x.device
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device):
        graph.register_generator_state(rng)
        # What other threads ask of the GPU meanwhile is theirs.
        with torch.cuda.graph(graph, stream=_stream(device), capture_error_mode="thread_local"):
            after, seen = kernel.step(energy, begin, rng)
    for _ in range(n_steps - FIRST):
        graph.replay()
        state, info = ChainState(*_copies(after)), StepInfo(*_copies(seen))
        for to, now in zip(begin, state, strict=True):
            if to is not None and now is not None:
                to.copy_(now)
        yield state, info


@cache  # each keeps a workspace
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _copies(tensors: Iterable[Tensor | None]) -> list[Any]:
    """The graph's own are written again at the next step."""
    return [None if t is None else t.clone() for t in tensors]
