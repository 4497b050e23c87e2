"""How the rows are judged."""

from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.tolerance_tradeoff.settings import CLASSIFIER, METHODS
from odeclaims.kits import needs
from odeclaims.kits.quantities import WHOLE_STEPS, beyond_whole_steps, differences
from odeclaims.kits.rows import of, ok
from odeclaims.rules import Attempts, Better, Bounds, Equal, Impossible, Scales
from odeclaims.statement import Check, Size, Statement
from odeclaims.statistics import log_slope

# The paper's own solver.
PUBLISHED_METHOD = "adams"
LEAST_SEEDS, LEAST_TOLERANCES = 6, 4
# What a net has learnt whose error rates are compared.
LEARNT = 0.02
# At this tolerance the nets are trained.
TRAINED_AT = 1e-3
# At a looser tolerance a solve is hardly a flow at all.
LOOSEST = 1e-2
# Evaluations at 1e-5 in the replication.
REPLICATED_AT, REPLICATED = 1e-5, {"dopri5": 116, "bosh3": 227, "dopri8": 1055}
# Of the authors' logs: batches, each at six tolerances.
PUBLISHED_BATCHES, PUBLISHED_TOLERANCES = 101, 6


def solves(df: pd.DataFrame) -> pd.DataFrame:
    """The solves of the frozen nets that came to an end, without the error rates."""
    return ok(df, method=list(METHODS))


def error_rates(df: pd.DataFrame) -> pd.DataFrame:
    """The error rates of the nets as classifiers, a row for each tolerance."""
    return ok(df, method=CLASSIFIER)


def _tight(df: pd.DataFrame, method: str) -> pd.DataFrame:
    """The solves of a method at the tolerances at which a solve is a flow."""
    rows = solves(df)
    return of(rows[rows["tolerance"] <= LOOSEST], method=method)


def _error_slopes(df: pd.DataFrame, method: str) -> list[float]:
    """For each seed, the slope of log error over log tolerance."""
    seeds = _tight(df, method).groupby("repetition")
    return [log_slope(seed["tolerance"], seed["error"]) for _, seed in seeds]


def _error_over_evaluations(df: pd.DataFrame, method: str) -> list[float]:
    """For each seed, the slope of log error over log NFE, over all tolerances."""
    seeds = of(solves(df), method=method).groupby("repetition")
    return [log_slope(seed["nfe_forward"], seed["error"]) for _, seed in seeds]


def _time_slopes(df: pd.DataFrame, method: str) -> list[float]:
    """For each seed, the slope of log time over log NFE, over all tolerances."""
    seeds = of(solves(df), method=method).groupby("repetition")
    return [log_slope(seed["nfe_forward"], seed["time_s"]) for _, seed in seeds]


def _gets_worse(df: pd.DataFrame, method: str) -> Attempts:
    """For each seed, whether a tighter tolerance gave a larger error anywhere."""
    rows = _tight(df, method).sort_values("tolerance", ascending=False)
    seeds = rows.groupby("repetition")
    return Attempts(tuple(bool((seed["error"].diff() > 0).any()) for _, seed in seeds))


def _lost_accuracy(df: pd.DataFrame, tolerance: float) -> np.ndarray:
    """For each seed, the error rate at a tolerance less that at the tightest, in points."""
    rows = error_rates(df).assign(percent=lambda r: 100 * r["test_error"])
    tightest = rows[rows["tolerance"] == rows["tolerance"].min()]
    return differences(rows[np.isclose(rows["tolerance"], tolerance)], tightest, "percent")


def _several_tolerances(df: pd.DataFrame) -> str:
    count = int(solves(df)["tolerance"].nunique())
    if count >= LEAST_TOLERANCES:
        return ""
    return f"{count} tolerances, at least {LEAST_TOLERANCES} needed"


def _share_of_published(df: pd.DataFrame) -> float:
    """Nets and tolerances solved by one method, each on one batch."""
    rows = of(df, method=METHODS[0])
    return len(rows) / (PUBLISHED_BATCHES * PUBLISHED_TOLERANCES)


def _beyond_whole_steps(df: pd.DataFrame) -> list[float]:
    return beyond_whole_steps(of(solves(df), method="dopri5"))


def _smallest_errors(df: pd.DataFrame) -> list[float]:
    """The smallest error of each net against the reference."""
    nets = solves(df).groupby("repetition")
    return [float(net["error"].min()) for _, net in nets]


SIZE = Size("101 batches at 6 tolerances", _share_of_published)

CHECKS = [
    Check(
        "whole_steps",
        "Every count of dopri5 is that of whole steps",
        _beyond_whole_steps,
        Bounds(0, 0),
        WHOLE_STEPS,
    ),
    Check(
        "above_the_reference",
        "No error is as small as that of the reference",
        _smallest_errors,
        Bounds(at_least=1e-7),
        "the reference is solved at 1e-8, and float32 cannot come closer to it than its rounding",
    ),
]

_RESTS = ("whole_steps", "above_the_reference")
_CONTROL = Scales(Bounds(at_least=0.5, at_most=1.3), least=LEAST_SEEDS)
_PROPORTIONAL = Scales(Bounds(at_least=0.8, at_most=1.2), least=LEAST_SEEDS)
_WHY_CONTROL = (
    "an error proportional to the tolerance has slope 1; local control gives a little less. From"
    " 1e-2 on, slope of each net"
)
_WHY_TIME = "the figure shows a proportionality, that is a slope of 1; timings are noisy"
_ENOUGH = (_several_tolerances,)
_CLASSIFIES = (
    needs.seeds(LEAST_SEEDS, error_rates),
    needs.floor("test_error", LEARNT, "the median test error", error_rates),
)

