"""How the rows are judged."""

import math

import numpy as np
import pandas as pd

from odeclaims.claim import Bounds, Criterion, Need
from odeclaims.claims.adjoint_gradients.replication import REPLICATION
from odeclaims.kits.constants import GRADIENT_LIMIT, RECONSTRUCTION_LIMIT
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.statistics import log_slope, slope

GROUPS = ("benign", "decaying", "forgetting", "kinked")
TIGHT, LOOSE = 1e-10, 1e-3
# A flow that contracts by less than e^{-10} does not lose a tolerance of 1e-3.
LEAST_RATE = 10
INSTANCE = ["problem", "rate", "method", "repetition"]


def arm_rows(
    df: pd.DataFrame, arm: str, *, dtype: str = "float64", **equal: object
) -> pd.DataFrame:
    """The rows of one arm in one precision, without a failure and with these values."""
    return ok(df, gradient=arm, dtype=dtype, **equal)


def worst_part(df: pd.DataFrame) -> pd.Series:
    """The larger of the errors with respect to y0 and to the parameters."""
    return df[["error_y0", "error_parameters"]].max(axis=1)


def tight_errors(df: pd.DataFrame) -> pd.Series:
    """The adjoint's errors on the benign problems at the tight tolerance."""
    return worst_part(arm_rows(df, "adjoint", group="benign", tol=TIGHT))


def tolerance_slopes(df: pd.DataFrame) -> list[float]:
    """For each benign problem and seed, the slope of the adjoint's log error over log tolerance."""
    benign = arm_rows(df, "adjoint", group="benign")
    return [log_slope(rows["tol"], worst_part(rows)) for _, rows in benign.groupby(INSTANCE)]


def _differences(df: pd.DataFrame, arm: str, groups: tuple[str, ...]) -> pd.Series:
    """Distances to backprop through the same solver, float64, over all tolerances."""
    return arm_rows(df, arm, group=groups)["difference_to_backprop"]


def _decaying_errors(df: pd.DataFrame, arm: str) -> pd.Series:
    """The errors on the decaying problems that lose the loose tolerance."""
    rows = arm_rows(df, arm, group="decaying", tol=LOOSE)
    return rows[rows["rate"] >= LEAST_RATE]["gradient_error"]


def amplification(df: pd.DataFrame) -> list[float]:
    """For each method and tolerance, how the adjoint's log error in y0 grows with |lambda| T."""
    rows = arm_rows(df, "adjoint", group="decaying", problem="decay")
    return [
        slope(r["rate"], np.log(r["error_y0"]))
        for _, r in rows.groupby(["method", "tol"])
        if r["rate"].nunique() >= 3
    ]


def _confirmed_references(group: str, limit: float) -> Need:
    """The references of a group agree with both of their checks to this relative error."""

    def need(df: pd.DataFrame) -> str:
        rows = of(df, group=group)
        poor = rows[~(rows[["reference_error", "finite_difference_error"]] <= limit).all(axis=1)]
        names = ", ".join(sorted(poor["problem"].unique()))
        return f"a reference is not confirmed to {limit:g}: {names}" if names else ""

    return need


