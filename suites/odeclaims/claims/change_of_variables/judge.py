"""How the rows are judged."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from odeclaims.claim import Bounds, Criterion, Need
from odeclaims.claims.change_of_variables.settings import CONVERGED, JUDGED
from odeclaims.kits.rows import of, ok, reversible
from odeclaims.statistics import log_slope

NOISE_JUDGED = 1e-5
LEAST_SEEDS = 3
AGREES, NORMALISED, HOLDS, SLIPS = 1e-7, 1e-3, 1e-6, 1e-2
# As in the validity stamp, a measuring error may be half of the bound that it is compared with. So
# CONVERGED is half of NORMALISED.
GOOD_SLOPE = HOLDS / 2
PRINTED = ("partial_printed", "integral_entries", "integral_slope")


def _worst(part: str, column: str, **equal: Any) -> Callable[[pd.DataFrame], list[float]]:
    """Each seed's largest value of a column."""
    return lambda df: list(ok(df, part=part, **equal).groupby("repetition")[column].max())


def finest(df: pd.DataFrame) -> pd.DataFrame:
    """The row of the finest grid of each density."""
    rows = ok(df, part="mass")
    return rows.loc[rows.groupby(["field", "repetition"])["spacing"].idxmin()]


def _mass_error(df: pd.DataFrame) -> list[float]:
    """Each seed's largest |integral - 1|."""
    rows = finest(df)
    return list((rows["mass"] - 1).abs().groupby(rows["repetition"]).max())


def _printed_error(how: str, *readings: str) -> Callable[[pd.DataFrame], list[float]]:
    """Each seed's largest or smallest residual of these formulas."""

    def values(df: pd.DataFrame) -> list[float]:
        rows = ok(df, part="printed", reading=readings)
        return list(rows.groupby("repetition")["error"].agg(how))

    return values


def _printed_mass(df: pd.DataFrame) -> list[float]:
    """Each seed's smallest |integral - 1| of a density by the printed integral."""
    rows = ok(df, part="printed", reading=PRINTED).dropna(subset="mass")
    return list((rows["mass"] - 1).abs().groupby(rows["repetition"]).min())


def exponent(quantity: str) -> Callable[[pd.DataFrame], list[float]]:
    """The slope of log time over log dimension, over the three largest dimensions."""

    def values(df: pd.DataFrame) -> list[float]:
        rows = ok(df, part="cost", quantity=quantity).nlargest(3, "dim")
        return [log_slope(rows["dim"], rows["time_s"])]

    return values


def _products_per_dim(df: pd.DataFrame) -> list[float]:
    """The vector-Jacobian products of each exact trace, over the dimension."""
    rows = ok(df, part="cost", quantity="exact")
    return list(rows["vjps"] / rows["dim"])


def _bias(df: pd.DataFrame) -> list[float]:
    """Each seed's largest mean error in standard errors."""
    rows = ok(df, part="estimate")
    ratio = rows["mean_error"].abs() / rows["standard_error"]
    return list(ratio.groupby(rows["repetition"]).max())


def _variance_ratio(df: pd.DataFrame) -> list[float]:
    """Each seed's largest relative distance of a variance from the theory's."""
    rows = ok(df, part="estimate", quantity="trace")
    distance = (rows["variance"] / rows["theory_variance"] - 1).abs()
    return list(distance.groupby(rows["repetition"]).max())


def _evaluations(df: pd.DataFrame, arm: str) -> pd.Series:
    """Evaluations by seed and tolerance of the solves that count; failed ones are left out.

    The flow of the renewed noise is not reversible, so only the other arms have to pass the
    reconstruction check.
    """
    rows = ok(df, part="noise", arm=arm)
    if arm != "renewed":
        rows = reversible(rows)
    return rows.set_index(["repetition", "tolerance"])["nfe_forward"]


def _fixed_ratio(df: pd.DataFrame) -> list[float]:
    """Each seed's largest ratio of the evaluations with fixed noise to those without noise."""
    ratio = (_evaluations(df, "fixed") / _evaluations(df, "exact")).dropna()
    return list(ratio.groupby("repetition").max())


def _fails_or_explodes(df: pd.DataFrame) -> list[float]:
    """For each seed whether the renewed noise fails, or takes ten times as many evaluations."""
    fixed, renewed = _evaluations(df, "fixed"), _evaluations(df, "renewed")
    ratio = (renewed / fixed).reindex(fixed.index)
    judged = ratio[ratio.index.get_level_values("tolerance") == NOISE_JUDGED]
    return list((judged.isna() | (judged >= 10)).astype(float))


def _enough_change(df: pd.DataFrame) -> str:
    """Every solve ended, and each field changes volumes enough for an agreement to mean much."""
    rows = of(df, part="determinant")
    failed = int((rows["status"] != "ok").sum())
    if failed:
        return f"{failed} of {len(rows)} solves failed"
    small = rows.groupby("field")["size"].max() < 0.1
    return f"log-determinants below 0.1 for {', '.join(small.index[small])}" if small.any() else ""


def _converged(
    rows: Callable[[pd.DataFrame], pd.DataFrame], column: str, limit: float, what: str
) -> Need:
    """For each density a numerical error is small against the bound of the criterion."""

    def need(df: pd.DataFrame) -> str:
        errors = rows(df)[column]
        bad = int((~(errors <= limit)).sum())
        return f"{what} not converged for {bad} of {len(errors)} densities" if bad else ""

    return need


