import math

import pytest

from ebmnist.training.running import Running, magnitudes
from records import RECORD, USUAL


def test_magnitudes_are_those_of_the_record() -> None:
    assert magnitudes(RECORD)[1:] == USUAL[1:]


def test_the_first_record_is_the_mean() -> None:
    assert Running().after(RECORD, settling=100)[1:] == pytest.approx(USUAL[1:])


def test_the_mean_of_two_is_geometric() -> None:
    two = Running().after(RECORD, settling=100).after(RECORD._replace(energy_max=16.0), settling=100)
    assert two.n_seen == 2
    assert two.energy_max == pytest.approx(8.0)
    assert two.gap == pytest.approx(0.5)


def test_old_records_fade() -> None:
    running = USUAL
    for _ in range(400):
        running = running.after(RECORD._replace(displacement=7.0), settling=100)
    assert running.displacement == pytest.approx(7.0, rel=1e-3)
    assert running.n_seen == 600


def test_what_is_not_finite_teaches_nothing() -> None:
    spoilt = RECORD._replace(weight_grad_norm=math.nan, energy_max=math.inf, displacement=6.0)
    after = USUAL.after(spoilt, settling=100)
    assert after.weight_grad_norm == USUAL.weight_grad_norm
    assert after.energy_max == USUAL.energy_max
    assert after.displacement > USUAL.displacement


@pytest.mark.parametrize("outlier", [1e12, 1e-12])
def test_an_outlier_teaches_little_once_settled(outlier: float) -> None:
    spike = RECORD._replace(weight_grad_norm=outlier)
    bound = 10.0 if outlier > 1 else 0.1
    assert USUAL.after(spike, settling=100).weight_grad_norm == pytest.approx(2.0 * bound**0.02)
    assert USUAL.after(spike, settling=201).weight_grad_norm == pytest.approx(2.0**0.98 * outlier**0.02)


def test_nothing_is_zero() -> None:
    still = RECORD._replace(displacement=0.0, grad_norm=0.0, energy_neg=1.0, share_clipped=1.0)
    assert min(Running().after(still, settling=100)) > 0
