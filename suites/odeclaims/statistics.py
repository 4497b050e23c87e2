"""Intervals over seeds, slopes and correlations: thin, over SciPy.

SciPy's statistics take a second to import, which each worker that only measures is spared.
"""

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 9999


def interval(values: ArrayLike, statistic: Callable = np.median) -> tuple[float, float] | None:
    """The 95% bias-corrected and accelerated bootstrap interval of a statistic over seeds.

    Args:
        values: one number for each seed.
        statistic: a function of an array and an ``axis``; the median by default.

    Returns:
        Its two ends, the same at every call; ``None`` for fewer than two values. Where BCa is not
        defined, as when a jackknife leaves the statistic unchanged, the percentile interval.

    Source: Efron, J. Am. Stat. Assoc. 82 (1987), by ``scipy.stats.bootstrap``.
    """
    from scipy import stats

    sample = np.asarray(values, dtype=float)
    if len(sample) < 2:
        return None
    if np.ptp(sample) == 0:
        return float(sample[0]), float(sample[0])
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # SciPy warns where BCa degenerates, NumPy where its acceleration is 0/0 for values that
            # are nearly equal; the next method takes over then.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            ends = stats.bootstrap(
                (sample,),
                statistic,
                n_resamples=RESAMPLES,
                method=method,
                rng=np.random.default_rng(0),
            ).confidence_interval
        if math.isfinite(ends.low) and math.isfinite(ends.high):
            return float(ends.low), float(ends.high)
    return None


def log_slope(x: ArrayLike, y: ArrayLike) -> float:
    """The least-squares slope of log y over log x; NaN where fewer than two points remain.

    Points at which either number is not positive and finite are left out.
    """
    from scipy import stats

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    usable = (x > 0) & (y > 0) & np.isfinite(x) & np.isfinite(y)
    if len(np.unique(x[usable])) < 2:
        return math.nan
    return float(stats.linregress(np.log(x[usable]), np.log(y[usable])).slope)


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """The least-squares slope of y over x; NaN where fewer than two points remain."""
    from scipy import stats

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    usable = np.isfinite(x) & np.isfinite(y)
    if len(np.unique(x[usable])) < 2:
        return math.nan
    return float(stats.linregress(x[usable], y[usable]).slope)


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's correlation; NaN where it is not defined."""
    from scipy import stats

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(stats.pearsonr(x, y).statistic)


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation; NaN where it is not defined."""
    from scipy import stats

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(stats.spearmanr(x, y).statistic)