_DIFFERENCES = _converged(
    partial(ok, part="printed", reading="total"),
    "reference_error",
    GOOD_SLOPE,
    "the differences have",
)
_GRIDS = _converged(finest, "mass_change", CONVERGED, "the grid has")


def _large_dims(df: pd.DataFrame) -> str:
    """Times reach dimensions at which the operations outweigh the overhead of a call."""
    largest = of(df, part="cost")["dim"].max()
    return f"largest dimension {largest:g}, at least 1024 needed" if not largest >= 1024 else ""


def _seeded(
    name: str,
    values: Callable[[pd.DataFrame], list[float]],
    bounds: Bounds,
    because: str,
    **more: Any,
) -> Criterion:
    """A criterion that every seed has to pass."""
    statistic = "max" if math.isinf(bounds.at_least) else "min"
    options = {"statistic": statistic, "least_seeds": LEAST_SEEDS, **more}
    return Criterion(name, values, bounds, because, **options)


CRITERIA = [
    _seeded(
        f"integrated trace against log |det J|, largest difference at tolerance {JUDGED:g}",
        _worst("determinant", "error", tolerance=JUDGED),
        Bounds(at_most=AGREES),
        "the theorem is exact, so that only the errors of two float64 solves remain",
        needs=(_enough_change,),
    ),
    _seeded(
        f"linear field, integrated trace against tr(A) T at tolerance {JUDGED:g}",
        _worst("determinant", "closed_error", field="linear", tolerance=JUDGED),
        Bounds(at_most=AGREES),
        "the same, against a closed form that needs no solve",
    ),
    _seeded(
        "d/dt log p + tr(df/dz) along trajectories, largest residual",
        _printed_error("max", "total"),
        Bounds(at_most=HOLDS),
        "the theorem with the total derivative; differences in time are good to about 1e-8",
        needs=(_DIFFERENCES,),
    ),
    _seeded(
        "integral of the density over a grid, largest distance from 1",
        _mass_error,
        Bounds(at_most=NORMALISED),
        "a density that is carried right keeps its mass; the grid and its edges are good to 1e-4",
        needs=(_GRIDS,),
    ),
    Criterion(
        "vector-Jacobian products of the exact trace, per dimension",
        _products_per_dim,
        Bounds(at_most=1),
        "a trace takes one product for each dimension, which is the O(D) at issue",
        statistic="max",
    ),
    Criterion(
        "exponent of a planar layer's trace, time over dimension",
        exponent("closed"),
        Bounds(at_most=1.2),
        "in closed form the trace is O(D); a constant part of the time only lowers the exponent",
        needs=(_large_dims,),
    ),
    Criterion(
        "exponent of the log-determinant, time over dimension",
        exponent("determinant"),
        Bounds(at_least=2, at_most=3.3),
        "O(D^3) operations; large matrices are factorised at a higher rate than small ones",
        needs=(_large_dims,),
    ),
    _seeded(
        "Hutchinson's estimates, largest mean error in standard errors",
        _bias,
        Bounds(at_most=4),
        "an unbiased mean is beyond 4 standard errors once in 16,000 times",
    ),
    _seeded(
        "Hutchinson's estimates, largest distance of the variance from theory, relative",
        _variance_ratio,
        Bounds(at_most=0.2),
        "out of 16,384 draws the variance of a squared normal is known to 3%, and there are many;"
        " the wrong kind of noise is off by the part of the diagonal",
    ),
    _seeded(
        "noise fixed for the solve, evaluations over those of the exact trace",
        _fixed_ratio,
        Bounds(at_most=1.5),
        "with its noise fixed the estimate is a smooth function of time, as the trace is",
    ),
    _seeded(
        f"noise renewed at each call, fails or takes 10 times the evaluations at {NOISE_JUDGED:g}",
        _fails_or_explodes,
        Bounds(at_least=1),
        "with new noise at each call the right-hand side is not a function of state and time, so"
        " that the error falls with the first power of the step only",
    ),
    _seeded(
        "tutorial: partial_t log p = -tr(df/dz), smallest residual",
        _printed_error("min", "partial_printed"),
        Bounds(at_least=SLIPS),
        "at a fixed point -f . grad log p is missing, which is of size one",
        decides=False,
    ),
    _seeded(
        "with -f . grad log p, largest residual",
        _printed_error("max", "partial_corrected"),
        Bounds(at_most=HOLDS),
        "the total derivative written out",
        decides=False,
    ),
    _seeded(
        "tutorial: planar integral without u, smallest residual",
        _printed_error("min", "integral_entries", "integral_slope"),
        Bounds(at_least=SLIPS),
        "the trace of u times a row is their product, so that u cannot be left out",
        decides=False,
    ),
    _seeded(
        "planar integral with u, largest residual",
        _printed_error("max", "integral_corrected"),
        Bounds(at_most=AGREES),
        "the theorem for one planar unit",
        decides=False,
    ),
    _seeded(
        "planar integral without u, smallest distance of its mass from 1",
        _printed_mass,
        Bounds(at_least=SLIPS),
        "the result is not a density",
        decides=False,
    ),
    Criterion(
        "exponent of the exact trace by autograd, time over dimension",
        exponent("exact"),
        Bounds(at_least=1, at_most=2.5),
        "D products, each of which is O(D) by itself: O(D) products are not O(D) time",
        needs=(_large_dims,),
        decides=False,
    ),
]
