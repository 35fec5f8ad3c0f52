"""The normaliser of energies for which it is known."""

import torch

from ebmnist.energies import UNet
from ebmnist.inference.normalised import log_normaliser
from ebmnist.random import Rng
from targets import NoisyGaussian


def test_the_target_is_torchs_gaussian():
    energy, x = NoisyGaussian(), torch.randn(5, 4)
    law = torch.distributions.MultivariateNormal(energy.mean, energy.covariance + 0.01 * torch.eye(4))
    torch.testing.assert_close(energy(x), -law.log_prob(x), rtol=1e-4, atol=1e-4)


def test_it_is_zero_for_an_exact_law_and_finds_a_constant():
    """With a full covariance: the draws are from independent coordinates, and need their weights."""
    energy = NoisyGaussian()
    data = energy.draw(4000, Rng(0))
    found = log_normaliser(energy, data, 4000, rng=Rng(1))
    assert 0 < found.error < 0.02
    assert abs(found.value) < 4.5 * found.error

    class Off(NoisyGaussian):
        def __call__(self, x, sigma=None):
            return super().__call__(x, sigma) - 3.0

    assert log_normaliser(Off(), data, 4000, rng=Rng(1)).value == found.value + 3.0


def test_a_unet_is_normalised_at_most_noise_before_it_is_trained(images):
    """Its logits count nothing there, whatever they are; what shifts the pixels is left."""
    energy = UNet(4)
    with torch.no_grad():
        energy.level.bias.view(4, 4)[1:] = 5.0
    found = log_normaliser(energy, images, 400, rng=Rng(0))
    assert abs(found.value) < 0.5
    assert found.error < 0.1
