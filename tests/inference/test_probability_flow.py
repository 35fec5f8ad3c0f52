import math

import pytest
import torch
from torch import Tensor

from ebmnist.inference.calibration import fit_calibration
from ebmnist.inference.gaussian import Gaussian
from ebmnist.inference.probability_flow import log_density
from ebmnist.inference.variational_bound import dequantised_loss
from ebmnist.random import Rng
from laws import TwoPoints, correlated, draws

LOW, HIGH = 0.2, 3.0


def independent(d: int, variance: float) -> Gaussian:
    return Gaussian(torch.full((d,), 0.5).double(), torch.full((d,), variance).double(), torch.eye(d).double())


def test_the_density_of_a_gaussian_is_exact(rng: torch.Generator) -> None:
    """Along the axes, random signs give the trace itself, so that only the solver errs."""
    law = independent(9, 0.3)
    y = draws(law, 50, rng) + LOW * torch.randn(50, 1, 1, 9, generator=rng)
    found = log_density(law, y, law, LOW, HIGH, n_steps=12, rng=Rng(0))
    torch.testing.assert_close(found, law.log_density(y, LOW), atol=5e-3, rtol=0)


def test_the_solver_is_of_fourth_order(rng: torch.Generator) -> None:
    law = independent(9, 0.3)
    y = draws(law, 50, rng).double()
    exact = law.log_density(y, LOW)
    errors = [float((log_density(law, y, law, LOW, HIGH, n_steps=n, rng=Rng(0)) - exact).abs().mean()) for n in (4, 8)]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.35)


def test_the_trace_is_right_on_average(rng: torch.Generator) -> None:
    law = correlated(9)
    y = draws(law, 4000, rng)
    errors = log_density(law, y, law, LOW, HIGH, n_steps=6, rng=Rng(0)) - law.log_density(y, LOW)
    standard = float(errors.std()) / math.sqrt(len(errors))
    assert 0.001 < standard < 0.05  # one draw of signs an image is noisy
    assert float(errors.mean()) == pytest.approx(0, abs=4.5 * standard)


def test_a_flow_that_bends_has_the_density_of_its_mixture() -> None:
    law = TwoPoints()
    y = (torch.rand(200, 1, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    y = y + LOW * Rng(1).normal(tuple(y.shape), torch.float64)
    # At σ = 20 the two points are a Gaussian to 10⁻⁶.
    found = log_density(law, y, independent(9, 0.25), LOW, 20.0, n_steps=60, rng=Rng(0))
    torch.testing.assert_close(found, law.log_density(y, LOW), atol=2e-3, rtol=1e-3)


def test_bytes_of_black_and_white_pixels_take_log_2_each() -> None:
    n, d = 600, 64
    x = (torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    seen: list[int] = []
    decoder = fit_calibration(TwoPoints(), x, 0.3, 0.3, rng=Rng(0))

    def log_p(y: Tensor) -> Tensor:
        return log_density(TwoPoints(), y, independent(d, 0.25), 0.3, 8.0, n_steps=20, rng=Rng(1), watch=seen.append)

    loss = dequantised_loss(log_p, decoder, x, 0.3, rng=Rng(2))
    error = float(loss.std()) / math.sqrt(n)
    assert error < 0.3
    assert float(loss.mean()) == pytest.approx(d * math.log(2), abs=4 * error + 0.01 * d)
    assert seen == list(range(1, 21))
