"""The input gradient."""

import pytest
import torch

from ebmnist.energies import MLP, energy_and_grad
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
