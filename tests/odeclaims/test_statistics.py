"""Intervals and slopes against closed forms and the coverage that an interval promises."""

import math

import numpy as np
import pytest
from scipy import stats

from odeclaims.statistics import (
    holm,
    log_slope,
    mean_interval,
    median_interval,
    median_p,
    prediction_interval,
    share_interval,
    share_p,
    sign_flip_p,
    slope,
    slope_interval,
    spearman,
    two_way_interval,
)


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


def test_log_slope_leaves_out_what_has_no_logarithm():
    assert log_slope([1, 2, 4, 8], [1, 2, 0, math.nan]) == pytest.approx(1)


@pytest.mark.parametrize("y", [[1.0], [1.0, 1.0]])
def test_undefined_statistics_are_nan(y):
    assert math.isnan(log_slope([2.0] * len(y), y))
    assert math.isnan(slope([2.0] * len(y), y))
    assert math.isnan(spearman([2.0] * len(y), y))


def test_the_interval_of_a_mean_holds_what_the_sign_flip_test_does_not_reject():
    values = np.random.default_rng(1).normal(0.5, 1, 10)
    low, high = mean_interval(values) or (math.nan, math.nan)
    assert low < values.mean() < high
    for inside, outside in ((low + 1e-6, low - 1e-6), (high - 1e-6, high + 1e-6)):
        assert sign_flip_p(values, inside) > 0.05 >= sign_flip_p(values, outside)


def test_the_interval_of_a_mean_of_six_is_their_range_and_of_five_there_is_none():
    values = [1.0, 2, 3, 4, 5, 9]
    assert mean_interval(values) == (1, 9)
    assert mean_interval(values[:5]) is None
    assert mean_interval(values[:5], 0.90) == (1, 5)
    assert mean_interval([]) is None


def test_the_interval_of_many_is_near_that_of_students_t():
    values = np.random.default_rng(0).normal(size=60)
    t = stats.ttest_1samp(values, 0).confidence_interval()
    assert mean_interval(values) == pytest.approx((t.low, t.high), abs=0.06)
    assert mean_interval(values) == mean_interval(values)


def test_the_interval_of_a_median_is_between_order_statistics():
    values = np.arange(10.0)
    # P(Binomial(10, 1/2) <= 1) is 0.0107, and <= 2 is 0.055.
    assert median_interval(values) == (1, 8)
    assert median_interval(values[:6]) == (0, 5)
    assert median_interval(values[:5]) is None
    assert median_p(values, -1) == pytest.approx(2 * 0.5**10)


def test_shares_against_their_formulas():
    # Wilson's interval by hand, for 7 of 10.
    z = stats.norm.ppf(0.975)
    middle = (0.7 + z**2 / 20) / (1 + z**2 / 10)
    reach = z / (1 + z**2 / 10) * math.sqrt(0.7 * 0.3 / 10 + z**2 / 400)
    assert share_interval(7, 10, exact=False) == pytest.approx((middle - reach, middle + reach))
    assert share_interval(0, 5, exact=True) == pytest.approx((0, 1 - 0.025**0.2))
    assert share_p(9, 10, 0.5) == pytest.approx(2 * 11 / 1024)


def test_a_prediction_interval_holds_a_new_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        low, high = prediction_interval(rng.normal(size=5), theirs=3) or (math.nan, math.nan)
        hits += low <= rng.normal(size=3).mean() <= high
    assert abs(hits - 380) <= 3 * math.sqrt(400 * 0.05 * 0.95)
    assert prediction_interval([1.0, 2.0]) is None


def test_the_interval_of_a_slope_is_that_of_the_regression():
    rng = np.random.default_rng(0)
    x = np.geomspace(1, 100, 12)
    y = x**1.5 * rng.lognormal(0, 0.1, 12)
    low, high = slope_interval(x, y) or (math.nan, math.nan)
    _, covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    reach = stats.t.ppf(0.975, 10) * math.sqrt(covariance[0, 0])
    assert (high - low) / 2 == pytest.approx(reach)
    assert low < log_slope(x, y) < high
    assert slope_interval([1, 2], [1, 2]) is None
    assert slope_interval([2, 2, 2], [1, 2, 3]) is None


def test_a_constant_has_a_slope_of_zero_without_doubt():
    assert slope_interval([1, 2, 4, 8], [3.0] * 4) == (0, 0)
    assert slope_interval([1, 2, 4, 8], [2.0, 4.0, 8.0, 16.0]) == pytest.approx((1, 1))


def test_seeds_and_items_drawn_together_spread_as_their_variances_say():
    rng = np.random.default_rng(0)
    items = rng.normal(0, 1, (6, 200)) + rng.normal(0, 0.5, (6, 1)) + rng.normal(0, 0.5, (1, 200))
    low, high = two_way_interval(items)
    assert low < items.mean() < high
    by_seed, by_item = items.mean(axis=1).std() ** 2 / 6, items.mean(axis=0).std() ** 2 / 200
    spread = math.sqrt(by_seed + by_item)
    assert high - low == pytest.approx(2 * 1.645 * spread, rel=0.15)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([]) == []
