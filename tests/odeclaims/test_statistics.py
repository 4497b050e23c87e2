"""Intervals and slopes against closed forms and the coverage that an interval promises."""

import math

import numpy as np
import pytest
from scipy import stats

from odeclaims.statistics import interval, log_slope, pearson, slope, slope_interval, spearman


def test_slopes_of_exact_laws():
    x = np.array([1.0, 2, 4, 8])
    assert slope(x, 3 * x - 1) == pytest.approx(3)
    assert log_slope(x, 5 * x**-2.5) == pytest.approx(-2.5)


def test_rank_correlation_is_that_of_the_order_alone():
    x = np.array([1.0, 2, 4, 8])
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -x) == pytest.approx(-1)
    # By hand: 1 - 6 * (1 + 1) / (4 * 15).
    assert spearman(x, [1, 3, 2, 9]) == pytest.approx(0.8)


def test_a_constant_has_a_slope_of_zero_without_doubt():
    assert slope_interval([1, 2, 4, 8], [3.0] * 4) == (0, 0)
    low, high = slope_interval([1, 2, 4, 8], [2.0, 4.0, 8.0, 16.0]) or (math.nan, math.nan)
    assert low == pytest.approx(1)
    assert high == pytest.approx(1)


def test_log_slope_leaves_out_what_has_no_logarithm():
    assert log_slope([1, 2, 4, 8], [1, 2, 0, math.nan]) == pytest.approx(1)


@pytest.mark.parametrize("y", [[1.0], [1.0, 1.0]])
def test_undefined_statistics_are_nan(y):
    assert math.isnan(log_slope([2.0] * len(y), y))
    assert math.isnan(slope([2.0] * len(y), y))
    assert math.isnan(pearson([2.0] * len(y), y))
    assert math.isnan(spearman([2.0] * len(y), y))


def test_interval_is_the_same_at_every_call_and_holds_the_median():
    values = np.random.default_rng(1).normal(size=15)
    low, high = interval(values) or (math.nan, math.nan)
    assert (low, high) == interval(values)
    assert low < np.median(values) < high


def test_interval_of_too_few_and_of_equal_values():
    assert interval([1.0]) is None
    assert interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
    assert interval([1.0, 2.0]) is not None


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        low, high = interval(rng.normal(size=25), np.mean) or (math.nan, math.nan)
        hits += low <= 0 <= high
    # The chance of fewer than 50 hits at a true coverage of 93% is below one in a hundred.
    assert hits >= stats.binom.ppf(0.005, 60, 0.93)
