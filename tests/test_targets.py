"""The targets are what they say: moments against their own exact draws, log Z against a sum over a fine grid."""

import math

import pytest
import torch

from targets import Gaussian, GaussianRBM, Mixture, Tilted, assert_moments

TARGETS = [Gaussian(), Gaussian(-1.5, 0.3), Mixture(), Tilted(), Tilted(-3.0)]


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_moments_are_those_of_the_draws(target, rng):
    assert_moments(target.draw(50_000, (1,), rng), target.mean, target.variance)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_log_z_is_the_integral(target):
    low, high = (0, 1) if isinstance(target, Tilted) else (-12, 12)
    n = 100_000
    x = low + (high - low) * (torch.arange(n, dtype=torch.float64) + 0.5) / n
    integral = torch.exp(-target(x[:, None])).sum() * (high - low) / n
    assert target.log_z(1) == pytest.approx(math.log(integral), abs=1e-6)


def test_log_z_of_a_small_rbm_is_the_integral():
    axis = torch.arange(-12, 20, 0.05, dtype=torch.float64)
    target = GaussianRBM(2, 3)
    integral = torch.exp(-target(torch.cartesian_prod(axis, axis))).sum() * 0.05**2
    assert target.log_z() == pytest.approx(math.log(integral), abs=1e-6)


def test_moments_that_are_wrong_are_refused(rng):
    x = Gaussian().draw(50_000, (1,), rng)
    with pytest.raises(AssertionError, match="mean"):
        assert_moments(x, 0.05, 1.0)
    with pytest.raises(AssertionError, match="variance"):
        assert_moments(x, 0.0, 1.06)
