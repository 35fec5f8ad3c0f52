"""Ancestral sampling: its coefficients, and exact laws where the denoiser is known."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from ebmnist.errors import BadInput
from ebmnist.sampling import Ancestral, run_chain, sample

KERNEL = Ancestral(tau=1.0, n_hold=3, n_anneal=5, sigma_max=0.8, sigma_min=0.05, rho=7.0, clamp=None)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def point(x: Tensor) -> Tensor:
    """E = κ‖x‖²/2: all data are at 0, so D(x) = 0."""
    return 0.5 * KERNEL.curvature * x.square().sum(1)


def test_levels_are_those_of_karras_et_al():
    """Equation 5 at 0, ½ and 1 of the way, ρ = 7."""
    kernel = dataclasses.replace(KERNEL, n_anneal=2)
    level = kernel.sigma(torch.arange(3, 5)).tolist()
    assert level == pytest.approx([((0.8 ** (1 / 7) + 0.05 ** (1 / 7)) / 2) ** 7, 0.05], rel=1e-4)


def test_a_step_is_the_posterior_of_the_next_level():
    """Mean D + r²(x − D) and variance σ'²(1 − r²), at the first of the annealing steps."""
    at = torch.tensor(KERNEL.n_hold)
    r = float(KERNEL.sigma(at)) / KERNEL.sigma_max
    assert float(KERNEL.drift(at)) * KERNEL.curvature == pytest.approx(1 - r * r, rel=1e-4)
    assert float(KERNEL.noise(at)) == pytest.approx(float(KERNEL.sigma(at)) * math.sqrt(1 - r * r), rel=1e-4)


def test_chains_have_the_level_at_every_step():
    """40,000 chains for data at one point, from anywhere: the spread is σ_j, to its standard error, in one cycle."""
    x = torch.full((40_000, 1), 5.0, dtype=torch.float64)
    for step_index in range(KERNEL.cycle):
        at = torch.full((len(x),), step_index)
        x = run_chain(point, KERNEL, x, 1, rng=seeded(step_index), step_index=at).x
        if step_index >= KERNEL.n_hold:
            assert abs(float(x.std() / KERNEL.sigma(at)[0]) - 1) < 4 / (2 * len(x)) ** 0.5


def test_samples_of_a_gaussian_have_its_mean_and_variance():
    """Data N(0.4, 0.3²), whose denoiser is known at every level; 200 levels leave a bias below 2 % of the deviation.

    E has to tell σ by itself, so ‖x − 0.4‖² of 400 equal pixels does: σ² + 0.3² is its mean over pixels.
    """

    def energy(x: Tensor) -> Tensor:
        # D(x) = 0.4 + (x − 0.4)·0.09/(σ² + 0.09), so ∇E = κ(x − 0.4)(1 − 0.09/m), m = mean (x − 0.4)².
        total = (x - 0.4).square().sum(1)
        return 0.5 * 0.05 * (total - 0.09 * x.shape[1] * total.log())

    kernel = Ancestral(n_hold=20, n_anneal=180, sigma_max=2.0, sigma_min=0.02, clamp=None)
    x = sample(energy, 500, rng=seeded(0), kernel=kernel, n_steps=kernel.cycle, shape=(400,))
    assert float(x.mean()) == pytest.approx(0.4, abs=0.005)
    assert float(x.std()) == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize(
    "fields",
    [
        {"curvature": 0.0},
        {"sigma_max": 0.001},
        {"sigma_min": 0.0},
        {"n_hold": 0},
        {"n_anneal": 0},
        {"hold_share": 0.0},
        {"hold_share": 1.1},
        {"rho": 0.5},
        {"tau": math.inf},
        {"clamp_margin": -1.0},
    ],
)
def test_fields_out_of_range_are_refused(fields):
    with pytest.raises(BadInput, match="ancestral"):
        Ancestral(**fields)
