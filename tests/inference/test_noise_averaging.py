import pytest
import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.inference.noise_averaging import averaging_sigma, noise_averaged_energy
from ebmnist.random import Rng
from ebmnist.sampling import AnnealedLangevin, Langevin
from targets import Gaussian

X = torch.rand(6, 1, 5, 5, generator=torch.Generator().manual_seed(0))


def test_of_a_gaussian_energy_it_is_the_energy_and_that_of_the_noise() -> None:
    """E = ½‖x‖²: what is linear in the noise cancels exactly in a pair."""
    averaged = noise_averaged_energy(Gaussian(), X, 0.3, rng=Rng(1), name="x", n_pairs=3)
    noise = Rng(1).normal((3, 1, 5, 5))
    torch.testing.assert_close(averaged, 0.5 * X.square().flatten(1).sum(1) + 0.5 * 0.09 * noise.square().sum() / 3)


def test_an_image_has_the_same_score_whatever_stands_beside_it() -> None:
    def energy(x: Tensor) -> Tensor:
        return (3 * x).cos().flatten(1).sum(1)

    whole = noise_averaged_energy(energy, X, 0.5, rng=Rng(0), name="x")
    alone = noise_averaged_energy(energy, X[4:5], 0.5, rng=Rng(0), name="x")
    torch.testing.assert_close(whole[4:5], alone)


def test_it_estimates_the_mean_over_noise() -> None:
    """𝔼 cos(x + σξ) = cos(x) e^(−σ²/2)."""

    def energy(x: Tensor) -> Tensor:
        return x.cos().flatten(1).sum(1)

    averaged = noise_averaged_energy(energy, X, 0.5, rng=Rng(2), name="x", n_pairs=200)
    expected = energy(X) * torch.exp(torch.tensor(-0.125))
    spread = 0.5 * 25**0.5  # of the sum over 25 pixels under one draw, at most
    assert (averaged - expected).abs().max() < 4 * spread / 200**0.5


def test_the_level_is_the_nearest_that_a_kernel_has() -> None:
    assert averaging_sigma(Langevin()) is None
    assert averaging_sigma(AnnealedLangevin(sigma_max=0.2)) == pytest.approx(0.2, abs=0.01)
    assert averaging_sigma(AnnealedLangevin()) == pytest.approx(0.3, abs=0.01)


def test_energies_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(Unmeasurable, match="6 of 6 images of x is NaN"):
        noise_averaged_energy(lambda x: x.flatten(1).sum(1) * torch.nan, X, 0.3, rng=Rng(0), name="x")