STATEMENTS = [
    Statement(
        "error_is_controlled",
        f"The tolerance controls the error, with the paper's solver {PUBLISHED_METHOD}: slope of"
        " log error over log tolerance",
        partial(_error_slopes, method=PUBLISHED_METHOD),
        _CONTROL,
        _WHY_CONTROL,
        needs=_ENOUGH,
        central=True,
        rests_on=_RESTS,
    ),
    Statement(
        "error_falls_with_evaluations",
        f"More evaluations give a smaller error, with {PUBLISHED_METHOD}: slope of log error over"
        " log NFE",
        partial(_error_over_evaluations, method=PUBLISHED_METHOD),
        Scales(Bounds(at_most=0), least=LEAST_SEEDS),
        "the published points fall; all tolerances, slope of each net",
        needs=_ENOUGH,
        central=True,
        rests_on=_RESTS,
    ),
    Statement(
        "time_is_proportional",
        f"Time is proportional to the evaluations, with {PUBLISHED_METHOD}: slope of log time over"
        " log NFE",
        partial(_time_slopes, method=PUBLISHED_METHOD),
        _PROPORTIONAL,
        _WHY_TIME,
        needs=_ENOUGH,
        central=True,
        rests_on=_RESTS,
    ),
    Statement(
        "accuracy_is_traded",
        "A looser tolerance costs accuracy: the classifier's error rate at tolerance 1 less that at"
        " the tightest, in percentage points",
        partial(_lost_accuracy, tolerance=1.0),
        Better(Bounds(at_least=0)),
        "the paper calls it a trade-off between accuracy and cost, and shows the error of the state"
        " alone; the net is trained at 1e-3, the same test digits at every tolerance",
        needs=_CLASSIFIES,
        central=True,
    ),
    *[
        Statement(
            f"error_is_controlled_{method}",
            f"The tolerance controls the error of {method}",
            partial(_error_slopes, method=method),
            _CONTROL,
            _WHY_CONTROL,
            needs=_ENOUGH,
            rests_on=_RESTS,
        )
        for method in METHODS
        if method != PUBLISHED_METHOD
    ],
    *[
        Statement(
            f"time_is_proportional_{method}",
            f"Time is proportional to the evaluations of {method}",
            partial(_time_slopes, method=method),
            _PROPORTIONAL,
            _WHY_TIME,
            needs=_ENOUGH,
            rests_on=_RESTS,
        )
        for method in METHODS
        if method != PUBLISHED_METHOD
    ],
    Statement(
        "tighter_is_never_worse",
        f"A tighter tolerance of {PUBLISHED_METHOD} never gives a larger error",
        partial(_gets_worse, method=PUBLISHED_METHOD),
        Impossible(),
        "stricter than a slope: not one step down from 1e-2 may raise the error of a net",
        needs=_ENOUGH,
        rests_on=_RESTS,
    ),
    Statement(
        "training_tolerance_is_enough",
        "At the tolerance of training the classifier's error rate is that at the tightest",
        partial(_lost_accuracy, tolerance=TRAINED_AT),
        Equal(0.15),
        "a replication finds accuracy moved by at most 0.11 points between tolerances",
        needs=_CLASSIFIES,
    ),
]


def _headline(df: pd.DataFrame) -> pd.DataFrame:
    """For each method, the loosest tolerance that is valid on every net, with its medians."""
    rows = []
    for method, group in solves(df).groupby("method"):
        valid = group.groupby("tolerance")["valid"].all()
        passing = valid[valid].index
        if len(passing):
            at = group[group["tolerance"] == passing.max()]
            rows.append({"method": method, **at.median(numeric_only=True).to_dict()})
    return pd.DataFrame(rows)


def _beside_the_replication(df: pd.DataFrame) -> list[str]:
    """Our evaluations at the tolerance of the replication, and why they need not be its own."""
    rows = solves(df)
    rows = rows[np.isclose(rows["tolerance"], REPLICATED_AT)]
    if rows.empty:
        return []
    ours = [
        f"{method} {of(rows, method=method)['nfe_forward'].median():g} here, {nfe} there"
        for method, nfe in REPLICATED.items()
    ]
    return [
        f"Evaluations at {REPLICATED_AT:g} here and in the replication: {'; '.join(ours)}. A count"
        " depends on what the net has learnt, on its width, and on the digits that are solved as"
        " one batch."
    ]


def caveats(df: pd.DataFrame) -> list[str]:
    """The training budget, and from which tolerance on the numbers mean anything."""
    if df.empty:
        return ["No trained net is published."]
    # A row of the classifier has the error rate at its own tolerance.
    errors = solves(df).groupby("repetition")["test_error"].first()
    sentences = [
        f"Trained for {df['epochs'].max()} epochs of {df['images'].max()} images:"
        f" test error {100 * errors.median():.1f}% (median of {len(errors)} nets). The size above"
        " is that of the solves; the published net was trained for 120 epochs."
    ]
    sentences += _beside_the_replication(df)
    passing = {row["method"]: row for row in _headline(df).to_dict("records")}
    for method in METHODS:
        if row := passing.get(method):
            sentences.append(
                f"{method}: the loosest tolerance that passes the validity checks on every net is"
                f" {row['tolerance']:g}, with {row['nfe_forward']:g} evaluations."
            )
        elif len(of(df, method=method)):
            sentences.append(f"{method}: no tolerance passes the validity checks on every net.")
    return sentences
