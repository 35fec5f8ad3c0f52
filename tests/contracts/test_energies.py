"""What every architecture must obey, with and without spectral norm."""

import copy

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ebmnist.energies import REGISTRY, convnet, energy_and_grad, frozen

ENERGIES = pytest.mark.parametrize("spectral_norm", [False, True])
KINDS = pytest.mark.parametrize("kind", REGISTRY)


def make(kind: str, spectral_norm: bool = False):
    return REGISTRY[kind](width=4, spectral_norm=spectral_norm)


@KINDS
@ENERGIES
@pytest.mark.parametrize("n", [0, 1, 5])
def test_one_finite_float32_per_sample(kind, spectral_norm, n):
    value = make(kind, spectral_norm)(torch.rand(n, 1, 28, 28))
    assert value.shape == (n,)
    assert value.dtype == torch.float32
    assert value.isfinite().all()


@KINDS
@ENERGIES
def test_an_energy_is_a_function_of_one_image(kind, spectral_norm, images):
    """E(cat(a, b)) = cat(E(a), E(b)): what else is in the batch makes no difference. Rounding may."""
    energy = make(kind, spectral_norm).eval()
    whole = energy(images)
    parts = torch.cat([energy(images[:1]), energy(images[1:20]), energy(images[20:])])
    torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-5)
    order = torch.randperm(len(images))
    torch.testing.assert_close(energy(images[order]), whole[order], rtol=1e-4, atol=1e-5)
    assert whole.unique().numel() > 60  # and it tells images apart


@KINDS
@ENERGIES
def test_evaluating_twice_gives_the_same(kind, spectral_norm, images):
    energy = make(kind, spectral_norm).eval()
    assert torch.equal(energy(images), energy(images))


@KINDS
@ENERGIES
def test_it_can_be_differentiated_by_weights_and_by_pixels(kind, spectral_norm, images):
    energy = make(kind, spectral_norm)
    value, grad = energy_and_grad(energy, images)
    assert grad.shape == images.shape
    assert grad.isfinite().all()
    assert (grad.flatten(1).norm(dim=1) > 0).all()
    assert all(p.grad is None for p in energy.parameters())
    energy(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in energy.parameters())
    assert not value.requires_grad


@KINDS
def test_the_input_gradient_is_the_slope(kind):
    """By central differences, in double, along a random direction."""
    torch.manual_seed(1)
    energy = make(kind).double()
    x, direction = torch.rand(2, 3, 1, 28, 28, dtype=torch.float64)
    _, grad = energy_and_grad(energy, x)
    slope = (energy(x + 1e-5 * direction) - energy(x - 1e-5 * direction)) / 2e-5
    torch.testing.assert_close((grad * direction).flatten(1).sum(1), slope, rtol=1e-5, atol=1e-8)


@KINDS
@ENERGIES
def test_freezing_changes_no_value(kind, spectral_norm, images):
    energy = make(kind, spectral_norm).eval()
    still = frozen(energy)
    assert torch.equal(still(images), still(images))
    assert torch.equal(still(images), energy(images))


@KINDS
@ENERGIES
def test_copies_and_saved_weights_are_the_same_function(kind, spectral_norm, images):
    energy, other = make(kind, spectral_norm), make(kind, spectral_norm)
    energy(images)
    twin = copy.deepcopy(energy)
    other.load_state_dict(energy.state_dict())
    expected = energy.eval()(images)
    assert torch.equal(twin.eval()(images), expected)
    assert torch.equal(other.eval()(images), expected)


@KINDS
@ENERGIES
def test_one_that_says_it_can_be_captured_asks_nothing_of_the_host(kind, spectral_norm, images, monkeypatch):
    """A fake tensor has no values to ask for."""
    monkeypatch.setattr(convnet, "library", lambda: None)  # what a GPU runs
    energy = make(kind, spectral_norm)
    assert energy.capturable
    still = frozen(energy)
    still(images)
    with FakeTensorMode(allow_non_fake_inputs=True):
        energy_and_grad(still, images)


@KINDS
def test_nan_in_one_image_is_nan_in_its_energy_alone(kind, images):
    broken = images.clone()
    broken[3, 0, 14, 14] = torch.nan
    value = make(kind).eval()(broken)
    assert value[3].isnan()
    assert value[[0, 1, 2, 4]].isfinite().all()
