"""How the rows are judged."""

import math
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import pandas as pd

from odeclaims.claims.euler_resnet.settings import DEPTHS, ORDERS, PRINTED, PROBLEMS, SCALES
from odeclaims.kits import needs
from odeclaims.kits.quantities import MATHEMATICS
from odeclaims.kits.rows import ok
from odeclaims.rules import Better, Bounds, Curve, Exact, Scales
from odeclaims.statement import Check, Statement
from odeclaims.statistics import log_slope, slope

# Below this an error is rounding, and says nothing about the order.
ROUNDING = 1e-13
# The methods beside Euler's that have no error estimate.
OTHER_FIXED = ("midpoint", "heun", "rk4", "rk4_classic")


def floats(df: pd.DataFrame, column: str) -> np.ndarray:
    """A column as an array of floats."""
    return df[column].to_numpy(dtype=float)


def _errors(part: str, df: pd.DataFrame) -> list[float]:
    """The errors of a part."""
    return list(floats(ok(df, part=part), "error"))


def _written_out(df: pd.DataFrame) -> list[float]:
    """The errors at the depth at which the tutorial writes the gradient out."""
    return list(floats(ok(df, part="gradient", depth=3), "error"))


def gradient_slopes(df: pd.DataFrame, arm: str, scale: float) -> np.ndarray:
    """For each repetition, the slope of ln |gradient| over the depth."""
    rows = ok(df, part="gradient", arm=arm, scale=scale)
    repetitions = floats(rows, "repetition")
    depth, log = floats(rows, "depth"), floats(rows, "log_gradient")
    return np.array(
        [slope(depth[repetitions == r], log[repetitions == r]) for r in np.unique(repetitions)]
    )


def _slope_errors(df: pd.DataFrame) -> list[float]:
    """For each kind of chain, scale and repetition, how far a slope is from its expectation."""
    distances: list[float] = []
    for arm, scale in product(("plain", "residual"), SCALES):
        expected = floats(ok(df, part="gradient", arm=arm, scale=scale), "expected_slope")[:1]
        distances += list(np.abs(gradient_slopes(df, arm, scale) - expected))
    return distances


def _small_plain(df: pd.DataFrame) -> np.ndarray:
    return gradient_slopes(df, "plain", min(SCALES))


def _small_ratio(df: pd.DataFrame) -> np.ndarray:
    """|slope| of the residual chain over that of the plain one at the smallest weights."""
    return np.abs(gradient_slopes(df, "residual", min(SCALES)) / _small_plain(df))


def _large_residual(df: pd.DataFrame) -> np.ndarray:
    return gradient_slopes(df, "residual", max(SCALES))


def _wrong_digits(df: pd.DataFrame) -> list[float]:
    """How many entries of the table are not equal to the tutorial's."""
    rows = ok(df, part="table")
    wrong = (floats(rows, "value") != floats(rows, "printed")).sum()
    wrong += (floats(rows, "slope") != floats(rows, "printed_slope")).sum()
    return [float(wrong)] if len(rows) == len(PRINTED) else []


def _step_one_error(df: pd.DataFrame) -> list[float]:
    """The relative error of the table's h at its last time."""
    last = ok(df, part="table", t=2.0)
    return list(np.abs(floats(last, "value") / floats(last, "exact") - 1))


def order_curve(df: pd.DataFrame, method: str, problem: str) -> Curve:
    """The error over the step, errors that are rounding left out."""
    rows = ok(df, part="order", arm=method, problem=problem)
    step, error = floats(rows, "step"), floats(rows, "error")
    above = error > ROUNDING
    return Curve(tuple(step[above].tolist()), tuple(error[above].tolist()))


def order_of(df: pd.DataFrame, method: str, problem: str) -> float:
    """The slope of log error over log step, errors that are rounding left out."""
    curve = order_curve(df, method, problem)
    return log_slope(curve.x, curve.y)


def _finest_euler_slope(df: pd.DataFrame) -> list[float]:
    """The slope of log error over log step between the two smallest steps."""
    curve = order_curve(df, "euler", "tutorial")
    finest = np.argsort(curve.x)[:2]
    return [log_slope(np.array(curve.x)[finest], np.array(curve.y)[finest])]


def _order_distances(df: pd.DataFrame) -> list[float]:
    """How far the fitted orders of the fixed-grid methods are from their own."""
    pairs = product(("euler", *OTHER_FIXED), PROBLEMS)
    return [abs(order_of(df, method, problem) - ORDERS[method]) for method, problem in pairs]


def exponents(arm: str, column: str) -> Callable[[pd.DataFrame], list[float]]:
    """For each repetition, the slope of the log of a distance over the log of the depth."""

    def values(df: pd.DataFrame) -> list[float]:
        rows = ok(df, part="limit", arm=arm)
        repetitions = floats(rows, "repetition")
        depth, distance = floats(rows, "depth"), floats(rows, column)
        groups = [repetitions == r for r in np.unique(repetitions)]
        return [log_slope(depth[g], distance[g]) for g in groups]

    return values


_DEEP = needs.span("depth", 32, "depths span", partial(ok, part="limit"))
_SEEDS = needs.seeds(6, partial(ok, part="gradient"))
_LIMIT = (needs.seeds(6, partial(ok, part="limit")), _DEEP)
# The two slopes that an ODE in the limit of depth asks for, and how far they may be off.
_EULER = Bounds(-1.1, -0.9)

SIZE = MATHEMATICS

