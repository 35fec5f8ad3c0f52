"""The energy that is told the noise level: a law of pixels that is exact, derivatives, and Tweedie's formula."""

import copy

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from ebmnist.energies import UNet, energy_and_grad
from ebmnist.energies.levels import at_level, levels_of
from ebmnist.energies.unet import _in_blocks, _of_blocks
from ebmnist.errors import BadInput
from ebmnist.training import DualScoreMatching


def unet(**given) -> UNet:
    return UNet(width=4, depth=1, **given)


def test_without_its_network_it_is_minus_log_p_of_independent_pixels():
    """At any σ: black, white and grey pixels, each with the noise's variance on top of its own."""
    energy = unet()
    with torch.no_grad():
        for layer in (energy.last, energy.level):
            layer.weight.zero_()
            layer.bias.zero_()
    sigma = torch.tensor([0.01, 0.3, 4.0])
    x = torch.rand(3, 1, 28, 28) * (1 + sigma[:, None, None, None])
    std = (energy.log_std.exp().square() + sigma[:, None].square()).sqrt()[:, None, None, None]
    kinds = Categorical(logits=energy.log_weight.expand(3, 1, 28, 28, 3))
    law = MixtureSameFamily(kinds, Normal(energy.centre.expand(3, 1, 28, 28, 3), std.expand(3, 1, 28, 28, 3)))
    torch.testing.assert_close(energy(x, sigma), -law.log_prob(x).flatten(1).sum(1))
    torch.testing.assert_close(energy(x), energy(x, torch.full((3,), 0.01)))


def test_derivatives_in_the_level_and_of_the_loss_are_slopes():
    """Of ∂E/∂σ, and of the loss in a weight, which takes second derivatives; in double."""
    torch.manual_seed(0)
    energy = unet(sigma_min=0.1).double()
    x, noise = torch.rand(2, 4, 1, 28, 28, dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.5, 1.0, 5.0], dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(energy(x, sigma).sum(), sigma)
    with torch.no_grad():
        slope = (energy(x, sigma * (1 + 1e-6)) - energy(x, sigma * (1 - 1e-6))) / (2e-6 * sigma)
    torch.testing.assert_close(grad, slope, rtol=1e-6, atol=1e-6)

    def loss(weight_step: float) -> torch.Tensor:
        moved = copy.deepcopy(energy)
        moved.stem.weight.data[0, 0, 1, 1] += weight_step
        value = DualScoreMatching()(moved, x, sigma.detach(), noise)[0]
        value.backward()
        loss.grad = moved.stem.weight.grad[0, 0, 1, 1]
        return value.detach()

    change = (loss(1e-5) - loss(-1e-5)) / 2e-5
    loss(0.0)
    torch.testing.assert_close(loss.grad, change, rtol=1e-5, atol=1e-9)


def test_at_a_level_one_denoising_formula_holds_for_all():
    energy, sigma = unet(), torch.tensor([0.01, 0.2, 3.0])
    x = torch.rand(3, 1, 28, 28)
    for i, s in enumerate(sigma):
        _, own = energy_and_grad(lambda y, s=s: energy(y, s[None]), x[i : i + 1])
        _, scaled = energy_and_grad(at_level(energy, sigma), x)
        torch.testing.assert_close(0.01**2 * scaled[i : i + 1], s**2 * own, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(at_level(energy, torch.full((3,), 1e-4))(x), energy(x))
    assert levels_of(energy) == (0.01, 5.0)
    assert levels_of(torch.nn.Linear(2, 1)) is None
    assert at_level(torch.sum, sigma) is torch.sum


def test_blocks_of_pixels_are_channels_and_come_back():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    assert torch.equal(_in_blocks(x), torch.nn.functional.pixel_unshuffle(x, 2))
    assert torch.equal(_of_blocks(_in_blocks(x)), x)


@pytest.mark.parametrize(
    "given", [{"width": 0}, {"depth": 0}, {"sigma_min": 0.0}, {"sigma_max": 0.01}, {"data_std": 0}]
)
def test_a_field_out_of_its_range_is_one_line(given):
    with pytest.raises(BadInput, match=next(iter(given))):
        UNet(**given)
