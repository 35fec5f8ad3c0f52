"""When chains are replayed from a graph, and what a replay hands on; a GPU replays them in tests/test_gpu.py."""

from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ebmnist.energies import MLP
from ebmnist.random import ChainRng, Rng
from ebmnist.sampling import MALA, AnnealedLangevin, DPMSolver, Heun, Langevin
from ebmnist.sampling.base import ChainState, StepInfo
from ebmnist.sampling.graphed import WORTH, _Held, graphed, replay
from ebmnist.trained import load

THERE: Any = SimpleNamespace(x=SimpleNamespace(device=torch.device("cuda")))  # stands for chains on a GPU
HERE: Any = SimpleNamespace(x=torch.zeros(1))

KERNELS = [Langevin(), AnnealedLangevin(), Heun(n_hold=1), DPMSolver(n_hold=1), MALA(step_size=0.1, temperature=1e-3)]


@dataclass(frozen=True)
class Other(Langevin):
    """A kernel that might look at what it does."""


@pytest.fixture(autouse=True)
def _nothing_is_being_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.delenv("EBMNIST_GRAPHS", raising=False)


@pytest.mark.parametrize("kernel", [Langevin(), AnnealedLangevin(), Heun(), DPMSolver(), MALA()])
def test_long_chains_on_a_gpu_are(kernel: Any) -> None:
    assert graphed(MLP(), kernel, THERE, WORTH)
    assert graphed(load("pretrained"), kernel, THERE, WORTH)


def test_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not graphed(MLP(), Langevin(), HERE, WORTH)
    assert not graphed(MLP(), Langevin(), THERE, WORTH - 1)
    assert not graphed(MLP(), Other(), THERE, WORTH)
    assert not graphed(lambda x: x.sum(1), Langevin(), THERE, WORTH)
    with torch.autograd.set_detect_anomaly(True, check_nan=False):
        assert not graphed(MLP(), Langevin(), THERE, WORTH)
    monkeypatch.setenv("EBMNIST_GRAPHS", "0")
    assert not graphed(MLP(), Langevin(), THERE, WORTH)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_step_finds_each_step_s_numbers_where_the_first_found_its_own(kernel: Any) -> None:
    """A captured step reads the same memory at every replay: filled anew, it is the next step of the chain."""
    energy, x = MLP(6, 8).requires_grad_(False), torch.rand(4, 6)
    state = begin = kernel.init(energy, x)
    held, places = None, set()
    for rng, again in zip(*(ChainRng.of(Rng(1), x, 5) for _ in range(2)), strict=True):
        state, _ = kernel.step(energy, state, rng)
        if held is None:
            held = _Held(again)
        else:
            held.rewind()
            held.refill(again)
        begin, _ = kernel.step(energy, begin, held)
        assert torch.equal(begin.x, state.x)
        places.add(tuple(numbers.data_ptr() for _, numbers in held._held))
    assert len(places) == 1


class Replayed:
    """Stands for a captured step: called again with what it was called with last, it writes where that was written."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def step(self, *given: Any) -> tuple[ChainState, StepInfo]:
        """Take the step, and remember it."""
        self.given, self.written = given, self.kernel.step(*given)
        return self.written  # type: ignore[no-any-return]

    def replay(self) -> None:
        """Take it again."""
        self.given[2].rewind()
        for there, here in zip(self.written, self.kernel.step(*self.given), strict=True):
            for to, now in zip((*there, *there[4]), (*here, *here[4]), strict=True):
                if isinstance(to, torch.Tensor):
                    to.copy_(now)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_replayed_chain_is_the_chain_step_by_step(kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a step hands to the next one is handed on, whatever is overwritten meanwhile."""
    energy, x, graph = MLP(6, 8).requires_grad_(False), torch.rand(4, 6), Replayed(kernel)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    for name in ("graph", "device"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, **__: nullcontext())
    monkeypatch.setattr("ebmnist.sampling.graphed._stream", lambda _: None)
    state, chain = kernel.init(energy, x), ChainRng.of(Rng(1), x, 9)
    replayed = list(replay(energy, graph, state, ChainRng.of(Rng(1), x, 9)))  # type: ignore[arg-type]
    for rng, (found, seen) in zip(chain, replayed, strict=True):
        state, info = kernel.step(energy, state, rng)
        assert torch.equal(found.x, state.x)
        assert torch.equal(seen.x_before, info.x_before)
