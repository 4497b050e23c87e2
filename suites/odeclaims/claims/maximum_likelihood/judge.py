"""How the rows are judged."""

from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.maximum_likelihood.settings import (
    CHECKED_TOLERANCE,
    EXAMPLE_BATCH,
    EXAMPLE_ITERATIONS,
    FULL_ITERATIONS,
)
from odeclaims.kits import needs
from odeclaims.kits.constants import RECONSTRUCTION_LIMIT
from odeclaims.kits.quantities import attempts, chances_below_zero
from odeclaims.kits.rows import of, ok, reversible
from odeclaims.record.wording import number
from odeclaims.rules import Attempts, Better, Bounds, Curve, Possible, Scales
from odeclaims.statement import Check, Need, Size, Statement

NAMES = {
    "cnf": "CNF",
    "cnf_constant": "CNF, constant weights",
    "nf": "NF, equal iterations",
    "nf_long": "NF, equal time",
}
GAP_LIMIT, MARGIN, RETURN_LIMIT = 0.15, 0.1, 1e-3
# Iterations at which the lead is looked at, from the example's number to FFJORD's.
LOOKED_AT = (1000, 1500, 2000, 3000, 4000, 6000, 8000, 10_000)
# Least p-value of a check: chance fails one in a thousand of them.
CHANCE = 1e-3
# A likelihood in training is the mean over the last part of the iterations, or of the time.
LAST = 0.25


def _is_near(rows: pd.DataFrame) -> pd.Series:
    """Whether a model is as near to the density of its data as a picture shows."""
    return rows["gap"] <= GAP_LIMIT


def _fits_data(df: pd.DataFrame, data: str) -> Attempts:
    return attempts(ok(df, kind="result", arm="cnf", data=data), _is_near)


def losses_until(df: pd.DataFrame, arm: str, data: str, column: str, end: float) -> pd.Series:
    """The mean likelihood of fresh batches in the last quarter before an end, by repetition.

    Args:
        df: the rows.
        arm: the arm.
        data: the data set.
        column: ``iteration`` or ``train_s``, in which the end counts.
        end: so many iterations or seconds after the start.
    """
    rows = ok(df, kind="training", arm=arm, data=data)
    late = (rows[column] > (1 - LAST) * end) & (rows[column] <= end)
    return rows[late].groupby("repetition")["nll"].mean()


def lead(df: pd.DataFrame, cnf: str, nf: str, data: str, column: str, end: float) -> pd.Series:
    """By how much the CNF's loss is the smaller one at equal iterations or seconds, nats."""
    losses = [losses_until(df, arm, data, column, end) for arm in (nf, cnf)]
    return (losses[0] - losses[1]).dropna()


def _lead_at(iterations: int, cnf: str, data: str, df: pd.DataFrame) -> np.ndarray:
    return lead(df, cnf, "nf", data, "iteration", iterations).to_numpy(dtype=float)


def _lead_over_iterations(df: pd.DataFrame) -> Curve:
    """The median lead of the seeds after each number of iterations."""
    leads = [float(np.median(_lead_at(count, "cnf", "moons", df))) for count in LOOKED_AT]
    return Curve(tuple(map(float, LOOKED_AT)), tuple(leads))


def whole_time(df: pd.DataFrame) -> float:
    """The seconds that both the CNF and the planar flow of equal time were trained for."""
    rows = ok(df, kind="result", arm=["cnf", "nf_long"])
    return float(rows.groupby("arm")["train_s"].max().min())


def _lead_at_equal_time(df: pd.DataFrame) -> np.ndarray:
    return lead(df, "cnf", "nf_long", "moons", "train_s", whole_time(df)).to_numpy(dtype=float)


def _return_errors(df: pd.DataFrame, kind: str) -> np.ndarray:
    """For each seed the decimal logarithm of the CNF's round trip error, mean of the data sets."""
    rows = ok(df, kind=kind, arm="cnf")
    errors = rows.groupby("repetition")["reconstruction_error"]
    return np.array([float(np.log10(values).mean()) for _, values in errors])


def _checked_returns(df: pd.DataFrame) -> np.ndarray:
    return _return_errors(df, "round_trip")


def _returns_in_training(df: pd.DataFrame) -> np.ndarray:
    return _return_errors(df, "result")


def _chances(df: pd.DataFrame) -> list[float]:
    models = ok(df, kind="result")
    return chances_below_zero(models["gap"], models["gap_se"])


def _chances_by_quadrature(df: pd.DataFrame) -> list[float]:
    """How likely sampling alone takes each gap so far from that by quadrature."""
    models = ok(df, kind="result")
    off = (models["gap"] - models["gap_by_quadrature"]).abs()
    # Either side of zero is as likely.
    return [min(1.0, 2 * chance) for chance in chances_below_zero(-off, models["gap_se"])]


