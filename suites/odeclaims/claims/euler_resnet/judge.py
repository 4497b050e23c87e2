"""How the rows are judged."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np
import pandas as pd

from odeclaims.claim import Bounds, Criterion
from odeclaims.claims.euler_resnet.settings import DEPTHS, ORDERS, PRINTED, PROBLEMS, SCALES
from odeclaims.kits import needs
from odeclaims.kits.rows import ok
from odeclaims.statistics import log_slope, slope

# Below this an error is rounding, and says nothing about the order.
ROUNDING = 1e-13
# The methods beside Euler's that have no error estimate.
OTHER_FIXED = ("midpoint", "heun", "rk4", "rk4_classic")


def floats(df: pd.DataFrame, column: str) -> np.ndarray:
    """A column as an array of floats."""
    return df[column].to_numpy(dtype=float)


def _worst(name: str) -> Callable[[pd.DataFrame], list[float]]:
    """For each repetition of a part, its largest error."""

    def worst(df: pd.DataFrame) -> list[float]:
        rows = ok(df, part=name)
        errors, repetitions = floats(rows, "error"), floats(rows, "repetition")
        return [float(errors[repetitions == r].max()) for r in np.unique(repetitions)]

    return worst


def _three_layer_errors(df: pd.DataFrame) -> list[float]:
    """For each repetition, the largest error at the depth at which the tutorial writes it out."""
    return _worst("gradient")(df[(df["part"] != "gradient") | (df["depth"] == 3)])


def gradient_slopes(df: pd.DataFrame, arm: str, scale: float) -> np.ndarray:
    """For each repetition, the slope of ln |gradient| over the depth."""
    rows = ok(df, part="gradient", arm=arm, scale=scale)
    repetitions = floats(rows, "repetition")
    depth, log = floats(rows, "depth"), floats(rows, "log_gradient")
    return np.array(
        [slope(depth[repetitions == r], log[repetitions == r]) for r in np.unique(repetitions)]
    )


def _slope_errors(arm: str) -> Callable[[pd.DataFrame], list[float]]:
    """For each repetition, the distance of a slope to its expectation at the worst scale."""

    def errors(df: pd.DataFrame) -> list[float]:
        distances = []
        for scale in SCALES:
            expected = floats(ok(df, part="gradient", arm=arm, scale=scale), "expected_slope")[:1]
            distances.append(np.abs(gradient_slopes(df, arm, scale) - expected))
        return list(np.max(distances, axis=0))

    return errors


def _small_weights(df: pd.DataFrame) -> list[float]:
    """|slope| of the residual chain over that of the plain one at the smallest weights."""
    scale = min(SCALES)
    ratio = gradient_slopes(df, "residual", scale) / gradient_slopes(df, "plain", scale)
    return list(np.abs(ratio))


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


def order_of(df: pd.DataFrame, method: str, problem: str) -> float:
    """The slope of log error over log step, errors that are rounding left out."""
    rows = ok(df, part="order", arm=method, problem=problem)
    step, error = floats(rows, "step"), floats(rows, "error")
    return log_slope(step[error > ROUNDING], error[error > ROUNDING])


def _euler_orders(df: pd.DataFrame) -> list[float]:
    return _order_distance(df, ["euler"])


def _other_orders(df: pd.DataFrame) -> list[float]:
    return _order_distance(df, OTHER_FIXED)


def _order_distance(df: pd.DataFrame, methods: Sequence[str]) -> list[float]:
    pairs = product(methods, PROBLEMS)
    return [float(np.max([abs(order_of(df, m, p) - ORDERS[m]) for m, p in pairs]))]


def exponents(arm: str, column: str) -> Callable[[pd.DataFrame], list[float]]:
    """For each repetition, the slope of the log of a distance over the log of the depth."""

    def values(df: pd.DataFrame) -> list[float]:
        rows = ok(df, part="limit", arm=arm)
        repetitions = floats(rows, "repetition")
        depth, distance = floats(rows, "depth"), floats(rows, column)
        groups = [repetitions == r for r in np.unique(repetitions)]
        return [log_slope(depth[g], distance[g]) for g in groups]

    return values


_DEEP = needs.span("depth", 32, "depths over", partial(ok, part="limit"))

CRITERIA = [
    Criterion(
        "gradient by autograd against the closed form at depth 3, largest relative error",
        _three_layer_errors,
        Bounds(at_most=1e-12),
        because="a few roundings in float64; deeper chains cancel where a w is near -1",
        statistic="max",
    ),
    Criterion(
        "plain chain: distance of d ln|gradient| / d depth to E ln|w|, worst scale",
        _slope_errors("plain"),
        Bounds(at_most=0.05),
        because="the slope over 100 layers of 200 chains has a standard error of about 0.01",
        least_seeds=3,
    ),
    Criterion(
        "residual chain: distance of d ln|gradient| / d depth to E ln|1 + w|, worst scale",
        _slope_errors("residual"),
        Bounds(at_most=0.05),
        because="the slope over 100 layers of 200 chains has a standard error of about 0.01",
        least_seeds=3,
    ),
    Criterion(
        f"slope of the residual chain over that of the plain one at weights of {min(SCALES)}",
        _small_weights,
        Bounds(at_most=0.1),
        because="for the residual chain not to vanish, its slope has to be small beside the plain"
        " chain's; small weights are those of an initialised network",
        statistic="max",
        least_seeds=3,
    ),
    Criterion(
        "entries of the Euler table that differ from the tutorial's",
        _wrong_digits,
        Bounds(at_most=0),
        because="the table holds integers, which float64 computes without rounding",
    ),
    Criterion(
        "order of Euler's method, distance to 1",
        _euler_orders,
        Bounds(at_most=0.1),
        because="at these steps the next term of the error is a few percent",
        statistic="max",
    ),
    Criterion(
        "orders of the other fixed-grid methods, largest distance to their own",
        _other_orders,
        Bounds(at_most=0.3),
        because="a distance of one half would be as near to the next order",
        statistic="max",
    ),
    Criterion(
        "residual network against Euler with step 1, largest relative difference",
        _worst("equality"),
        Bounds(at_most=1e-12),
        because="both are the same sums, which may be rounded in another order",
        statistic="max",
    ),
    Criterion(
        "tied weights: d log(error) / d log N against the ODE",
        exponents("tied", "error"),
        Bounds(at_least=-1.1, at_most=-0.9),
        because="Euler's method has order 1",
        needs=(_DEEP,),
        least_seeds=3,
    ),
    Criterion(
        "weights smooth in depth: d log(error) / d log N against the ODE",
        exponents("smooth", "error"),
        Bounds(at_least=-1.1, at_most=-0.9),
        because="Euler's method has order 1 for a field that depends on time, too",
        needs=(_DEEP,),
        least_seeds=3,
    ),
    Criterion(
        "independent weights, step 1/N: d log(distance of N to 2N) / d log N",
        exponents("independent, 1/N", "difference"),
        Bounds(at_least=-0.75),
        because="independent layers only average out, at -1/2 by the central limit theorem; midway"
        " to the -1 of an ODE tells the two apart",
        needs=(_DEEP,),
        least_seeds=3,
    ),
    Criterion(
        "independent weights, step 1/sqrt(N): d log(distance of N to 2N) / d log N",
        exponents("independent, 1/sqrt(N)", "difference"),
        Bounds(at_least=-0.1),
        because="without a limit the distance does not shrink",
        needs=(_DEEP,),
        least_seeds=3,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """What the criteria do not say: exploding gradients, a useless step, the trivial limit."""
    sentences = []
    for scale in SCALES:
        slopes = gradient_slopes(df, "residual", scale)
        if len(slopes) and abs(value := float(np.median(slopes))) > 0.05:
            verb = "explodes" if value > 0 else "vanishes"
            sentences.append(
                f"With weights of {scale:g} the residual chain's gradient {verb} as well, by a"
                f" factor of {math.exp(value):.2f} a layer."
            )
    if errors := _worst("gradient")(df):
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
