import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ebmnist.inference.gaussian_mixture import fit_gaussian_mixture
from ebmnist.inference.probit import ProbitBase, ProbitEnergy, images_to_y, probit_base, y_to_images
from targets import Tilted


def fitted(rng: torch.Generator) -> tuple[Tensor, ProbitBase]:
    y = torch.randn(4000, 3, generator=rng, dtype=torch.float64).cumsum(1) + 1
    return y, probit_base(fit_gaussian_mixture(y), torch.float64)


def test_probit_and_its_inverse_undo_each_other_near_both_ends() -> None:
    x = torch.tensor([[1e-10, 0.002, 0.5, 0.998, 1 - 1e-10]], dtype=torch.float64)
    torch.testing.assert_close(y_to_images(images_to_y(x), (1, 1, 5)), x.view(1, 1, 1, 5), rtol=1e-6, atol=0)


@pytest.mark.parametrize("beta", [0.0, 1.0, 30.0])
def test_normaliser_is_the_integral_over_the_box(beta: float) -> None:
    """Simpson's rule over y against ∫₀¹ exp(−β(2x − ½)) dx."""
    u = ProbitEnergy(Tilted(2.0), (1,), beta, 0.5)
    y = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    found = float(torch.trapezoid((-u(y[:, None])).exp(), y))
    exact = 1.0 if beta == 0 else math.exp(beta * 0.5) * -math.expm1(-2 * beta) / (2 * beta)
    assert found == pytest.approx(exact, rel=1e-9)


def test_base_is_a_normalised_gaussian_in_y(rng: torch.Generator) -> None:
    y, base = fitted(rng)
    expected = -MultivariateNormal(y.mean(0), y.T.cov(correction=0)).log_prob(y)
    torch.testing.assert_close(base(base.from_y(y)), expected)
    torch.testing.assert_close(base.to_y(base.from_y(y)), y)


def test_base_draws_have_the_moments_of_the_data(rng: torch.Generator) -> None:
    y, base = fitted(rng)
    drawn = base.to_y(base.draw(40_000, rng))
    torch.testing.assert_close(drawn.mean(0), y.mean(0), atol=0.04, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), y.T.cov(), atol=0.1, rtol=0)
