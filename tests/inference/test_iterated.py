"""The denoiser of a Gaussian energy, its derivative, the noise level it tells, and what it makes when applied again."""

import pytest
import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.inference.denoisers import check_denoiser, denoiser_of
from ebmnist.inference.iterated import Iterated, fit_iterated
from ebmnist.inference.noise_level import noise_level
from ebmnist.sampling import AnnealedLangevin, Langevin

KERNEL = AnnealedLangevin()
SHAPE = (1, 12, 12)
SD, SIGMA = 0.2, 0.1
GAIN = SIGMA**2 / (SD**2 + SIGMA**2)  # D(y) = y − GAIN·(y − ½) for images N(½, SD²) with noise SIGMA


def energy(x: Tensor) -> Tensor:
    return 0.5 * KERNEL.curvature * GAIN * (x - 0.5).square().flatten(1).sum(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int) -> tuple[Tensor, Tensor]:
    clean = 0.5 + SD * torch.randn(n, *SHAPE, generator=seeded(1), dtype=torch.float64)
    return clean, clean + SIGMA * torch.randn(n, *SHAPE, generator=seeded(2), dtype=torch.float64)


@pytest.mark.parametrize("low_precision", [False, True])
def test_it_is_the_posterior_mean_and_its_derivative_is_exact_where_it_is_linear(low_precision: bool) -> None:
    denoiser = denoiser_of(energy, KERNEL, low_precision=low_precision)
    _, y = images(5)
    told = torch.full((5,), SIGMA, dtype=torch.float64)
    torch.testing.assert_close(denoiser(y, told), y - GAIN * (y - 0.5))
    v = torch.randn(y.shape, generator=seeded(3), dtype=torch.float64)
    v[0] = 0
    found = denoiser.derivative(y, told, denoiser(y, told), v, 7 * told)
    torch.testing.assert_close(found, (1 - GAIN) * v)


def test_an_energy_of_one_temperature_is_no_denoiser() -> None:
    with pytest.raises(BadInput, match="trained at one temperature"):
        check_denoiser(Langevin())


def test_the_noise_level_is_right_within_its_error() -> None:
    """σ̂² of an image is a mean of 144 squares, times σ²: its deviation is σ²√(2/144)."""
    _, y = images(400)
    found = noise_level(denoiser_of(energy, KERNEL), y, rng=seeded(4)).square() / SIGMA**2
    assert abs(float(found.mean()) - 1) < 4 * float(found.std()) / 400**0.5
    assert float(found.std()) == pytest.approx((2 / 144) ** 0.5, rel=0.2)


@pytest.mark.parametrize(("sign", "said"), [(0.0, "finds no noise"), (-1.0, "takes no noise")])
def test_no_noise_level_is_invented(sign: float, said: str) -> None:
    denoiser = denoiser_of(lambda x: sign * energy(x), KERNEL)
    with pytest.raises(BadInput, match=said):
        noise_level(denoiser, images(3)[1], rng=seeded(0))


def test_weights_make_a_wrong_denoiser_the_posterior_mean() -> None:
    """D takes half of GAIN: the best single weight is 2, and error and noise are what the Gaussian law says."""
    clean, y = images(300)
    wrong = denoiser_of(lambda x: 0.5 * energy(x), KERNEL)
    fitted = fit_iterated(wrong, clean, SIGMA, rng=seeded(5), n_times=1)
    assert fitted.weights[0] == pytest.approx(2, rel=0.02)
    error = (fitted(y) - clean).square().mean()
    assert float(error) == pytest.approx(SD**2 * GAIN, rel=0.02)


def test_iterating_weighs_the_steps_and_undoes_the_shifts() -> None:
    def to_half(x: Tensor, _: Tensor) -> Tensor:  # the same at every pixel, so shifts change nothing
        return 0.5 * (x + 0.5)

    y = images(2)[1]
    x = Iterated(to_half, SIGMA, (1.0, 0.5, -1.0))(y)
    torch.testing.assert_close(x - 0.5, (1 - 0.5 - 0.5 * 0.25 + 0.125) * (y - 0.5))
