"""How the rows are judged."""

import numpy as np
import pandas as pd

from odeclaims.claim import Bounds, Criterion
from odeclaims.claims.tolerance_tradeoff.settings import METHODS
from odeclaims.kits.rows import ok
from odeclaims.statistics import log_slope, pearson

LEAST_SEEDS, LEAST_TOLERANCES = 3, 3


def _tight(df: pd.DataFrame) -> pd.DataFrame:
    """The solved rows at the tolerances that the criteria are about."""
    rows = ok(df)
    return rows[rows["tolerance"] <= 1e-2]


def _increases(df: pd.DataFrame) -> list[float]:
    """For each seed, how often a tighter tolerance from 1e-2 on gave a larger error."""
    rows = _tight(df).sort_values("tolerance", ascending=False)
    counts = []
    for _, seed in rows.groupby("repetition"):
        steps = seed.groupby("method")["error"].diff()
        counts.append(float((steps > 0).sum()))
    return counts


def _error_slopes(df: pd.DataFrame) -> list[float]:
    """For each seed, the median over methods of d log error / d log tolerance from 1e-2 on."""
    return [
        float(np.median([log_slope(m["tolerance"], m["error"]) for _, m in seed.groupby("method")]))
        for _, seed in _tight(df).groupby("repetition")
    ]


def _correlations(df: pd.DataFrame) -> list[float]:
    """For each seed, Pearson's correlation of time and NFE over all methods and tolerances."""
    return [pearson(s["nfe_forward"], s["time_s"]) for _, s in ok(df).groupby("repetition")]


def _several_tolerances(df: pd.DataFrame) -> str:
    count = _tight(df)["tolerance"].nunique()
    if count >= LEAST_TOLERANCES:
        return ""
    return f"{count} tolerances of 1e-2 and below, at least {LEAST_TOLERANCES} needed"


CRITERIA = [
    Criterion(
        "tighter tolerances from 1e-2 on that gave a larger error, count per net",
        _increases,
        Bounds(at_most=0),
        "the claim is that tightening lowers the error; above 1e-2 a solve is hardly a flow at all",
        partly=Bounds(at_most=1),
        statistic="max",
        least_seeds=LEAST_SEEDS,
        needs=[_several_tolerances],
    ),
    Criterion(
        "slope of log error over log tolerance, median over methods",
        _error_slopes,
        Bounds(at_least=0.5, at_most=1.3),
        "an error proportional to the tolerance has slope 1; local control gives a little less",
        least_seeds=LEAST_SEEDS,
        needs=[_several_tolerances],
    ),
    Criterion(
        "Pearson correlation of forward time and NFE",
        _correlations,
        Bounds(at_least=0.95),
        "the figure shows a proportionality, on one device with one thread",
        partly=Bounds(at_least=0.8),
        least_seeds=LEAST_SEEDS,
        needs=[_several_tolerances],
    ),
]


def _headline(df: pd.DataFrame) -> pd.DataFrame:
    """For each method, the loosest tolerance that is valid on every net, with its medians."""
    rows = []
    for method, group in ok(df).groupby("method"):
        valid = group.groupby("tolerance")["valid"].all()
        passing = valid[valid].index
        if len(passing):
            at = group[group["tolerance"] == passing.max()]
            rows.append({"method": method, **at.median(numeric_only=True).to_dict()})
    return pd.DataFrame(rows)


def caveats(df: pd.DataFrame) -> list[str]:
    """The training budget, and from which tolerance on the numbers mean anything."""
    errors = df.groupby("repetition")["test_error"].first()
    sentences = [
        f"Trained for {df['epochs'].max()} epochs of {df['images'].max()} images:"
        f" test error {100 * errors.median():.1f}% (median of {len(errors)} nets)."
    ]
    passing = {row["method"]: row for row in _headline(df).to_dict("records")}
    for method in METHODS:
        if row := passing.get(method):
            sentences.append(
                f"{method}: the loosest tolerance that passes the validity checks on every net is"
                f" {row['tolerance']:g}, with {row['nfe_forward']:g} evaluations."
            )
        else:
            sentences.append(f"{method}: no tolerance passes the validity checks on every net.")
    return sentences
