import pytest
import torch
from torch import Tensor, nn

from ebmnist.errors import Unmeasurable
from ebmnist.inference.posterior import Posterior, choose_posterior, choose_scale, posterior_mean, tweedie
from targets import Gaussian

SHAPE = (1, 8, 8)
PRIOR = Gaussian(0.5, 0.1)  # images N(½, 0.1²)
SIGMA = 0.1  # so that E[x|y] = (½ + y)/2


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noisy(n: int, sigma: float = SIGMA) -> tuple[Tensor, Tensor]:
    clean = PRIOR.draw(n, SHAPE, rng(1))
    return clean, clean + sigma * torch.randn(clean.shape, generator=rng(2))


@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1 / 2), (3.0, 3 / 4)])
def test_the_mean_of_the_chains_is_the_posterior_mean(temperature: float, share: float) -> None:
    # A prior at temperature T has variance T·0.1², so E[x|y] = ½ + (y − ½)·T/(T + 1).
    _, y = noisy(200)
    posterior = Posterior(temperature, 0.1, 200)
    x = posterior_mean(PRIOR, y, SIGMA, posterior, rng=rng(), n_chains=4, clamp=None)
    error = (x - (0.5 + share * (y - 0.5))).flatten()
    # 4 chains, 100 steps, autocorrelated over 1/(0.1·(1 + 1/T)) steps: the mean over all pixels is exact to 2e-4.
    assert abs(float(error.mean())) < 1e-3
    assert float(error.std()) < 0.02
    slope = ((x - 0.5) * (y - 0.5)).sum() / (y - 0.5).square().sum()
    assert float(slope) == pytest.approx(share, abs=0.01)


def test_chains_start_at_the_clamped_image_and_stay_in_the_box() -> None:
    y = torch.linspace(-1, 2, 128).view(2, 1, 8, 8)
    at_once = posterior_mean(PRIOR, y, SIGMA, Posterior(1.0, 0.1, 0), rng=rng())
    torch.testing.assert_close(at_once, y.clamp(0, 1))
    later = posterior_mean(PRIOR, y, SIGMA, Posterior(1.0, 0.1, 5), rng=rng())
    assert float(later.min()) >= 0
    assert float(later.max()) <= 1


def test_choosing_finds_the_temperature_whose_posterior_mean_is_best() -> None:
    clean, y = noisy(100)
    rms = float((y - 0.5).square().mean().sqrt()) / 0.1**2
    strengths = [SIGMA * rms / t for t in (0.05, 1.0, 20.0)]
    chosen = choose_posterior(
        PRIOR, clean, SIGMA, rng=rng(), strengths=strengths, steps=(0.1,), lengths=(100,), clamp=None
    )
    assert chosen.temperature == pytest.approx(1.0, rel=0.05)


def test_choosing_does_not_depend_on_the_scale_of_the_energy() -> None:
    clean, _ = noisy(20)
    one, hundred = (choose_posterior(Gaussian(0.5, s), clean, SIGMA, rng=rng()) for s in (0.1, 0.01))
    assert hundred.temperature == pytest.approx(100 * one.temperature, rel=1e-4)
    assert hundred[1:] == one[1:]


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
    for choose in (choose_posterior, choose_scale):
        with pytest.raises(Unmeasurable, match="∇E at noisy images"):
            choose(lambda x: factor * PRIOR(x), clean, SIGMA, rng=rng())


def test_weights_are_frozen_on_the_way() -> None:
    modes: set[bool] = set()

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            modes.add(self.training or self.weight.requires_grad)
            return self.weight * PRIOR(x)

    energy = Watched()
    clean, y = noisy(5)
    choose_posterior(energy, clean, SIGMA, rng=rng(), lengths=(2,))
    posterior_mean(energy, y, SIGMA, Posterior(1.0, 0.1, 2), rng=rng())
    tweedie(energy, y, 0.1)
    assert modes == {False}
    assert energy.training
    assert energy.weight.requires_grad