# The first two criteria are the claim. That reversal fails on decaying flows is its known limit:
# what is expected there is judged too, with bounds fixed before the first run, and does not decide.
CRITERIA = [
    Criterion(
        "adjoint's largest error on benign problems at tolerance 1e-10",
        tight_errors,
        Bounds(at_most=1e-6),
        because="four digits above the tolerance leave room for the accumulation of local errors"
        " over T and for the condition of the gradient; a wrong sign, transpose or missing term is"
        " an error of order one. Every problem and seed has to pass, in y0 and in the parameters.",
        statistic="max",
        least_seeds=10,
        # Central differences are the coarser of the two checks: rounding over the step is 1e-9.
        needs=[_confirmed_references("benign", 1e-7)],
    ),
    Criterion(
        "least slope of the adjoint's log error over log tolerance, benign problems",
        tolerance_slopes,
        Bounds(at_least=0.5),
        because="a solver whose global error follows its tolerance has slope 1, and one that"
        " controls the error of the lower order a little less; a floor, an error that no tolerance"
        " mends, has slope 0. Half is nearer to the former for every problem and seed.",
        statistic="min",
        least_seeds=10,
        needs=[_confirmed_references("benign", 1e-7)],
    ),
    Criterion(
        "adjoint's least error on decaying problems (|lambda| T >= 10) at tolerance 1e-3",
        lambda df: _decaying_errors(df, "adjoint"),
        Bounds(at_least=0.5),
        because="e^10 times 1e-3 is 22, so nothing of the state is left after reversal. The bound"
        " is below 1, the error of returning no gradient at all, since a field that is cut off at"
        " zero may lose the gradient instead of blowing it up.",
        statistic="min",
        least_seeds=4,
        needs=[_confirmed_references("decaying", 1e-5)],
        decides=False,
    ),
    Criterion(
        "backprop's largest error on the same problems and steps",
        lambda df: _decaying_errors(df, "backprop"),
        Bounds(at_most=0.1),
        because="the problems themselves are well conditioned, so it is the reversal that fails and"
        " not the solver: a hundred times the tolerance, and a direction within 6 degrees.",
        statistic="max",
        least_seeds=4,
        needs=[_confirmed_references("decaying", 1e-5)],
        decides=False,
    ),
    Criterion(
        "growth of the adjoint's log error in y0 for each unit of |lambda| T",
        amplification,
        Bounds(at_least=0.8, at_most=1.2),
        because="an error eps in z(T) is eps e^{|lambda| (T - t)} at t, and the gradient of the"
        " running cost in z0 is linear in it, which gives exactly 1; the size of eps may differ by"
        " a factor of 10 or so between rates, which is 0.1 over the range.",
        needs=[_confirmed_references("decaying", 1e-5)],
        decides=False,
    ),
    Criterion(
        "checkpointed's largest difference to backprop, every problem in float64",
        lambda df: _differences(df, "checkpointed", GROUPS),
        Bounds(at_most=1e-10),
        because="the same numbers are added in another order: rounding, 1e-16 a step, over at most"
        " 20,000 steps, with two orders for its growth along a flow.",
        statistic="max",
        least_seeds=10,
        decides=False,
    ),
    Criterion(
        "reversible's largest difference to backprop through the same solver, benign problems",
        lambda df: _differences(df, "reversible", ("benign",)),
        Bounds(at_most=1e-8),
        because="the inverse of each step is exact but for rounding, which a benign flow multiplies"
        " by its condition in both directions; half of float64's digits is room for that, and a"
        " wrong formula is an error of order one.",
        statistic="max",
        least_seeds=10,
        decides=False,
    ),
    Criterion(
        "interpolated adjoint's largest error on decaying problems at tolerance 1e-3",
        lambda df: _decaying_errors(df, "interpolated"),
        Bounds(at_most=0.5),
        because="it does not run the flow backward, so what is left is the error of two solves at"
        " 1e-3 along a contraction; half keeps the direction within 30 degrees, where the adjoint"
        " itself loses it.",
        statistic="max",
        least_seeds=4,
        needs=[_confirmed_references("decaying", 1e-5)],
        decides=False,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """Where the gradient is right, where it is wrong, and which check tells the two apart."""
    rows = dopri5_rows(df)
    parts = (
        _tolerance_caveat,
        _decaying_caveat,
        _reconstruction_caveat,
        _kink_caveat,
        _conv_caveat,
    )
    return [sentence for part in parts if (sentence := part(rows))]


def dopri5_rows(df: pd.DataFrame) -> pd.DataFrame:
    """The rows without a failure of the one method that every profile has.

    The column ``name`` is added: the problem, with its rate where it has one.
    """
    rows = ok(df, method="dopri5").copy()
    rows["name"] = [
        f"{problem} {rate:g}" if rate else problem
        for problem, rate in zip(rows["problem"], rows["rate"], strict=True)
    ]
    return rows


def _tolerance_caveat(df: pd.DataFrame) -> str:
    by_name = arm_rows(df, "adjoint").groupby("name", sort=False)
    passes = {str(name): _loosest_passing(rows) for name, rows in by_name}
    tolerances = sorted({tol for tol in passes.values() if tol}, reverse=True)
    parts = [
        f"{tol:g} for {', '.join(name for name, loosest in passes.items() if loosest == tol)}"
        for tol in tolerances
    ]
    if missed := [name for name, tol in passes.items() if tol is None]:
        parts.append(f"at no tolerance that was tried for {', '.join(missed)}")
    if not parts:
        return ""
    return (
        f"The adjoint's gradient is within {GRADIENT_LIMIT:.0%} for every seed from this tolerance"
        f" on (dopri5, float64): {'; '.join(parts)}."
    )


def _loosest_passing(rows: pd.DataFrame) -> float | None:
    """The loosest tolerance at which, and below which, every row passes the gradient check."""
    passing = rows["gradient_error"].lt(GRADIENT_LIMIT).groupby(rows["tol"]).all()
    loosest = None
    for tol in sorted(passing.index):
        if not passing[tol]:
            break
        loosest = float(tol)
    return loosest


def _decaying_caveat(df: pd.DataFrame) -> str:
    """The numbers behind the two criteria that look at the worst of the decaying problems."""

    def list_errors(arm: str) -> str:
        rows = arm_rows(df, arm, group="decaying", tol=LOOSE)
        return ", ".join(
            f"{name} {number(error, 2)}"
            for name, error in zip(rows["name"], rows["gradient_error"], strict=True)
        )

    if not list_errors("adjoint"):
        return ""
    return (
        f"Gradient errors on the decaying problems at {LOOSE:g} (the number is |lambda| T): adjoint"
        f" {list_errors('adjoint')}; backprop {list_errors('backprop')}."
    )


def _reconstruction_caveat(df: pd.DataFrame) -> str:
    rows = arm_rows(df, "adjoint")
    failed = ~(rows["reconstruction_error"] < RECONSTRUCTION_LIMIT)
    wrong = ~(rows["gradient_error"] < GRADIENT_LIMIT)
    return (
        f"The reconstruction check (< {RECONSTRUCTION_LIMIT:g}) is not the gradient check (<"
        f" {GRADIENT_LIMIT:g}): of {failed.sum()} adjoint rows that fail the first,"
        f" {(failed & ~wrong).sum()} pass the second; of {(~failed).sum()} that pass the first,"
        f" {(~failed & wrong).sum()} fail the second (dopri5, float64)."
    )


def _kink_caveat(df: pd.DataFrame) -> str:
    slopes = {
        (problem, arm): log_slope(rows["tol"], rows["gradient_error"])
        for problem in ("mlp", "mlp_relu")
        for arm in ("adjoint", "backprop")
        if len(rows := arm_rows(df, arm, problem=problem))
    }
    if len(slopes) < 4 or not all(map(math.isfinite, slopes.values())):
        return ""
    smooth, kinked = (
        f"{slopes[problem, 'adjoint']:.2f} for the adjoint and {slopes[problem, 'backprop']:.2f}"
        " for backprop"
        for problem in ("mlp", "mlp_relu")
    )
    by_adjoint, by_backprop = (
        arm_rows(df, arm, problem="mlp_relu")["gradient_error"].to_numpy()
        for arm in ("adjoint", "backprop")
    )
    return (
        f"Slope of log error over log tolerance: {smooth} with tanh units, {kinked} with ReLUs,"
        f" where the adjoint is nearer to the reference in {(by_adjoint < by_backprop).sum()} of"
        f" {len(by_adjoint)} rows: a difference between the two methods need not be an error of the"
        " adjoint."
    )


def _conv_caveat(df: pd.DataFrame) -> str:
    """The conv field in float32, measured as the replication in the ledger did."""
    rows = arm_rows(df, "adjoint", dtype="float32", problem="conv")
    medians = rows.groupby("tol")["difference_to_backprop"].median()
    if medians.empty:
        return ""
    confirmed = float(rows["reference_error"].max())
    ours, theirs = (
        ", ".join(f"{number(value, 2)} ({tol:g})" for tol, value in pairs)
        for pairs in (zip(medians.index[::-1], medians[::-1], strict=True), REPLICATION.items())
    )
    return (
        "Untrained conv field in float32, difference between adjoint and backprop, median over"
        f" seeds (at tolerance): {ours}; the replication, trained: {theirs}. The reference is"
        f" confirmed only to {number(confirmed, 2)}, so it does not tell which of the two is right."
    )
