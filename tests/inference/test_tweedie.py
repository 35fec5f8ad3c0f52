import pytest
import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.inference.tweedie import choose_scale, tweedie
from targets import Gaussian

SHAPE = (1, 8, 8)
PRIOR = Gaussian(0.5, 0.1)  # images N(½, 0.1²)
SIGMA = 0.1  # so that E[x|y] = (½ + y)/2


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noisy(n: int, sigma: float = SIGMA) -> tuple[Tensor, Tensor]:
    clean = PRIOR.draw(n, SHAPE, rng(1))
    return clean, clean + sigma * torch.randn(clean.shape, generator=rng(2))


def test_tweedie_with_the_density_of_noisy_images_is_the_posterior_mean() -> None:
    clean, y = noisy(500)
    of_noisy = Gaussian(0.5, (0.1**2 + SIGMA**2) ** 0.5)
    torch.testing.assert_close(tweedie(of_noisy, y, SIGMA**2), (0.5 + y.clamp(0, 1)) / 2)
    assert choose_scale(of_noisy, clean, SIGMA, rng=rng()) == pytest.approx(SIGMA**2, rel=0.02)


def test_an_energy_that_points_away_gets_no_step() -> None:
    clean, _ = noisy(20)
    assert choose_scale(lambda x: -PRIOR(x), clean, SIGMA, rng=rng()) == 0


@pytest.mark.parametrize("factor", [0.0, torch.nan])
def test_an_energy_without_a_gradient_is_unmeasurable(factor: float) -> None:
    clean, _ = noisy(5)
    with pytest.raises(Unmeasurable, match="∇E at noisy images"):
        choose_scale(lambda x: factor * PRIOR(x), clean, SIGMA, rng=rng())
