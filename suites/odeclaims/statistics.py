"""Intervals and tests over seeds, slopes and rank correlations: thin, over SciPy.

Every function gives the same numbers at every call: what it draws comes from a generator of its own
with a fixed seed. SciPy's statistics take a second to import, which each worker that only measures
is spared.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 9999
# Each draws seeds and items again, of which there may be fifty thousand.
TWO_WAY_RESAMPLES = 1999
# With so many values all sign changes can be enumerated within RESAMPLES.
ENUMERATED = 13

Interval = tuple[float, float]
# A tuple is not an array-like for a type checker at run time.
Numbers = ArrayLike | Sequence[float]


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval | None:
    """The interval of a mean that follows from the exact sign-flip test.

    It holds every mean that the two-sided test of ``sign_flip_p`` does not reject, for values that
    are spread symmetrically around it.

    Args:
        values: one number for each seed.
        level: of confidence.

    Returns:
        Its two ends; ``None`` where so few values have no interval of that level: fewer than 6 at
        95%, fewer than 5 at 90%.

    Source: J. A. Hartigan, J. Am. Stat. Assoc. 64 (1969): the means of all subsets of n values cut
    the line into 2^n parts that hold the true mean with equal probability. Above 13 values a random
    9,999 of the subsets are taken.
    """
    sample = np.asarray(values, dtype=float)
    means = _subset_means(sample)
    # With 2^n subsets, the empty one included, 2^n parts.
    outside = math.floor((1 - level) / 2 * (len(means) + 1))
    if outside < 1:
        return None
    return float(means[outside - 1]), float(means[-outside])


def _subset_means(sample: np.ndarray) -> np.ndarray:
    """The sorted means of all subsets of some numbers but the empty one, or of a random part."""
    n = len(sample)
    if n == 0:
        return np.array([])
    if n <= ENUMERATED:
        chosen = (np.arange(1, 2**n)[:, None] >> np.arange(n)) & 1
    else:
        chosen = np.random.default_rng(0).integers(0, 2, (RESAMPLES, n))
        chosen = chosen[chosen.any(axis=1)]
    return np.sort(chosen @ sample / chosen.sum(axis=1))


def sign_flip_p(values: ArrayLike, mean: float = 0.0) -> float:
    """The two-sided p-value of the exact sign-flip test of a mean; NaN without values.

    Source: R. A. Fisher's randomisation test for paired data, by ``scipy.stats.permutation_test``.
    """
    from scipy import stats

    sample = np.asarray(values, dtype=float) - mean
    if not len(sample):
        return math.nan
    # Equal magnitudes give equal sums whatever the signs, but for rounding.
    sample = np.round(sample, 12)
    if not sample.any():
        return 1.0
    test = stats.permutation_test(
        (sample,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def median_interval(values: ArrayLike, level: float = 0.95) -> Interval | None:
    """The interval of a median from the order statistics, exact for any distribution.

    Returns:
        Its two ends; ``None`` where so few values have none: fewer than 6 at 95%.

    Source: ``scipy.stats.quantile_test``.
    """
    from scipy import stats

    sample = np.asarray(values, dtype=float)
    if not len(sample):
        return None
    test: Any = stats.quantile_test(sample, q=0.0, p=0.5)
    ends = test.confidence_interval(confidence_level=level)
    if not (math.isfinite(ends.low) and math.isfinite(ends.high)):
        return None
    return float(ends.low), float(ends.high)


def median_p(values: ArrayLike, median: float) -> float:
    """The two-sided p-value of the sign test of a median; NaN without values."""
    from scipy import stats

    sample = np.asarray(values, dtype=float)
    if not len(sample):
        return math.nan
    return float(stats.quantile_test(sample, q=median, p=0.5).pvalue)


def share_interval(count: int, total: int, *, exact: bool, level: float = 0.95) -> Interval:
    """The interval of a share: Clopper and Pearson's where ``exact``, else Wilson's.

    Source: ``scipy.stats.binomtest``.
    """
    from scipy import stats

    method = "exact" if exact else "wilson"
    ends = stats.binomtest(count, total).proportion_ci(level, method=method)
    return float(ends.low), float(ends.high)


def share_p(count: int, total: int, share: float) -> float:
    """The two-sided p-value of the exact binomial test of a share."""
    from scipy import stats

    return float(stats.binomtest(count, total, share).pvalue)


def prediction_interval(ours: ArrayLike, theirs: int = 1, level: float = 0.95) -> Interval | None:
    """Where the mean of so many new values is expected, given ours, if all are alike and normal.

    Returns:
        Its two ends; ``None`` for fewer than 3 values.

    Source: G. J. Hahn and W. Q. Meeker, Statistical Intervals (1991), section 4.2.
    """
    from scipy import stats

    sample = np.asarray(ours, dtype=float)
    n = len(sample)
    if n < 3:
        return None
    reach = stats.t.ppf((1 + level) / 2, n - 1) * sample.std(ddof=1) * math.sqrt(1 / n + 1 / theirs)
    return float(sample.mean() - reach), float(sample.mean() + reach)


def slope_interval(x: Numbers, y: Numbers, level: float = 0.95) -> Interval | None:
    """The interval of the least-squares slope of log y over log x, for normal residuals.

    Returns:
        Its two ends; ``None`` where fewer than three points remain. Points at which either number
        is not positive and finite are left out.
    """
    from scipy import stats

    x, y = _positive(x, y)
    if len(x) < 3 or len(np.unique(x)) < 2:
        return None
    if np.ptp(y) == 0:
        # Of a constant SciPy gives a slope of 0 with an error that is not a number.
        return 0.0, 0.0
    line = stats.linregress(np.log(x), np.log(y))
    reach = stats.t.ppf((1 + level) / 2, len(x) - 2) * line.stderr
    return float(line.slope - reach), float(line.slope + reach)


def two_way_interval(items: ArrayLike, level: float = 0.90) -> Interval:
    """The bootstrap interval of a mean over seeds and items, both drawn again together.

    Args:
        items: [seeds, items], such as the difference of two classifiers on each test digit.
        level: of confidence.

    Source: A. B. Owen, Ann. Appl. Stat. 1 (2007), the pigeonhole bootstrap.
    """
    whole = np.asarray(items, dtype=float)
    seeds, count = whole.shape
    rng = np.random.default_rng(0)
    # Two classifiers agree on most items. How often those are drawn matters only in their sum.
    differing = whole[:, whole.any(axis=0)]
    kinds = differing.shape[1]
    shares = np.append(np.full(kinds, 1 / count), 1 - kinds / count)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), TWO_WAY_RESAMPLES)
    drawn = rng.multinomial(count, shares, TWO_WAY_RESAMPLES)[:, :-1]
    means = ((weights @ differing) * drawn).sum(axis=1) / (seeds * count)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being several, so that any is below 5% by chance in 5% of cases.

    Source: S. Holm, Scand. J. Stat. 6 (1979).
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def log_slope(x: Numbers, y: Numbers) -> float:
    """The least-squares slope of log y over log x; NaN where fewer than two points remain.

    Points at which either number is not positive and finite are left out.
    """
    from scipy import stats

    x, y = _positive(x, y)
    if len(np.unique(x)) < 2:
        return math.nan
    return float(stats.linregress(np.log(x), np.log(y)).slope)


def _positive(x: Numbers, y: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """The points whose both coordinates are positive and finite."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    usable = (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y)
    return x[usable], y[usable]


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """The least-squares slope of y over x; NaN where fewer than two points remain."""
    from scipy import stats

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    usable = np.isfinite(x) & np.isfinite(y)
    if len(np.unique(x[usable])) < 2:
        return math.nan
    return float(stats.linregress(x[usable], y[usable]).slope)


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation; NaN where it is not defined."""
    from scipy import stats

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(stats.spearmanr(x, y).statistic)
