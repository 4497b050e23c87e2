"""How the rows are judged."""

from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.universal_approximation.settings import (
    DEPTH,
    FEW_UNITS,
    FINE_GRID,
    GRID,
    INPUTS,
    UNITS,
)
from odeclaims.kits import needs
from odeclaims.kits.quantities import MATHEMATICS, attempts, log_ratios
from odeclaims.kits.rows import ok
from odeclaims.rules import Attempts, Better, Bounds, Impossible, Possible
from odeclaims.statement import Check, Statement

NAMES = {
    "tanh": f"{UNITS} tanh",
    "few_tanh": f"{FEW_UNITS} tanh",
    "relu_n4": f"{DEPTH} x {INPUTS + 4} ReLU",
    "relu_n1": f"{DEPTH} x {INPUTS + 1} ReLU",
    "linear": f"{UNITS} linear",
    "square": f"{UNITS} squares",
    "relu_n": f"{DEPTH} x {INPUTS} ReLU",
}
# Where the level set through the middle reaches the edge, one of the two is off by a half at least.
# The edge point may lie between two points of the grid, for which a tenth is left.
EDGE_FLOOR = 0.5
BELOW_EDGE_FLOOR = 0.9 * EDGE_FLOOR
# The bump is a convex function of |x|^2, and a quadratic that has its symmetry is linear in it.
SQUARE_FLOOR = 9 / 32
BELOW_SQUARE_FLOOR = 0.9 * SQUARE_FLOOR
# An approximation: half of what is out of reach for a map whose level sets reach the edge.
APPROXIMATES = EDGE_FLOOR / 2
# A network that was trained is about as good as the best constant at least.
AS_A_CONSTANT = 1.05
# One that has become a constant, since its units are always off, shows nothing of its width.
BETTER_THAN_A_CONSTANT = 0.95

SIZE = MATHEMATICS


def results(df: pd.DataFrame, network: str, grid: int = GRID) -> pd.DataFrame:
    """The results of a network on a grid, one a seed."""
    return ok(df, kind="result", network=network, grid=grid)


def approximates(rows: pd.DataFrame) -> pd.Series:
    """Whether the largest error is that of an approximation."""
    return rows["largest_error"] <= APPROXIMATES


def below_edge_floor(rows: pd.DataFrame) -> pd.Series:
    """Whether it is less than that of any map whose level sets reach the edge."""
    return rows["largest_error"] < BELOW_EDGE_FLOOR


def below_square_floor(rows: pd.DataFrame) -> pd.Series:
    """Whether it is less than that of any quadratic."""
    return rows["largest_error"] < BELOW_SQUARE_FLOOR


def _can(network: str, df: pd.DataFrame) -> Attempts:
    # What the finer grid shows is what counts; the other lies within it.
    return attempts(results(df, network, FINE_GRID), approximates)


def _gets_below_edge(network: str, df: pd.DataFrame) -> Attempts:
    return attempts(results(df, network), below_edge_floor, results(df, network, FINE_GRID))


def _narrow_gets_below_edge(df: pd.DataFrame) -> Attempts:
    coarse = results(df, "relu_n")
    learnt = coarse[coarse["unexplained"] <= BETTER_THAN_A_CONSTANT]
    return attempts(learnt, below_edge_floor, results(df, "relu_n", FINE_GRID))


def _square_gets_below(df: pd.DataFrame) -> Attempts:
    fine = results(df, "square", FINE_GRID)
    return attempts(results(df, "square"), below_square_floor, fine)


def _gain_of_units(df: pd.DataFrame) -> np.ndarray:
    """For each seed, the log of the mean error of many units over that of few."""
    return log_ratios(results(df, "tanh"), results(df, "few_tanh"), "mean_error")


def _finer_less_coarse(df: pd.DataFrame) -> list[float]:
    errors = ok(df, kind="result").pivot_table("largest_error", ["network", "repetition"], "grid")
    return list(errors[FINE_GRID] - errors[GRID]) if len(errors) else []


