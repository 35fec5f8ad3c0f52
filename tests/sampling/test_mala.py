"""MALA: exact laws where unadjusted Langevin is biased, and proposals that must never be taken."""

import dataclasses
import math

import pytest
import torch
from torch.distributions import Normal

from ebmnist.energies import energy_and_grad
from ebmnist.errors import BadInput
from ebmnist.random import ChainRng, Rng
from ebmnist.sampling import MALA, run_chain
from ebmnist.sampling.clipping import clip_grad
from targets import Gaussian, Mixture, Tilted, assert_moments

STEP = math.sqrt(2 * 0.4)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_variance_of_a_quadratic_is_one(clip, rng):
    """Where Langevin at the same step has 1.25; a clipped drift changes the proposals and not the law."""
    kernel = MALA(step_size=STEP, clip=clip)
    chain = run_chain(Gaussian(), kernel, torch.zeros(100_000, 1), 40, rng=rng, record=True)
    assert_moments(chain.x, 0.0, 1.0)
    assert 0.5 < chain.trace.accepted[-1].mean() < 1  # it refuses some: that is what corrects the law


@pytest.mark.parametrize(
    ("target", "kernel"),
    [
        (Mixture(), MALA(step_size=1.5)),
        (Mixture(), MALA(step_size=1.5, clip_norm=0.7)),
        (Tilted(), MALA(step_size=0.6, clamp=(0.0, 1.0))),
        (Tilted(-3.0), MALA(step_size=0.3, clamp=(0.0, 1.0))),
    ],
    ids=str,
)
def test_exact_draws_stay_exact(target, kernel, rng):
    """Stationarity, with no burn-in to wait for: start from p and take a few steps."""
    x = target.draw(100_000, (1,), rng)
    moved = run_chain(target, kernel, x, 5, rng=rng).x
    assert (moved != x).float().mean() > 0.5
    assert_moments(moved, target.mean, target.variance)


def test_temperature_flattens_the_law(rng):
    chain = run_chain(Gaussian(), MALA(step_size=1.0, temperature=0.25), torch.zeros(50_000, 1), 40, rng=rng)
    assert_moments(chain.x, 0.0, 0.25)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("clip", [None, 0.4])
def test_acceptance_is_that_of_detailed_balance(temperature, clip, rng):
    """accept ⇔ u < p(y)q(x|y) / p(x)q(y|x), by densities written out, in two dimensions, with the same draws."""
    target, kernel = Mixture(), MALA(step_size=1.2, temperature=temperature, clip=clip)
    x = 2 * torch.randn(2_000, 2, generator=rng, dtype=torch.float64)
    (drawn,), (draws,) = (ChainRng.of(Rng(0), x, 1) for _ in range(2))
    _, info = kernel.step(target, kernel.init(target, x), drawn)

    def proposal(at):
        drift = clip_grad(energy_and_grad(target, at)[1], clip, None)
        return Normal(at - kernel.step_size**2 / 2 * drift, kernel.step_size * temperature**0.5)

    forward = proposal(x)
    y = forward.mean + forward.stddev * draws.normal_like(x)
    ratio = (target(x) - target(y)) / temperature
    ratio = ratio + (proposal(y).log_prob(x) - forward.log_prob(y)).sum(1)
    u = draws.uniform((2_000,), x.dtype)
    expected = u.log() < ratio
    assert torch.equal(info.accepted, expected)
    assert 0.2 < expected.double().mean() < 0.98
    torch.testing.assert_close(info.x_after, torch.where(expected[:, None], y, x))


def test_flow_between_two_sets_is_the_same_both_ways(rng):
    """Detailed balance, counted: in equilibrium as many chains go from A to B as from B to A."""
    target = Mixture(means=(-1.0, 1.0), weights=(0.3, 0.7), scale=0.5)
    x = target.draw(200_000, (1,), rng)
    moved = run_chain(target, MALA(step_size=1.2), x, 1, rng=rng).x
    there = ((x < -0.5) & (moved > 0.5)).sum().item()
    back = ((x > 0.5) & (moved < -0.5)).sum().item()
    assert there + back > 500
    assert abs(there - back) < 4 * math.sqrt(there + back)


def test_nothing_leaves_the_box(rng):
    kernel = MALA(step_size=1.0, clamp=(0.0, 1.0))
    chain = run_chain(Tilted(), kernel, torch.rand(500, 2, generator=rng), 20, rng=rng, keep=range(21))
    assert chain.trajectory.min() >= 0
    assert chain.trajectory.max() <= 1
    # Refused, not moved to the wall: a clamp would leave an atom of probability there.
    assert not ((chain.trajectory == 0) | (chain.trajectory == 1)).any()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_proposal_without_a_finite_energy_is_never_taken(bad, rng):
    def broken(x):
        return 0.5 * x.square().sum(1) + torch.where(x[:, 0] > 0, bad, 0.0)

    start = -torch.rand(500, 1, generator=rng)
    chain = run_chain(broken, MALA(step_size=1.0), start, 10, rng=rng, record=True)
    assert (chain.x <= 0).all()
    assert chain.trace.energy.isfinite().all()
    assert 0.1 < chain.trace.accepted.mean() < 0.9


def test_state_carries_the_energy_and_gradient_of_where_it_stands(rng):
    """One evaluation a step: what the state carries is what a fresh evaluation would give."""
    target, kernel = Mixture(), MALA(step_size=1.5)
    state = kernel.init(target, torch.randn(200, 2, generator=rng))
    for numbers in ChainRng.of(rng, state.x, 5):
        before = state
        state, info = kernel.step(target, state, numbers)
        assert torch.equal(info.energy, before.energy)
        assert torch.equal(info.grad, before.grad)
        assert torch.equal(info.accepted, (state.x != before.x).any(1))
    value, grad = energy_and_grad(target, state.x)
    assert torch.equal(state.energy, value)
    assert torch.equal(state.grad, grad)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"step_size": -1.0}, "step_size"),
        ({"temperature": 0.0}, "temperature"),  # the accept step divides by it
        ({"temperature": math.nan}, "temperature"),
        ({"clip": 0.0}, "clip"),
        ({"clip_norm": math.nan}, "clip_norm"),
        ({"clamp": (1.0, 1.0)}, "clamp"),
    ],
)
def test_bad_fields_are_named(fields, named):
    with pytest.raises(BadInput, match=f"mala: .*{named}"):
        MALA(**fields)


def test_hyper_parameters_cannot_change_under_a_chain():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MALA().step_size = 1.0
