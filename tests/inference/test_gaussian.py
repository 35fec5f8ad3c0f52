import math

import pytest
import torch

from ebmnist.inference.gaussian import Gaussian
from laws import correlated, draws


def test_the_density_is_that_of_torch(rng: torch.Generator) -> None:
    law, x = correlated(5), torch.randn(7, 1, 1, 5, generator=rng)
    covariance = (law.basis * law.eigenvalues) @ law.basis.T + 0.3**2 * torch.eye(5, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(law.mean, covariance)
    torch.testing.assert_close(law.log_density(x, 0.3), exact.log_prob(x.flatten(1).double()))


def test_the_divergence_is_that_of_torch(rng: torch.Generator) -> None:
    law, x = correlated(5), torch.randn(4, 1, 1, 5, generator=rng)
    eye = torch.eye(5, dtype=torch.float64)
    q = torch.distributions.MultivariateNormal(x.flatten(1).double(), 0.09 * eye)
    p = torch.distributions.MultivariateNormal(law.mean, (law.basis * law.eigenvalues) @ law.basis.T + 0.09 * eye)
    torch.testing.assert_close(law.divergence(x, 0.3), torch.distributions.kl_divergence(q, p))


def test_the_conditional_mean_is_the_regression_of_clean_on_noisy_pixels(rng: torch.Generator) -> None:
    law, sigma = correlated(4), torch.full((50_000,), 0.7)
    x = draws(law, 50_000, rng)
    y = x + 0.7 * torch.randn(x.shape, generator=rng)
    residual = (x - law(y, sigma)).flatten(1)
    # Orthogonal to every pixel of y, and to a constant.
    for column in (torch.ones(len(y)), *y.flatten(1).T):
        products = residual * column[:, None]
        assert (products.mean(0).abs() < 4.5 * products.std(0) / math.sqrt(len(y))).all()


def test_without_variance_the_mean_is_all_there_is() -> None:
    law = Gaussian(
        torch.full((3,), 0.4, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), torch.eye(3).double()
    )
    assert law(torch.rand(2, 1, 1, 3), torch.ones(2)).flatten().tolist() == pytest.approx([0.4] * 6)