def _trained(network: str) -> needs.Need:
    what = f"the squared error of the network ({NAMES[network]}) over that of a constant"
    return needs.floor("unexplained", AS_A_CONSTANT, what, partial(results, network=network))


CHECKS = [
    Check(
        "finer_grid_holds_coarse",
        "The largest error on the finer grid is no smaller",
        _finer_less_coarse,
        Bounds(at_least=-1e-6),
        "each point of the coarse grid is one of the finer",
    ),
]
_NESTED = ("finer_grid_holds_coarse",)
_EDGE = (
    "the part of the level set through the middle that holds it reaches the edge, so the largest"
    " error is at least a half; a tenth of it is left for the grid, and a finer one confirms"
)
_HALF = "largest error at most half of what is out of reach for a linear network"

STATEMENTS = [
    Statement(
        "one_layer_can",
        f"A network of one hidden layer of {UNITS} tanh units can approximate the bump",
        partial(_can, "tanh"),
        Possible(),
        _HALF,
        central=True,
        rests_on=_NESTED,
    ),
    Statement(
        "linear_cannot",
        "A network whose hidden layer is linear cannot approximate the bump",
        partial(_gets_below_edge, "linear"),
        Impossible(),
        f"its level sets are lines: {_EDGE}",
        needs=(_trained("linear"),),
        central=True,
        rests_on=_NESTED,
    ),
    Statement(
        "narrow_can",
        f"A deep ReLU network of width n + 4 = {INPUTS + 4} can approximate the bump",
        partial(_can, "relu_n4"),
        Possible(),
        _HALF,
        central=True,
        rests_on=_NESTED,
    ),
    Statement(
        "width_n_cannot",
        f"A deep ReLU network of width n = {INPUTS} cannot approximate the bump",
        _narrow_gets_below_edge,
        Impossible(),
        f"Lu et al. and Johnson: {_EDGE}. Networks whose squared error is more than"
        f" {BETTER_THAN_A_CONSTANT:g} of a constant's have become one, and do not count",
        rests_on=_NESTED,
    ),
    Statement(
        "width_n1_can",
        f"A deep ReLU network of width n + 1 = {INPUTS + 1} can approximate the bump",
        partial(_can, "relu_n1"),
        Possible(refuted_from=30),
        f"the least width by Hanin and Sellke, and by Park et al.; {_HALF}. So narrow a network is"
        " hard to train, so that ten which fail refute nothing",
        rests_on=_NESTED,
    ),
    Statement(
        "square_cannot",
        "A network whose hidden layer is one of squares, which are not linear, cannot approximate"
        " the bump",
        _square_gets_below,
        Impossible(),
        "Leshno et al.: a polynomial is no activation of a universal approximator, whatever the"
        " number of units; the largest error of a quadratic is at least 9/32, of which a tenth is"
        " left for the grid",
        needs=(_trained("square"),),
        rests_on=_NESTED,
    ),
    Statement(
        "units_help",
        f"{UNITS} tanh units approximate the bump better than {FEW_UNITS}",
        _gain_of_units,
        Better(Bounds(at_most=0)),
        "log of the mean error of many units over that of few, by seed: the theorem is about as"
        " many units as it takes",
        needs=(needs.seeds(6, partial(results, network="few_tanh")),),
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The reach of the statements, and how often training found an approximation."""
    sentences = [
        "That a network approximates one function does not show that it approximates every one;"
        " what one function shows is which networks cannot."
    ]
    for network in ("relu_n4", "relu_n1"):
        rows = results(df, network, FINE_GRID)
        failed = int((~approximates(rows)).sum())
        if failed:
            sentences.append(
                f"{failed} of {len(rows)} networks of {NAMES[network]} units did not learn it. This"
                " says how hard narrow networks are to train, and not what they can represent."
            )
    return sentences
