import math

import pytest
import torch
from torch import Tensor

from ebmnist.errors import Unmeasurable
from ebmnist.inference.annealing import Bridge, anneal, log_mean
from targets import Gaussian, GaussianRBM

D = 4
BASE, TARGET = Gaussian(), Gaussian(mean=1.0, scale=0.5)
TRUTH = TARGET.log_z(D) - BASE.log_z(D)


def rungs(n: int) -> list[Bridge]:
    return [Bridge(BASE, TARGET, k / n) for k in range(n + 1)]


def draws(n: int, rng: torch.Generator) -> Tensor:
    return torch.randn(n, D, generator=rng, dtype=torch.float64)


def test_one_passage_is_importance_sampling(rng: torch.Generator) -> None:
    x = draws(50, rng)
    run = anneal([BASE, TARGET], x, n_steps=1, rng=rng, step_sizes=[0.1])
    torch.testing.assert_close(run.log_weights, BASE(x) - TARGET(x))


def test_weights_of_equal_densities_are_one(rng: torch.Generator) -> None:
    run = anneal([BASE] * 5, draws(20, rng), n_steps=2, rng=rng, step_sizes=[0.5] * 4)
    assert torch.equal(run.log_weights, torch.zeros(20, dtype=torch.float64))


@pytest.mark.parametrize("step_size", [0.1, 0.5, 3.0])
def test_the_mean_weight_is_the_ratio_of_normalisers_whatever_the_step(step_size: float, rng: torch.Generator) -> None:
    run = anneal(rungs(30), draws(2000, rng), n_steps=2, rng=rng, step_sizes=[step_size] * 30)
    found = log_mean(run.log_weights)
    assert found.error < 0.2
    assert found.value == pytest.approx(TRUTH, abs=4 * found.error)


def test_more_rungs_weigh_more_evenly(rng: torch.Generator) -> None:
    ess = [
        log_mean(anneal(rungs(n), draws(500, rng), n_steps=2, rng=rng, step_sizes=[0.5] * n).log_weights).ess
        for n in (1, 5, 50)
    ]
    assert ess == sorted(ess)
    assert ess[-1] > 10 * ess[0]


def test_a_pilot_tunes_its_steps_to_the_narrowing_density(rng: torch.Generator) -> None:
    run = anneal(rungs(60), draws(200, rng), n_steps=3, rng=rng)
    assert run.acceptance == pytest.approx(0.574, abs=0.1)
    assert run.step_sizes[20] > 1.3 * run.step_sizes[-1]


def test_log_mean_by_hand() -> None:
    equal = log_mean(torch.full((20,), 3.0, dtype=torch.float64))
    assert equal == (pytest.approx(3.0), pytest.approx(0.0, abs=1e-12), pytest.approx(20.0))
    one = log_mean(torch.tensor([1000.0] + [0.0] * 19, dtype=torch.float64))
    assert one.value == pytest.approx(1000 - math.log(20))
    assert one.ess == pytest.approx(1.0)


def test_a_weight_that_is_not_finite_is_refused() -> None:
    with pytest.raises(Unmeasurable, match="1 of 3 annealed chains"):
        log_mean(torch.tensor([0.0, torch.nan, 1.0]))


def test_the_log_z_of_an_rbm_is_found_from_below(rng: torch.Generator) -> None:
    """Many modes, and an exact log Z; with few rungs the estimate is below it, as Jensen's inequality has it."""
    target = GaussianRBM()
    found = []
    for n in (5, 100):
        path = [Bridge(Gaussian(), target, k / n) for k in range(n + 1)]
        x = torch.randn(500, target.n_visible, generator=rng, dtype=torch.float64)
        run = anneal(path, x, n_steps=2, rng=rng, step_sizes=[0.6] * n)
        found.append((run.log_weights, log_mean(run.log_weights)))
    log_z0 = Gaussian().log_z(target.n_visible)
    weights, estimate = found[1]
    assert estimate.error < 0.1
    assert log_z0 + estimate.value == pytest.approx(target.log_z(), abs=4 * estimate.error)
    assert log_z0 + float(found[0][0].mean()) < log_z0 + float(weights.mean()) < target.log_z()
