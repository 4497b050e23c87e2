"""How the rows are judged."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.change_of_variables.settings import CONVERGED, JUDGED, SPENT
from odeclaims.kits.quantities import MATHEMATICS, chances_of_scores
from odeclaims.kits.rows import of, ok, reversible
from odeclaims.rules import Better, Bounds, Curve, Exact, Scales
from odeclaims.statement import Check, Need, Statement
from odeclaims.statistics import log_slope

NOISE_JUDGED = 1e-5
AGREES, NORMALISED, HOLDS, SLIPS = 1e-7, 1e-3, 1e-6, 1e-2
# As in the validity stamp, a measuring error may be half of the bound that it is compared with. So
# CONVERGED is half of NORMALISED.
GOOD_SLOPE = HOLDS / 2
PRINTED = ("partial_printed", "integral_entries", "integral_slope")
# A time is above the overhead of a call where it is so many times that of the smallest dimension.
ABOVE_OVERHEAD, LEAST_DIMS = 8, 4
# Evaluations with new noise at each call over those with fixed noise, from which on they explode.
EXPLODES = 10
# Of estimates of a trace, in every profile but the smallest.
DRAWS = 16_384
# Least p-value of a check: chance fails one in a thousand of them.
CHANCE = 1e-3


def _values(df: pd.DataFrame, part: str, column: str, **equal: object) -> list[float]:
    """A column of a part, blanks left out."""
    return [float(value) for value in ok(df, part=part, **equal)[column].dropna()]


def finest(df: pd.DataFrame) -> pd.DataFrame:
    """The row of the finest grid of each density."""
    rows = ok(df, part="mass")
    return rows.loc[rows.groupby(["field", "repetition"])["spacing"].idxmin()]


def _mass_errors(df: pd.DataFrame) -> list[float]:
    """|integral - 1| of each density."""
    return [float(error) for error in (finest(df)["mass"] - 1).abs()]


def _residuals(df: pd.DataFrame, readings: Sequence[str]) -> list[float]:
    """The residual of each field and seed for these formulas."""
    return _values(df, "printed", "error", reading=tuple(readings))


def _printed_masses(df: pd.DataFrame) -> list[float]:
    """|integral - 1| of each density by the printed integral."""
    masses = _values(df, "printed", "mass", reading=PRINTED)
    return [abs(mass - 1) for mass in masses]


def times(df: pd.DataFrame, quantity: str) -> Curve:
    """Seconds of a quantity over the dimension, where they are above the overhead of a call."""
    rows = ok(df, part="cost", quantity=quantity).sort_values("dim")
    if not len(rows):
        return Curve((), ())
    large = rows[rows["time_s"] >= ABOVE_OVERHEAD * rows["time_s"].iloc[0]]
    return Curve(tuple(map(float, large["dim"])), tuple(map(float, large["time_s"])))


def exponent(df: pd.DataFrame, quantity: str) -> float:
    """The slope of log time over log dimension above the overhead; NaN below two dimensions."""
    curve = times(df, quantity)
    return log_slope(np.array(curve.x), np.array(curve.y))


def _products_per_dim(df: pd.DataFrame) -> list[float]:
    """The vector-Jacobian products of each exact trace, over the dimension."""
    rows = ok(df, part="cost", quantity="exact")
    return [float(ratio) for ratio in rows["vjps"] / rows["dim"]]


def _chances_of_bias(df: pd.DataFrame) -> list[float]:
    rows = ok(df, part="estimate")
    return chances_of_scores(rows["mean_error"] / rows["standard_error"]) if len(rows) else []


def _variance_distances(df: pd.DataFrame) -> list[float]:
    """The relative distance of each variance from the theory's, as if all draws had been taken."""
    rows = ok(df, part="estimate", quantity="trace")
    distances = (rows["variance"] / rows["theory_variance"] - 1).abs()
    return [float(d) for d in distances * np.sqrt(rows["draws"].astype(float) / DRAWS)]


