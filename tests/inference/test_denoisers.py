import pytest
import torch

from ebmnist.errors import Unmeasurable
from ebmnist.inference import gaussian as law
from ebmnist.inference.denoisers import EnergyDenoiser, Scaled, denoiser_of
from ebmnist.sampling.annealed_langevin import AnnealedLangevin
from ebmnist.sampling.langevin import Langevin
from targets import Gaussian, NoisyGaussian

Y = torch.linspace(-1, 2, 8).view(2, 1, 2, 2)


def test_a_quadratic_energy_denoises_to_its_centre() -> None:
    energy = Gaussian(mean=0.3, scale=0.5)  # curvature 4
    denoised = EnergyDenoiser(energy, 4.0)(Y, torch.tensor([0.1, 2.0]))
    torch.testing.assert_close(denoised, torch.full_like(Y, 0.3))


def test_the_slope_is_taken_inside_the_box() -> None:
    energy = Gaussian(mean=0.0, scale=1.0)
    denoised = EnergyDenoiser(energy, 1.0, (0.0, 1.0))(Y, torch.ones(2))
    torch.testing.assert_close(denoised, Y - Y.clamp(0, 1))


def test_an_annealed_kernel_gives_curvature_and_box_and_another_its_box() -> None:
    annealed = denoiser_of(Gaussian(), AnnealedLangevin())
    assert annealed.curvature == pytest.approx(0.05)
    assert annealed.box is not None
    assert annealed.box[1] > 8
    assert denoiser_of(Gaussian(), Langevin()) == EnergyDenoiser(Gaussian(), 1.0, (0.0, 1.0))


def test_an_energy_that_is_told_the_noise_denoises_by_its_score() -> None:
    kernel = AnnealedLangevin(temperature=1.0, step_size=0.05, sigma_max=3.0, sigma_min=0.1)
    energy, y, sigma = NoisyGaussian(), torch.linspace(-1, 2, 8).view(2, 4), torch.tensor([0.2, 2.0])
    exact = law.Gaussian(energy.mean.double(), *(t.double() for t in energy.spectrum))(y, sigma)
    torch.testing.assert_close(denoiser_of(energy, kernel)(y, sigma), exact, atol=1e-5, rtol=1e-4)


def test_a_gradient_that_is_no_number_is_refused() -> None:
    with pytest.raises(Unmeasurable, match="NaN or infinite"):
        EnergyDenoiser(lambda x: x.flatten(1).sum(1) * torch.nan)(Y, torch.ones(2))


def test_the_scale_is_linear_in_log_sigma_and_constant_beyond() -> None:
    def half_way(y: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
        return torch.zeros_like(y)

    scaled = Scaled(half_way, (0.1, 1.0, 2.0), (0.0, 1.0, 0.5))
    sigma = torch.tensor([0.01, 0.1, 0.1**0.5, 1.0, 2**0.5, 2.0, 9.0])
    y = torch.ones(7, 1, 1, 1)
    torch.testing.assert_close(1 - scaled(y, sigma).flatten(), torch.tensor([0, 0, 0.5, 1, 0.75, 0.5, 0.5]))
