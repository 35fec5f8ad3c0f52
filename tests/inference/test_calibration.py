import math

import pytest
import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.inference.calibration import bytes_of, fit_calibration, log_uniform
from ebmnist.random import Rng
from laws import TwoPoints

SIGMA = 0.4


def nothing(y: Tensor, sigma: Tensor) -> Tensor:  # noqa: ARG001
    """A denoiser that knows nothing."""
    return torch.zeros_like(y)


def black_or_white(n: int, seed: int) -> Tensor:
    return (torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) < 0.5).float()


def integrals() -> tuple[float, float]:
    """Exact E‖x − E[x|y]‖² and H(x | y) of one pixel, in nats, by a sum over a fine grid of y."""
    y = torch.linspace(-3, 4, 20_001, dtype=torch.float64)
    p = torch.exp(TwoPoints().log_density(y.view(-1, 1, 1, 1), SIGMA)) * (y[1] - y[0])
    white = torch.sigmoid((y - 0.5) / SIGMA**2)
    entropy = -(torch.xlogy(white, white) + torch.xlogy(1 - white, 1 - white))
    return float((p * white * (1 - white)).sum()), float((p * entropy).sum())


@pytest.mark.parametrize("denoiser", [nothing, TwoPoints()])
def test_calibrated_pixels_reach_the_exact_error_and_entropy(denoiser: object) -> None:
    calibration = fit_calibration(denoiser, black_or_white(2000, 0), SIGMA, SIGMA, rng=Rng(0))  # type: ignore[arg-type]
    x = black_or_white(1000, 1)
    y, sigma = x + SIGMA * Rng(2).normal(tuple(x.shape)), torch.full((1000,), SIGMA)
    error, entropy = integrals()
    for found, exact in (
        ((calibration(y, sigma) - x).square().flatten(1).mean(1).double(), error),
        (-calibration.log_prob(x, y, sigma).double() / 64, entropy),
    ):
        spread = float(found.std()) / math.sqrt(len(found))
        # Cells of y are .12 wide: what is lost to them is a few percent, and nothing is gained.
        assert exact - 4 * spread < float(found.mean()) < 1.05 * exact + 4 * spread


def test_a_denoiser_that_is_half_right_is_scaled() -> None:
    def half(y: Tensor, sigma: Tensor) -> Tensor:
        return y + 0.5 * (TwoPoints()(y, sigma) - y)

    calibration = fit_calibration(half, black_or_white(500, 0), SIGMA, SIGMA, rng=Rng(0))
    assert calibration.scale == pytest.approx(2.0, rel=0.03)


def test_every_byte_has_a_probability_and_they_sum_to_one() -> None:
    calibration = fit_calibration(nothing, black_or_white(20, 0), 0.1, 0.2, rng=Rng(0))
    assert torch.isfinite(calibration.log_p).all()
    torch.testing.assert_close(calibration.log_p.exp().sum(1), torch.ones(len(calibration.log_p)))


def test_a_denoiser_that_does_not_move_is_refused() -> None:
    with pytest.raises(Unmeasurable, match="moves no image"):
        fit_calibration(lambda y, sigma: y, black_or_white(5, 0), 0.1, 0.1, rng=Rng(0))  # noqa: ARG005


def test_bytes_are_whole_numbers_of_255() -> None:
    assert bytes_of(torch.tensor([0.0, 0.3, 127 / 255, 1.0])).tolist() == [0, 76, 127, 255]


def test_noise_levels_cover_the_range_evenly() -> None:
    sigma = log_uniform(1000, 0.1, 1.0, Rng(0))
    shares = (sigma.log10() + 1).sort().values
    assert ((shares - (torch.arange(1000) + 0.5) / 1000).abs() <= 0.5 / 1000 + 1e-12).all()
    assert not torch.equal(sigma, sigma.sort().values)