def _evaluations(df: pd.DataFrame, arm: str) -> pd.Series:
    """Evaluations by seed and tolerance of the solves that count; failed ones are left out.

    The flow of the renewed noise is not reversible, so only the other arms have to pass the
    reconstruction check.
    """
    rows = ok(df, part="noise", arm=arm)
    if arm != "renewed":
        rows = reversible(rows)
    return rows.set_index(["repetition", "tolerance"])["nfe_forward"].astype(float)


def _fixed_ratios(df: pd.DataFrame) -> np.ndarray:
    """Each seed's evaluations with fixed noise over those without noise, mean of the logarithms."""
    ratio = (_evaluations(df, "fixed") / _evaluations(df, "exact")).dropna()
    return ratio.map(math.log).groupby("repetition").mean().to_numpy(dtype=float)


def _renewed_ratios(df: pd.DataFrame) -> np.ndarray:
    """The logarithm of each seed's evaluations with renewed noise over those with fixed noise.

    A solve that failed counts as if it had ended at the step limit, which is the least it takes.
    """
    fixed = _evaluations(df, "fixed")
    spent = _evaluations(df, "renewed").reindex(fixed.index).fillna(SPENT)
    judged = fixed.index.get_level_values("tolerance") == NOISE_JUDGED
    return (spent / fixed)[judged].map(math.log).to_numpy(dtype=float)


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
    """For each density a numerical error is small against the bound of the statement."""

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


def _above_overhead(quantity: str, df: pd.DataFrame) -> str:
    """Times reach enough dimensions at which the operations outweigh the overhead of a call."""
    count = len(times(df, quantity))
    if count >= LEAST_DIMS:
        return ""
    return f"{count} of at least {LEAST_DIMS} dimensions are above the overhead of a call"


SIZE = MATHEMATICS

CHECKS = [
    Check(
        "closed_form_agrees",
        "For a linear field the integrated trace is tr(A) T",
        partial(
            _values, part="determinant", column="closed_error", field="linear", tolerance=JUDGED
        ),
        Bounds(at_most=AGREES),
        "a closed form that needs no solve",
    ),
    Check(
        "products_are_counted",
        "The exact trace takes one vector-Jacobian product for each dimension",
        _products_per_dim,
        Bounds(1, 1),
        "it is written so; a count of the project's own code is no evidence",
    ),
    Check(
        "estimates_are_unbiased",
        "Hutchinson's estimates are right on average",
        _chances_of_bias,
        Bounds(at_least=CHANCE),
        "an expectation that is a theorem: the errors in standard errors are to be normal"
        " (Kolmogorov and Smirnov), and the largest no larger than so many may give",
    ),
    Check(
        "variances_are_right",
        "The variance of Hutchinson's estimates is that which the Jacobian implies",
        _variance_distances,
        Bounds(at_most=0.2),
        f"out of {DRAWS:,} draws the variance of a squared normal is known to 3%, and there are"
        " many (for fewer draws the distance is taken down as their error is); the wrong kind of"
        " noise is off by the part of the diagonal",
    ),
]


def _costs(
    name: str, text: str, quantity: str, bounds: Bounds, because: str, *, central: bool
) -> Statement:
    return Statement(
        name,
        text,
        partial(times, quantity=quantity),
        Scales(bounds),
        f"{because}; over the dimensions whose time is {ABOVE_OVERHEAD} times that of the smallest"
        " one or more",
        needs=(partial(_above_overhead, quantity),),
        central=central,
        rests_on=("products_are_counted",),
    )


