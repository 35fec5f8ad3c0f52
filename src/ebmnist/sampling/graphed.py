"""Chains on a GPU as replays of one CUDA graph: a step of so small a network takes longer to launch than to compute."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ebmnist.energy.base import Energy
from ebmnist.sampling.base import ChainState, Kernel, StepInfo
from ebmnist.sampling.cyclic import Cyclic
from ebmnist.sampling.langevin import Langevin
from ebmnist.sampling.mala import MALA

FIRST = 3  # steps made one by one: what libraries make at a first call must not be made while a graph is captured
WORTH = 16  # steps of a chain for which a graph, ten steps' time to capture, is worth its while


def graphed(energy: Energy, kernel: Kernel, state: ChainState, n_steps: int) -> bool:
    """Whether these chains can be replayed, and gain by it; not where EBMNIST_GRAPHS=0 asks for step by step."""
    return (
        state.x.device.type == "cuda"
        and n_steps >= WORTH
        and type(kernel) in (Langevin, Cyclic, MALA)
        and getattr(energy, "capturable", False)
        and os.environ.get("EBMNIST_GRAPHS") != "0"
    )


def replay(
    energy: Energy, kernel: Kernel, state: ChainState, n_steps: int, rng: torch.Generator
) -> Iterator[tuple[ChainState, StepInfo]]:
    """Yield what `kernel.step` gives, `n_steps` times over: the same numbers, launched at once for each step.

    The energy's weights must stay where they are meanwhile (`frozen`).
    """
    for _ in range(FIRST):
        state, info = kernel.step(energy, state, rng)
        yield state, info
    begin = ChainState(*_copies(state))
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(rng)
    with torch.cuda.device(state.x.device), torch.cuda.graph(graph):
        after, seen = kernel.step(energy, begin, rng)
    for _ in range(n_steps - FIRST):
        graph.replay()
        state, info = ChainState(*_copies(after)), StepInfo(*_copies(seen))
        for to, now in zip(begin, state, strict=True):
            if to is not None and now is not None:
                to.copy_(now)
        yield state, info


def _copies(tensors: Iterable[Tensor | None]) -> list[Any]:
    """The graph's own are written again at the next step."""
    return [None if t is None else t.clone() for t in tensors]