def _tightest_returns(df: pd.DataFrame) -> list[float]:
    """The round trip error of each model, at the tightest tolerance at which it was solved."""
    rows = ok(df, kind=["result", "round_trip"]).sort_values("tolerance", ascending=False)
    last = rows.groupby(["arm", "data", "repetition"])["reconstruction_error"].last()
    return [float(error) for error in last]


def _share_of_example(df: pd.DataFrame) -> float:
    rows = of(df, kind="result", arm="cnf")
    spent = (rows["iterations"] * rows["batch_size"]).median()
    return float(spent) / (EXAMPLE_ITERATIONS * EXAMPLE_BATCH)


def _reached(iterations: int, *arms: str) -> tuple[Need, ...]:
    """Every model of these arms was trained for so many iterations, and did not fail."""
    return tuple(
        need
        for arm in arms
        for among in [partial(of, kind="result", arm=arm)]
        for need in (
            needs.all_ok(among, f"models of {arm}"),
            needs.all_spent(iterations, "iterations", arm, among),
        )
    )


def _about_the_time(df: pd.DataFrame) -> str:
    """The planar flow was trained for most of the CNF's time, so that the time is the CNF's."""
    took = ok(df, kind="result").groupby("arm")["train_s"].max()
    part = took["nf_long"] / took["cnf"]
    return "" if part >= 1 - LAST else f"the planar flow had {part:.0%} of the CNF's time"


SIZE = Size("1,000 iterations x 512 samples (of the released example)", _share_of_example)

CHECKS = [
    Check(
        "no_gap_below_zero",
        "No model is better than the data's own density",
        _chances,
        Bounds(at_least=CHANCE),
        "a divergence is never negative: the p-value of each gap, times their number, says whether"
        " sampling explains one below zero",
    ),
    Check(
        "gaps_by_quadrature",
        "The gaps over samples are those by quadrature",
        _chances_by_quadrature,
        Bounds(at_least=CHANCE),
        "a mean over samples is off by chance alone: the p-value of each difference, times their"
        " number",
    ),
    Check(
        "flows_return",
        "Every model takes samples of the data to the base and back",
        _tightest_returns,
        Bounds(at_most=RECONSTRUCTION_LIMIT),
        "a flow that is solved right is invertible; relative error at the tightest tolerance at"
        f" which it was solved (a CNF at {CHECKED_TOLERANCE:g}, where that was measured)",
    ),
]

_BOTH = ("no_gap_below_zero", "flows_return")


def _fits(data: str, because: str) -> Statement:
    return Statement(
        f"cnf_fits_{data}",
        f"A CNF can fit the {data}: after {FULL_ITERATIONS:,} iterations it comes within"
        f" {GAP_LIMIT:g} nat of their density",
        partial(_fits_data, data=data),
        Possible(),
        because,
        needs=_reached(FULL_ITERATIONS, "cnf"),
        central=True,
        rests_on=_BOTH,
    )


def _lags(iterations: int, budget: str) -> Statement:
    return Statement(
        f"nf_lags_at_{iterations}",
        f"After {iterations:,} iterations each, {budget}, the planar flow lags behind the CNF on"
        f" the moons by {MARGIN:g} nat or more",
        partial(_lead_at, iterations, "cnf", "moons"),
        Better(Bounds(at_least=MARGIN)),
        "the paper's NF has difficulty fitting the moons: a tenth of a nat is what a picture may"
        " show; mean loss of fresh batches over the last quarter of these iterations, by seed",
        needs=_reached(iterations, "cnf", "nf"),
        central=True,
        rests_on=_BOTH,
    )


