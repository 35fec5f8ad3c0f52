"""The input gradient, and weights held still."""

import pytest
import torch
from torch.nn.utils.parametrizations import _SpectralNorm

from ebmnist.energy import MLP, ConvNet, energy_and_grad, frozen
from targets import Gaussian, Mixture


def test_a_known_gradient(rng):
    x = torch.randn(5, 3, generator=rng)
    value, grad = energy_and_grad(Gaussian(mean=0.5, scale=2.0), x)
    torch.testing.assert_close(value, ((x - 0.5) / 2).square().sum(1) / 2)
    torch.testing.assert_close(grad, (x - 0.5) / 4)


@pytest.mark.parametrize("energy", [Mixture(), MLP(4, 8), MLP(4, 8, activation="softplus")], ids=str)
def test_the_gradient_is_that_of_central_differences(energy, rng):
    energy = energy.double() if isinstance(energy, MLP) else energy
    x = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    _, grad = energy_and_grad(energy, x)
    for i in range(4):
        step = torch.zeros(4, dtype=torch.float64)
        step[i] = 1e-5
        slope = (energy(x + step) - energy(x - step)) / 2e-5
        torch.testing.assert_close(grad[:, i], slope, rtol=0, atol=1e-8)


def test_each_row_has_its_own_gradient(rng):
    energy, x = MLP(4, 8), torch.randn(6, 4, generator=rng)
    whole = energy_and_grad(energy, x)[1]
    rows = torch.cat([energy_and_grad(energy, row)[1] for row in x.split(1)])
    torch.testing.assert_close(whole, rows)


def test_nothing_is_left_behind(rng):
    energy, x = MLP(4, 8), torch.randn(6, 4, generator=rng)
    value, grad = energy_and_grad(energy, x)
    assert not value.requires_grad
    assert not grad.requires_grad
    assert not x.requires_grad
    assert x.grad is None
    assert all(p.grad is None for p in energy.parameters())


def test_weight_gradients_of_a_training_step_survive_a_look_at_the_input_gradient(rng):
    energy, x = MLP(4, 8), torch.randn(6, 4, generator=rng)
    energy(x).sum().backward()
    before = [p.grad.clone() for p in energy.parameters()]
    energy_and_grad(energy, x)
    assert all(torch.equal(p.grad, was) for p, was in zip(energy.parameters(), before, strict=True))


def test_gradients_flow_where_they_are_off(rng):
    x = torch.randn(2, 3, generator=rng)
    with torch.no_grad():
        assert torch.equal(energy_and_grad(Gaussian(), x)[1], x)


def test_frozen_holds_the_weights():
    energy = ConvNet(width=2, spectral_norm=True)
    energy.head.eval()
    modes = [m.training for m in energy.modules()]
    with frozen(energy):
        assert not any(m.training for m in energy.modules())
        assert not any(p.requires_grad for p in energy.parameters())
    assert [m.training for m in energy.modules()] == modes
    assert all(p.requires_grad for p in energy.parameters())


def test_frozen_twice_is_frozen_once(monkeypatch):
    energy, x, calls = ConvNet(width=2, spectral_norm=True), torch.rand(2, 1, 28, 28), []
    compute = _SpectralNorm.forward
    monkeypatch.setattr(_SpectralNorm, "forward", lambda self, w: calls.append(self) or compute(self, w))
    with frozen(energy):
        energy(x)
        with frozen(energy):
            energy(x)
        energy(x)
        assert not any(p.requires_grad for p in energy.parameters())
    assert len(calls) == 6
    assert all(p.requires_grad for p in energy.parameters())
    assert energy.training


def test_frozen_lets_any_function_through():
    with frozen(Gaussian()):
        assert Gaussian()(torch.zeros(1, 2)).item() == 0
