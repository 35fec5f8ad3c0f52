"""Underdamped Langevin: exact for quadratic energies at any step, and inside a box."""

import math

import pytest
import torch

from ebmnist.errors import BadInput
from ebmnist.random import Purpose, StepRng, Stream
from ebmnist.sampling import UnderdampedLangevin, run_chain
from targets import Gaussian, Tilted, assert_moments


@pytest.mark.parametrize(("step_size", "friction"), [(1.0, 1.0), (1.5, 0.5), (0.5, 4.0)])
def test_variance_of_a_quadratic_is_exact(step_size, friction, rng):
    """Leimkuhler & Matthews 2013: BAOAB has no error in x there, where overdamped Langevin at ε = 1 has 1/3."""
    kernel = UnderdampedLangevin(step_size=step_size, friction=friction, temperature=0.25)
    assert_moments(run_chain(Gaussian(), kernel, torch.zeros(50_000, 1), 60, rng=rng).x, 0.0, 0.25)


def test_a_box_keeps_the_law_inside(rng):
    """Reflection of position and momentum; the step is small, as BAOAB is not exact here."""
    target = Tilted()
    kernel = UnderdampedLangevin(step_size=0.05, friction=2.0, clamp=(0.0, 1.0))
    x = run_chain(target, kernel, target.draw(40_000, (1,), rng), 40, rng=rng).x
    assert 0 <= x.min() < x.max() <= 1
    assert_moments(x, target.mean, target.variance)


def test_a_free_particle_slows_down_by_friction():
    """T = 0 and no force: x moves by the sum of ε(1 + e^(−γε))/2 · p, momentum falls by e^(−γε) a step."""
    kernel = UnderdampedLangevin(step_size=0.3, friction=2.0, temperature=0.0)
    flat = lambda x: 0 * x.sum(1)  # noqa: E731
    x, p = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    state = kernel.init(flat, x)._replace(memory=(p,))
    after, _ = kernel.step(flat, state, StepRng(Stream(0, Purpose.SAMPLING), 0, "cpu"))
    kept = math.exp(-0.6)
    assert float(after.memory[0]) == pytest.approx(kept)
    assert float(after.x) == pytest.approx(0.15 * (1 + kept))


@pytest.mark.parametrize("fields", [{"step_size": 0.0}, {"temperature": -1.0}, {"friction": 0.0}, {"clip": 0.0}])
def test_a_field_out_of_range_is_refused(fields):
    with pytest.raises(BadInput, match="underdamped_langevin"):
        UnderdampedLangevin(**fields)