CHECKS = [
    Check(
        "autograd_is_the_closed_form",
        "At depth 3 autograd gives the gradient that the tutorial writes out",
        _written_out,
        Bounds(at_most=1e-12),
        "a few roundings in float64; deeper chains cancel where a w is near -1",
    ),
    Check(
        "slopes_are_expected",
        "Each chain's slope of ln|gradient| over depth is E ln|w|, or E ln|1 + w| with skips",
        _slope_errors,
        Bounds(at_most=0.05),
        "the law of large numbers: the slope over 100 layers of 200 chains has a standard error of"
        " about 0.01",
    ),
]
_CHAINS = ("autograd_is_the_closed_form", "slopes_are_expected")

STATEMENTS = [
    Statement(
        "plain_vanishes",
        f"With weights of {min(SCALES)} the gradient of a plain chain vanishes with depth",
        _small_plain,
        Better(Bounds(at_most=0)),
        "slope of ln|gradient| per layer: what vanishes has a negative one; small weights are those"
        " of an initialised network",
        needs=(_SEEDS,),
        central=True,
        rests_on=_CHAINS,
    ),
    Statement(
        "residual_survives",
        f"With weights of {min(SCALES)} the gradient of a residual chain does not vanish",
        _small_ratio,
        Better(Bounds(at_most=0.1)),
        "|slope| over that of the plain chain: for it not to vanish it has to be small beside it",
        needs=(_SEEDS,),
        central=True,
        rests_on=_CHAINS,
    ),
    Statement(
        "residual_explodes",
        f"With weights of {max(SCALES):g} the gradient of a residual chain explodes",
        _large_residual,
        Better(Bounds(at_least=0)),
        "slope of ln|gradient| per layer: E ln|1 + w| is positive for large weights, so that skip"
        " connections guard against one of the two evils alone",
        needs=(_SEEDS,),
        rests_on=_CHAINS,
    ),
    Statement(
        "euler_table",
        "Euler's method gives the tutorial's table, digit for digit",
        _wrong_digits,
        Exact(Bounds(at_most=0)),
        "entries that differ: the table holds integers, which float64 computes without rounding",
        central=True,
    ),
    Statement(
        "table_is_no_solution",
        "The table's step is too large to say anything of the solution: h(2) is off by more than a"
        " half",
        _step_one_error,
        Exact(Bounds(at_least=0.5)),
        "the step times the rate is 5, and Euler's method asks for much less than 1",
    ),
    Statement(
        "euler_has_order_one",
        "The error of Euler's method is in proportion to the step",
        _finest_euler_slope,
        Exact(Bounds(0.9, 1.1)),
        "slope of log error over log step on the tutorial's example. The law is one of the limit,"
        " so the two smallest steps judge it; the next term of the error is a few percent there",
        central=True,
    ),
    Statement(
        "orders_are_their_own",
        "The fixed-grid methods have the orders that they are said to have",
        _order_distances,
        Exact(Bounds(at_most=0.3)),
        "distance of the fitted order: one half would be as near to the next order. The range is"
        " over methods and problems",
    ),
    Statement(
        "resnet_is_euler",
        "A residual network is Euler's method with step 1",
        partial(_errors, "equality"),
        Exact(Bounds(at_most=1e-12)),
        "relative difference: both are the same sums, which may be rounded in another order. The"
        " range is over depths to 100, tied and untied weights, and seeds",
        central=True,
    ),
    Statement(
        "smooth_tends_to_ode",
        "A residual network whose weights are smooth in depth tends to an ODE",
        exponents("smooth", "error"),
        Scales(_EULER),
        "slope of the log distance to the ODE over log N: Euler's method has order 1",
        needs=_LIMIT,
        central=True,
    ),
    Statement(
        "tied_tends_to_ode",
        "A residual network with tied weights tends to an ODE",
        exponents("tied", "error"),
        Scales(_EULER),
        "the same for a field that does not depend on time",
        needs=_LIMIT,
    ),
    Statement(
        "independent_is_slower",
        "Residual networks of independent weights and step 1/N approach each other more slowly",
        exponents("independent, 1/N", "difference"),
        Scales(Bounds(at_least=-0.75)),
        "slope of the log distance of depth N to 2N: independent layers only average out, at -1/2"
        " by the central limit theorem; midway to the -1 of an ODE tells the two apart",
        needs=_LIMIT,
    ),
    Statement(
        "independent_has_no_limit",
        "Residual networks of independent weights and step 1/sqrt(N) have no limit in depth",
        exponents("independent, 1/sqrt(N)", "difference"),
        Scales(Bounds(at_least=-0.1)),
        "slope of the log distance of depth N to 2N: without a limit it is 0",
        needs=_LIMIT,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """What the statements do not say: exploding gradients, a useless step, the trivial limit."""
    sentences = []
    for scale in SCALES:
        slopes = gradient_slopes(df, "residual", scale)
        if len(slopes) and abs(value := float(np.median(slopes))) > 0.05:
            verb = "explodes" if value > 0 else "vanishes"
            sentences.append(
                f"With weights of {scale:g} the residual chain's gradient {verb} as well, by a"
                f" factor of {math.exp(value):.2f} a layer."
            )
    if errors := _errors("gradient", df):
        sentences.append(
            f"Over all depths to {max(DEPTHS)} the largest error of a gradient by autograd is"
            f" {max(errors):.1e}, where 1 + w cancels."
        )
    if error := _step_one_error(df):
        sentences.append(
            f"The table's h(2) is off by {error[0]:.1%} of the solution: step times rate is 5."
        )
    arm = "independent, 1/N"
    columns = ("difference", "error")
    rates = [r for c in columns for r in exponents(arm, c)(df) if math.isfinite(r)]
    if rates:
        sentences.append(
            "Independent layers with step 1/N do settle, on the input itself: the distances of N to"
            f" 2N and to the input shrink with exponents around {np.median(rates):.2f}. It takes"
            " 1/sqrt(N) to leave no limit."
        )
    return sentences
