"""Samplers of an energy that is told the noise level: each of its gradients is at the level of its chain."""

import pytest
import torch

from ebmnist.random import Rng
from ebmnist.sampling import SAMPLERS, AnnealedLangevin, sample
from targets import NoisyGaussian

ENERGY = NoisyGaussian()
LOW, HIGH = ENERGY.levels
KERNEL = AnnealedLangevin(0.05, temperature=1.0, sigma_min=LOW, sigma_max=HIGH, n_anneal=192, clip=None, clamp=None)


@pytest.mark.parametrize("name", ["training", *SAMPLERS])
def test_samples_have_the_mean_and_the_deviations_of_the_data(name):
    """Data N(μ, C) and 200 steps, which leave a bias below 6 % of the deviation."""
    kernel = KERNEL if name == "training" else SAMPLERS[name].of(KERNEL, 200)
    n = 2000
    x = sample(ENERGY, n, rng=Rng(0), kernel=kernel, n_steps=200, shape=(4,), batch_size=n)
    std = ENERGY.covariance.diag().sqrt()
    assert ((x.mean(0) - ENERGY.mean).abs() / std).max() < 0.06 + 4.5 / n**0.5
    # A sample is the mean given a chain's last noise, so it varies less than the data do: C(C + σ²)⁻¹C.
    noisy = ENERGY.covariance + LOW**2 * torch.eye(4)
    expected = (ENERGY.covariance @ torch.linalg.inv(noisy) @ ENERGY.covariance).diag().sqrt()
    assert (x.std(0) / expected - 1).abs().max() < 0.06 + 4.5 / (2 * n) ** 0.5


def test_told_another_level_they_would_not():
    """The same without σ: every gradient is then that of the least noise."""

    class Untold(NoisyGaussian):
        levels = None

        def __call__(self, x, sigma=None):
            return super().__call__(x, torch.full((len(x),), LOW) if sigma is None else sigma)

    x = sample(Untold(), 500, rng=Rng(0), kernel=SAMPLERS["ancestral"].of(KERNEL, 200), n_steps=200, shape=(4,))
    assert (x.std(0) / ENERGY.covariance.diag().sqrt() - 1).abs().max() > 0.3
