"""What a step costs, counted and not timed: PyTorch operations, weight layouts and calls do not grow with the chain."""

import ctypes

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from ebmnist.energies import ConvNet, frozen
from ebmnist.energies.fast import native_net_of
from ebmnist.native import NativeNet, library
from ebmnist.native.build import load, openmp
from ebmnist.sampling import Langevin, run_chain
from native_driver import runnable

pytestmark = pytest.mark.skipif(library() is None, reason="nothing here compiles C++")


def operations(n_steps: int, energy: ConvNet) -> int:
    """Count what reaches PyTorch. A dispatch mode would have PyTorch compute everything."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run_chain(energy, Langevin(), torch.rand(32, 1, 28, 28), n_steps, rng=torch.Generator().manual_seed(0))
    return sum(event.cpu_parent is None for event in seen.events())


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_a_longer_chain_takes_no_more_operations(spectral_norm):
    energy = ConvNet(4, spectral_norm=spectral_norm)
    operations(2, energy)  # lays the weights out
    assert operations(2, energy) == operations(200, energy) < 120


def test_weights_are_laid_out_once_a_chain_and_the_loop_is_entered_once(monkeypatch):
    seen = []
    monkeypatch.setattr(
        NativeNet, "__init__", lambda *a, _was=NativeNet.__init__, **k: seen.append("pack") or _was(*a, **k)
    )
    monkeypatch.setattr(
        NativeNet, "langevin", lambda *a, _was=NativeNet.langevin, **k: seen.append("walk") or _was(*a, **k)
    )
    operations(200, ConvNet(4))
    assert seen == ["pack", "walk"]


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_a_chain_in_cpp_freezes_only_what_reading_may_move(spectral_norm, monkeypatch):
    seen = []
    monkeypatch.setattr("ebmnist.sampling.chain.frozen", lambda energy: seen.append(energy) or frozen(energy))
    energy = ConvNet(4, spectral_norm=spectral_norm)
    operations(2, energy)
    assert seen == [energy] * spectral_norm


def test_weight_gradients_come_in_the_format_of_the_weights():
    energy = ConvNet(4).train()
    weights = [p for p in energy.parameters() if p.dim() == 4]
    found = torch.autograd.grad(energy(torch.rand(6, 1, 28, 28)).sum(), weights)
    assert not all(w.is_contiguous() for w in weights)
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in [*weights, *found])


def test_the_gradient_of_a_training_loss_computes_nothing_twice(monkeypatch):
    seen = []
    for name in ("energy", "energy_and_grad", "record", "weight_grad"):
        was = getattr(NativeNet, name)
        monkeypatch.setattr(NativeNet, name, lambda *a, _name=name, _was=was: seen.append(_name) or _was(*a))
    energy = ConvNet(4).train()
    energy(torch.rand(6, 1, 28, 28)).sum().backward()
    assert seen == ["record", "weight_grad"]


@pytest.mark.parametrize("variant", runnable())
@pytest.mark.parametrize("width", [16, 32])
def test_128_chains_keep_64_threads_busy_in_every_layer_but_the_last(width, variant, monkeypatch):
    functions = load(variant)
    monkeypatch.setattr("ebmnist.native.network.library", lambda: functions)
    net = native_net_of(ConvNet(width, precision="fp32"), low_precision=True)
    tiles = {"x86-64": 32, "x86-64-v3": 16, "x86-64-v4": 8, "x86-64-v4-bf16": 8, "aarch64": 32}[variant]
    one, all_of_them = (functions.turns(net._handle, n) for n in (1, 128))
    assert one >= 8
    assert all_of_them == tiles * one


@pytest.fixture
def regions():
    """What is asked of OpenMP: the number of threads of each parallel region, whose work one thread then does."""
    seen = []

    @ctypes.CFUNCTYPE(None, ctypes.CFUNCTYPE(None, ctypes.c_void_p), ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    def parallel(work, argument, n_threads, _):
        seen.append(n_threads)
        work(argument)

    library().share_by(ctypes.cast(parallel, ctypes.c_void_p))
    yield seen
    library().share_by(openmp())


@pytest.mark.parametrize("n_threads", [1, 7])
def test_a_call_is_one_parallel_region_of_pytorchs_threads(n_threads, regions, monkeypatch):
    """OpenMP ends the threads that a region leaves out, so each asks for all; one thread alone asks for none."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    net, x = native_net_of(ConvNet(4), low_precision=True), torch.rand(128, 1, 28, 28)
    assert net is not None
    net.weight_grad(net.record(x)[1], torch.ones(128))
    run_chain(ConvNet(4), Langevin(), x, 3, rng=torch.Generator().manual_seed(0))
    net.energy(x[:1])
    assert regions == ([] if n_threads == 1 else [n_threads] * 4)
