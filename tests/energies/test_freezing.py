"""Frozen copies: the same function, sharing nothing that moves."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

from ebmnist.energies import REGISTRY, ConvNet, frozen
from ebmnist.sampling import MALA, Langevin, run_chain, sample
from targets import Gaussian

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's of itself, in jvp too


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("kind", REGISTRY)
def test_a_frozen_copy_is_the_same_function_with_weights_of_its_own(kind, spectral_norm, images):
    energy = REGISTRY[kind](width=4, spectral_norm=spectral_norm)
    energy(images)
    before = copy.deepcopy(energy.state_dict())
    still = frozen(energy)
    expected = energy.eval()(images).detach()
    assert torch.equal(still(images), expected)
    assert type(still) is type(energy)
    assert not any(p.requires_grad for p in still.parameters())
    assert not any(m.training for m in still.modules())
    assert all(torch.equal(now, before[name]) for name, now in energy.state_dict().items())
    with torch.no_grad():
        for p in energy.parameters():
            p.add_(0.1)
    assert torch.equal(still(images), expected)
    assert not torch.equal(energy(images), expected)


def test_weights_that_are_tied_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)
            self.b.weight, self.c = self.a.weight, self.a

    still = frozen(Tied())
    assert still.a.weight is still.b.weight
    assert still.a is still.c


def test_frozen_twice_is_frozen_once_and_a_deep_copy_is_not_frozen(images):
    still = frozen(ConvNet(width=2))
    value = still(images)
    assert frozen(still) is still
    for twin in (copy.deepcopy(still), pickle.loads(pickle.dumps(still))):
        assert torch.equal(twin(images), value)
        assert frozen(twin) is not twin
        twin.head.bias.data.add_(1.0)
        torch.testing.assert_close(twin(images), value + 1)


def test_spectral_norm_is_computed_once_and_moves_nothing(monkeypatch, images):
    energy, calls = ConvNet(width=2, spectral_norm=True), []
    compute = _SpectralNorm.forward
    monkeypatch.setattr(_SpectralNorm, "forward", lambda self, w: calls.append(self) or compute(self, w))
    still = frozen(energy)
    still(images), still(images), frozen(still)
    assert len(calls) == 6
    assert not any("parametrizations" in name for name, _ in still.named_modules())


def test_a_callable_comes_back_as_it_is():
    energy = Gaussian()
    assert frozen(energy) is energy


def test_hooks_go_along_and_stay_the_originals(images):
    energy, seen = ConvNet(width=2), []
    energy.net[1].register_forward_hook(lambda *_: seen.append("hook"))
    still = frozen(energy)
    still(images)
    assert seen == ["hook"]
    still.net[1].register_forward_hook(lambda *_: None)
    assert len(energy.net[1]._forward_hooks) == 1


@pytest.mark.parametrize(
    "wrap", [torch.compile, lambda e: torch.jit.trace(e, torch.rand(2, 1, 28, 28))], ids=["compile", "trace"]
)
def test_a_wrapper_is_walked_on_a_copy_too(wrap, images):
    energy = ConvNet(width=2, precision="fp32").eval()
    inside = wrap(energy) if wrap is not torch.compile else torch.compile(energy, backend="eager")
    kernel = Langevin(temperature=0.0)
    expected = run_chain(energy, kernel, images, 2, rng=seeded()).x
    torch.testing.assert_close(run_chain(inside, kernel, images, 2, rng=seeded()).x, expected, rtol=0, atol=1e-4)
    assert all(p.requires_grad for p in energy.parameters())


@pytest.mark.parametrize(
    "fields", [{}, {"spectral_norm": True, "spectral_gain": 1.8}, {"activation": "elu", "spectral_norm": True}], ids=str
)
def test_threads_sample_from_one_energy(fields):
    energy = ConvNet(width=4, **fields)
    before = copy.deepcopy(energy.state_dict())

    def draw(seed: int) -> torch.Tensor:
        return sample(energy, 4, rng=seeded(seed), kernel=Langevin(), n_steps=6)

    alone = [draw(seed) for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, range(6)))
    assert all(map(torch.equal, alone, together))
    assert energy.training
    assert all(p.requires_grad for p in energy.parameters())
    assert all(torch.equal(now, before[name]) for name, now in energy.state_dict().items())


def test_a_copy_made_in_the_middle_of_a_chain_is_as_the_module_was(images):
    energy, twins = ConvNet(width=2, spectral_norm=True), []
    run_chain(energy, MALA(), images[:2], 2, rng=seeded(), progress=lambda _: twins.append(copy.deepcopy(energy)))
    for twin in twins:
        assert twin.training
        assert all(p.requires_grad for p in twin.parameters())
        assert twin.state_dict().keys() == energy.state_dict().keys()