STATEMENTS = [
    _fits(
        "circles",
        "no model can be below zero; with 0.15 nat the density is off by a seventh on average,"
        " which a picture does not show",
    ),
    _fits("moons", "the same"),
    _lags(EXAMPLE_ITERATIONS, "as many as the released example has"),
    _lags(FULL_ITERATIONS, "as many as FFJORD has"),
    Statement(
        "nf_lags_at_equal_time",
        "Given the time of the CNF's training, the planar flow still lags behind the CNF on the"
        f" moons by {MARGIN:g} nat or more",
        _lead_at_equal_time,
        Better(Bounds(at_least=MARGIN)),
        "whether the difficulty is the model's or that of a short training: one iteration of the"
        " CNF takes as long as ten to twenty of the planar flow",
        needs=(*_reached(EXAMPLE_ITERATIONS, "cnf", "nf_long"), _about_the_time),
        central=True,
        rests_on=_BOTH,
    ),
    Statement(
        "cnf_returns",
        "The CNF can be sampled by solving backward: taken to the base and back, samples of the"
        f" data end within {RETURN_LIMIT:g} of where they were",
        _checked_returns,
        Better(Bounds(at_most=float(np.log10(RETURN_LIMIT)))),
        "sampling is the density's solve taken backward; decimal logarithm of the relative error,"
        f" solved at {CHECKED_TOLERANCE:g}, mean of the two data sets",
        central=True,
        rests_on=("flows_return",),
    ),
    Statement(
        "cnf_returns_in_training",
        "At the tolerance of its training, 1e-5, the CNF takes samples of the data to the base and"
        f" back to within {RETURN_LIMIT:g}, too",
        _returns_in_training,
        Better(Bounds(at_most=float(np.log10(RETURN_LIMIT)))),
        "a hundred times the tolerance is what some hundred steps may lose",
        rests_on=("flows_return",),
    ),
    Statement(
        "cnf_ahead_at_equal_time",
        "Given the same time, the CNF is ahead of the planar flow on the moons at all",
        _lead_at_equal_time,
        Better(Bounds(at_least=0)),
        "the same without a margin",
        needs=(*_reached(EXAMPLE_ITERATIONS, "cnf", "nf_long"), _about_the_time),
        rests_on=_BOTH,
    ),
    Statement(
        "cnf_ahead_in_the_end",
        f"After {FULL_ITERATIONS:,} iterations each, the CNF is ahead of the planar flow on the"
        " moons at all",
        partial(_lead_at, FULL_ITERATIONS, "cnf", "moons"),
        Better(Bounds(at_least=0)),
        "the same without a margin",
        needs=_reached(FULL_ITERATIONS, "cnf", "nf"),
        rests_on=_BOTH,
    ),
    Statement(
        "lead_shrinks",
        "The CNF's lead on the moons at equal iterations shrinks while both train",
        _lead_over_iterations,
        Scales(Bounds(at_most=0)),
        "if so the number of iterations decides who is ahead; slope of the median seed's lead over"
        f" {LOOKED_AT[0]:,} to {LOOKED_AT[-1]:,} iterations",
        needs=_reached(FULL_ITERATIONS, "cnf", "nf"),
        rests_on=_BOTH,
    ),
    Statement(
        "equal_parameters_ahead",
        f"After {EXAMPLE_ITERATIONS:,} iterations each, a CNF of as many parameters is ahead of"
        " the planar flow on the moons at all",
        partial(_lead_at, EXAMPLE_ITERATIONS, "cnf_constant", "moons"),
        Better(Bounds(at_least=0)),
        "the hypernetwork has 50 times the planar flow's parameters; here the weights do not depend"
        " on time",
        needs=_reached(EXAMPLE_ITERATIONS, "cnf_constant", "nf"),
        rests_on=_BOTH,
    ),
    Statement(
        "equal_parameters_ahead_in_the_end",
        f"After {FULL_ITERATIONS:,} iterations each, a CNF of as many parameters is ahead of the"
        " planar flow on the moons at all",
        partial(_lead_at, FULL_ITERATIONS, "cnf_constant", "moons"),
        Better(Bounds(at_least=0)),
        "the same",
        needs=_reached(FULL_ITERATIONS, "cnf_constant", "nf"),
        rests_on=_BOTH,
    ),
    Statement(
        "nf_lags_on_circles",
        f"After {EXAMPLE_ITERATIONS:,} iterations each, the planar flow lags behind the CNF on"
        f" the circles by {MARGIN:g} nat or more",
        partial(_lead_at, EXAMPLE_ITERATIONS, "cnf", "circles"),
        Better(Bounds(at_least=MARGIN)),
        "the paper says nothing of a difficulty with the circles",
        needs=_reached(EXAMPLE_ITERATIONS, "cnf", "nf"),
        rests_on=_BOTH,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, what training still gained, and which models are not reversible."""
    models = ok(df, kind="result")
    texts = []
    for arm, rows in models.groupby("arm", sort=False):
        gain = _late_gain(of(df, kind="training", arm=arm))
        texts.append(
            f"{NAMES[str(arm)]}: {rows['iterations'].max():g} iterations of"
            f" {rows['batch_size'].max():g} samples; over their last quarter the mean training loss"
            f" fell by {number(gain, 2)} nat."
        )
    spent = of(models, arm="cnf")["iterations"].min()
    if spent < FULL_ITERATIONS:
        texts.append(
            f"The CNF had {spent:g} of the {FULL_ITERATIONS} iterations that FFJORD takes for such"
            " data: a gap that is too large may be that of a short training."
        )
    bad = len(models) - len(reversible(models))
    if bad:
        texts.append(f"{bad} of {len(models)} models fail the reconstruction check.")
    return texts


def _late_gain(training: pd.DataFrame) -> float:
    """The mean loss of the tenth before the last quarter less that of the last tenth, nats."""
    done = training["iteration"] / training["iteration"].max()
    before = training[(done > 0.65) & (done <= 0.75)]["nll"].mean()
    return float(before - training[done > 0.9]["nll"].mean())
