"""The learning-rate schedule: a pure function, against its formulas."""

import doctest
import math

import pytest

from ebmnist.errors import BadInput
from ebmnist.training import Schedule, schedule


def test_the_example_in_its_docstring():
    outcome = doctest.testmod(schedule)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_constant_is_one():
    assert {Schedule().factor(step, 100) for step in (0, 1, 99, 100, 10**6)} == {1.0}


def test_cosine_falls_from_one_to_zero():
    factors = [Schedule("cosine").factor(step, 100) for step in range(101)]
    assert factors == pytest.approx([(1 + math.cos(math.pi * s / 100)) / 2 for s in range(101)])
    assert factors[0] == 1
    assert factors[50] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0, abs=1e-12)
    assert Schedule("cosine").factor(150, 100) == pytest.approx(0, abs=1e-12)  # and stays there


def test_a_horizon_is_where_the_cosine_ends_whenever_the_run_does():
    longer = Schedule("cosine", horizon=200)
    assert [longer.factor(s, 100) for s in range(100)] == [Schedule("cosine").factor(s, 200) for s in range(100)]


def test_exponential_goes_down_in_stairs():
    stairs = Schedule("exponential", decay=0.5, decay_every=3)
    assert [stairs.factor(step, 100) for step in range(8)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_the_default_stair_is_an_epoch_of_mnist():
    assert Schedule("exponential").decay_every == 55_000 // 128


@pytest.mark.parametrize("kind", ["constant", "cosine", "exponential"])
def test_warmup_rises_linearly_and_multiplies_the_shape(kind):
    plain, warm = Schedule(kind, decay_every=2), Schedule(kind, decay_every=2, warmup=4)
    ratio = [warm.factor(s, 20) / plain.factor(s, 20) for s in range(8)]
    assert ratio == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "linear"}, "kind must be one of constant, cosine, exponential, not 'linear'"),
        ({"warmup": -1}, "warmup"),
        ({"horizon": 0}, "horizon"),
        ({"decay": 0.0}, "decay"),
        ({"decay": 1.1}, "decay"),
        ({"decay": math.nan}, "decay"),
        ({"decay_every": 0}, "decay_every"),
    ],
)
def test_bad_fields_are_named(fields, words):
    with pytest.raises(BadInput, match=words):
        Schedule(**fields)