STATEMENTS = [
    Statement(
        "trace_is_log_determinant",
        "The integral of the trace along a flow is the logarithm of the determinant of its"
        " Jacobian",
        partial(_values, part="determinant", column="error", tolerance=JUDGED),
        Exact(Bounds(at_most=AGREES)),
        "the theorem is exact, so that only the errors of two float64 solves remain at a tolerance"
        f" of {JUDGED:g}; largest difference in nats of each field, dimension and seed",
        needs=(_enough_change,),
        central=True,
        rests_on=("closed_form_agrees",),
    ),
    Statement(
        "log_density_falls_by_the_trace",
        "Along a trajectory d log p/dt = -tr(df/dz)",
        partial(_residuals, readings=("total",)),
        Exact(Bounds(at_most=HOLDS)),
        "the theorem with the total derivative; differences in time are good to about 1e-8; nats,"
        " each field and seed",
        needs=(_DIFFERENCES,),
        central=True,
    ),
    Statement(
        "mass_is_kept",
        "A density that is carried so integrates to 1",
        _mass_errors,
        Exact(Bounds(at_most=NORMALISED)),
        "distance of the mass from 1, each field and seed; the grid and its edges are good to 1e-4",
        needs=(_GRIDS,),
        central=True,
    ),
    _costs(
        "trace_is_linear",
        "A planar layer's trace costs O(D)",
        "closed",
        Bounds(at_most=1.2),
        "in closed form there is one product and one sum",
        central=True,
    ),
    _costs(
        "determinant_is_cubic",
        "A log-determinant costs O(D^3)",
        "determinant",
        Bounds(at_least=2, at_most=3.3),
        "O(D^3) operations; large matrices are factorised at a higher rate than small ones",
        central=True,
    ),
    _costs(
        "trace_by_autograd_is_not_linear",
        "By autograd the exact trace costs between O(D) and O(D^2.5) in time",
        "exact",
        Bounds(at_least=1, at_most=2.5),
        "D products, each of which is O(D) by itself: O(D) products are not O(D) time",
        central=False,
    ),
    _costs(
        "estimate_is_linear",
        "Hutchinson's estimate of the trace costs O(D)",
        "estimate",
        Bounds(at_most=1.2),
        "one vector-Jacobian product, as FFJORD has it",
        central=False,
    ),
    Statement(
        "fixed_noise_is_cheap",
        "With its noise fixed for the solve, Hutchinson's estimate takes at most half as many"
        " evaluations again as the exact trace",
        _fixed_ratios,
        Better(Bounds(at_most=math.log(1.5))),
        "with fixed noise the estimate is a smooth function of time, as the trace is; natural"
        " logarithm of the ratio, mean of the tolerances",
        rests_on=("estimates_are_unbiased",),
    ),
    Statement(
        "renewed_noise_explodes",
        "With new noise at each call, a solve takes ten times the evaluations or more",
        _renewed_ratios,
        Better(Bounds(at_least=math.log(EXPLODES)), of="median"),
        f"at a tolerance of {NOISE_JUDGED:g}: the right-hand side is no function of state and time,"
        " so that the error falls with the first power of the step only; natural logarithm of the"
        f" ratio to fixed noise, a solve that did not end counting with {SPENT} evaluations",
        rests_on=("estimates_are_unbiased",),
    ),
    Statement(
        "tutorial_partial_fails",
        "The tutorial's partial_t log p = -tr(df/dz) does not hold at a fixed point",
        partial(_residuals, readings=("partial_printed",)),
        Exact(Bounds(at_least=SLIPS)),
        "-f . grad log p is missing, which is of size one; nats, each field and seed",
    ),
    Statement(
        "corrected_partial_holds",
        "At a fixed point partial_t log p = -tr(df/dz) - f . grad log p",
        partial(_residuals, readings=("partial_corrected",)),
        Exact(Bounds(at_most=HOLDS)),
        "the total derivative written out",
        needs=(_DIFFERENCES,),
    ),
    Statement(
        "tutorial_integral_fails",
        "The tutorial's planar integral, without u, is not the change of log p",
        partial(_residuals, readings=("integral_entries", "integral_slope")),
        Exact(Bounds(at_least=SLIPS)),
        "the trace of u times a row is their product, so that u cannot be left out",
    ),
    Statement(
        "corrected_integral_holds",
        "The planar integral with u is the change of log p",
        partial(_residuals, readings=("integral_corrected",)),
        Exact(Bounds(at_most=AGREES)),
        "the theorem for one planar unit",
    ),
    Statement(
        "tutorial_integral_loses_mass",
        "The tutorial's planar integral gives no density: its mass is not 1",
        _printed_masses,
        Exact(Bounds(at_least=SLIPS)),
        "distance of the mass from 1, each reading and seed",
    ),
]
