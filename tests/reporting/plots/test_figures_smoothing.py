"""Medians and limits that bad values do not spoil."""

import numpy as np

from ebmnist.reporting.plots.smoothing import limits, running_median, to_segments


def test_running_median_of_a_line_is_the_line():
    x = np.arange(101.0)
    centres, median = running_median(x, 2 * x, 5)
    inner = (centres >= 5) & (centres <= 95)
    assert np.array_equal(median[inner], 2 * centres[inner])


def test_running_median_ignores_what_is_not_finite_and_stays_nan_where_nothing_is():
    value = np.ones(100)
    value[10:13], value[50:] = (np.nan, np.inf, 1e30), np.nan
    centres, median = running_median(np.arange(100.0), value, 2)
    assert np.all(median[centres <= 8] == 1)
    assert np.all(median[(centres >= 15) & (centres < 50)] == 1)
    assert np.all(np.isnan(median[centres >= 52]))


def test_running_median_has_a_bounded_number_of_points():
    assert len(running_median(np.arange(5000.0), np.ones(5000), 3, n_points=50)[0]) == 50


def test_limits_hold_everything_ordinary_and_no_spike():
    ordinary = np.random.default_rng(0).normal(size=1000)
    low, high = limits(ordinary)
    assert low < ordinary.min()
    assert high > ordinary.max()
    with_spike = limits(np.append(ordinary, [1e30, np.nan, -np.inf]))
    assert abs(with_spike[1]) < 2 * high
    assert limits(np.append(ordinary, 1e30), trim=0.0)[1] > 1e30


def test_limits_need_two_values():
    assert limits(np.array([np.nan, np.inf, 3.0, 3.0])) is None


def test_segments_end_where_the_step_falls_back():
    step = np.array([1.0, 2, 3, 2, 3, 4])
    parts = to_segments(step, 10 * step)
    assert [part.tolist() for part, _ in parts] == [[1, 2, 3], [2, 3, 4]]
    assert [part.tolist() for _, part in parts] == [[10, 20, 30], [20, 30, 40]]
