"""What a step costs, counted and not timed: PyTorch operations, weight layouts and calls do not grow with the chain."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from ebmnist.energy import ConvNet
from ebmnist.native import Packed, library
from ebmnist.sampling import Langevin, run_chain

pytestmark = pytest.mark.skipif(library() is None, reason="nothing here compiles C++")


def operations(n_steps: int, energy: ConvNet) -> int:
    """Count what reaches PyTorch. A dispatch mode would have PyTorch compute everything."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run_chain(energy, Langevin(), torch.rand(32, 1, 28, 28), n_steps, rng=torch.Generator().manual_seed(0))
    return sum(event.cpu_parent is None for event in seen.events())


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_a_longer_chain_takes_no_more_operations(spectral_norm):
    energy = ConvNet(4, spectral_norm=spectral_norm)
    assert operations(2, energy) == operations(200, energy) < 120


def test_weights_are_laid_out_once_a_chain_and_the_loop_is_entered_once(monkeypatch):
    seen = []
    monkeypatch.setattr(Packed, "__init__", lambda *a, _was=Packed.__init__, **k: seen.append("pack") or _was(*a, **k))
    monkeypatch.setattr(Packed, "langevin", lambda *a, _was=Packed.langevin, **k: seen.append("walk") or _was(*a, **k))
    operations(200, ConvNet(4))
    assert seen == ["pack", "walk"]
