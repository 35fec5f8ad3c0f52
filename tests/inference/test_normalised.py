"""Log-probabilities and normalisers of energies for which they are known."""

import torch

from ebmnist.energies import UNet
from ebmnist.inference import probability_flow
from ebmnist.inference.denoisers import EnergyDenoiser
from ebmnist.inference.gaussian import Gaussian
from ebmnist.inference.normalised import log_density, log_normaliser
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


def test_one_evaluation_says_what_the_flow_says():
    """A Gaussian's flow is exact but for the solver, and its trace is exact in the mean."""
    energy = NoisyGaussian()
    (low, high), x = energy.levels, energy.draw(400, Rng(2))
    denoiser = EnergyDenoiser(energy, 1 / low**2)
    prior = Gaussian(energy.mean.double(), *(t.double() for t in energy.spectrum))
    sigma = torch.full((400,), 0.7)
    torch.testing.assert_close(denoiser(x, sigma), prior(x, sigma), rtol=1e-3, atol=1e-3)
    y = x + low * Rng(3).normal((400, 4))
    flow = probability_flow.log_density(denoiser, y, prior, low, high, n_steps=20, rng=Rng(4))
    own = log_density(energy, y, low)
    torch.testing.assert_close(own, prior.log_density(y, low), rtol=1e-4, atol=1e-3)
    off = flow - own
    assert off.mean().abs() < 4.5 * off.std() / 400**0.5 + 0.01
    assert torch.corrcoef(torch.stack([flow, own]))[0, 1] > 0.8
