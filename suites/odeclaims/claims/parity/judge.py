"""How the rows are judged."""

from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.parity.settings import ARMS, CHECKED, FLOWS, RADII, TRAINED
from odeclaims.kits import needs
from odeclaims.kits.quantities import attempts
from odeclaims.kits.rows import of, ok, reversible
from odeclaims.record.wording import number
from odeclaims.rules import Attempts, Better, Bounds, Impossible, Possible
from odeclaims.statement import Check, Need, Size, Statement

# What no flow of an odd-dimensional space goes below is 1; a hundredth is for the solver's error.
FLOOR = 0.99
# The least mean squared error of a map of the line that keeps the order of its points.
LINE_ERROR = 1 / 3
EVEN_ERROR, ALL_ERROR, LEAST_RATIO = 0.02, 0.01, 10
# The odd dimension whose error is compared with those of both neighbours.
ODD, NEIGHBOURS = 3, (2, 4)
# Among five central statements over seeds, eight seeds decide only where all of them agree.
LEAST_SEEDS, LEAST_SHARE = 8, 0.8
# A determinant this far below zero is no rounding of the solver.
ROUNDING = 1e-6
PUBLISHED = {"dim": 10, "updates": 1000, "repetitions": 4}


def results(df: pd.DataFrame, arm: str, role: str = "checked") -> pd.DataFrame:
    """The solved results of a model that was trained at the tighter tolerance."""
    return ok(df, kind="result", arm=arm, role=role, training_tolerance=TRAINED)


def spheres(df: pd.DataFrame, arm: str, role: str = "checked") -> pd.DataFrame:
    """The maxima of a model on the spheres."""
    return ok(df, kind="sphere", arm=arm, role=role, training_tolerance=TRAINED)


def dims(df: pd.DataFrame, parity: int | None = None) -> list[int]:
    """The dimensions that were measured: the odd (1) or the even (0) ones, or all."""
    found = sorted(int(each) for each in of(df, kind="result")["dim"].unique())
    return [each for each in found if parity in (None, each % 2)]


def errors(df: pd.DataFrame, arm: str) -> pd.DataFrame:
    """The error on the dense points: a row for each seed, a column for each dimension.

    Seeds are left out of which a flow fails the reconstruction check in some dimension.
    """
    rows = reversible(results(df, arm))
    wide = rows.pivot_table("mse", "repetition", "dim")
    return wide.reindex(columns=dims(df)).dropna()


def _largest_error(df: pd.DataFrame, arm: str, parity: int | None = None) -> np.ndarray:
    """For each seed, the largest error over the dimensions."""
    return errors(df, arm)[dims(df, parity)].max(axis=1).to_numpy(float)


def _ratios(df: pd.DataFrame) -> np.ndarray:
    """For each seed, the error of the NODE in three dimensions over the mean of two and four."""
    wide = errors(df, "node").reindex(columns=[ODD, *NEIGHBOURS]).dropna()
    return (wide[ODD] / wide[list(NEIGHBOURS)].mean(axis=1)).to_numpy(float)


def maxima(df: pd.DataFrame, arm: str, parity: int, role: str = "checked") -> pd.DataFrame:
    """For each seed of ``errors``, the least and the largest maximum of a sphere.

    Over the spheres and the odd or even dimensions.
    """
    rows = of(spheres(df, arm, role), dim=dims(df, parity))
    rows = rows[rows["repetition"].isin(errors(df, arm).index)]
    found = rows.groupby("repetition")["maximum"].agg(["min", "max"])
    return found.rename(columns={"min": "least", "max": "largest"}).reset_index()


def comes_near(rows: pd.DataFrame) -> pd.Series:
    """Whether some sphere is everywhere nearer to -x than any flow of an odd dimension."""
    return rows["least"] < FLOOR


def _odd_spheres(df: pd.DataFrame, arm: str) -> Attempts:
    return attempts(maxima(df, arm, 1), comes_near, maxima(df, arm, 1, "again"))


def _below_line_error(rows: pd.DataFrame) -> pd.Series:
    return rows["mse"] < FLOOR * LINE_ERROR


def _line_errors(df: pd.DataFrame) -> Attempts:
    checked = of(reversible(results(df, "node")), dim=1)
    return attempts(checked, _below_line_error, of(results(df, "node", "again"), dim=1))


def _all_near(rows: pd.DataFrame) -> pd.Series:
    """Whether all spheres are nearer to -x than any flow of an odd dimension."""
    return rows["largest"] < FLOOR


def _even_spheres(df: pd.DataFrame) -> Attempts:
    return attempts(maxima(df, "node", 0), _all_near)


def _one_zero(df: pd.DataFrame) -> Attempts:
    """Which seeds of the ANODE with one zero learn all odd dimensions."""
    return Attempts(tuple(bool(e <= ALL_ERROR) for e in _largest_error(df, "anode_1", 1)))


def _seeds_of_dimensions(df: pd.DataFrame) -> list[float]:
    """For each dimension and repetition, how many seeds the models have."""
    return list(of(df, kind="result").groupby(["dim", "repetition"])["seed"].nunique())


def _determinants(df: pd.DataFrame) -> list[float]:
    """The least determinant of each flow that passes the reconstruction check."""
    return [e for arm in FLOWS for e in reversible(results(df, arm))["least_determinant"]]


CHECKS = [
    Check(
        "same_points",
        "All models of a repetition learn from one set of points",
        _seeds_of_dimensions,
        Bounds(1, 1),
        "only the model may differ",
    ),
    Check(
        "flows_keep_orientation",
        "The determinant of the derivative of a flow is positive",
        _determinants,
        Bounds(at_least=-ROUNDING),
        "it is exp of the integral of a trace, whatever was learnt; a millionth is left for the"
        " error of the solver",
    ),
]


def _all_dims(least: tuple[int, ...], df: pd.DataFrame) -> str:
    """These dimensions were measured."""
    lacking = [str(each) for each in least if each not in dims(df)]
    return f"no rows in {', '.join(lacking)} dimensions" if lacking else ""


def _enough(arm: str, *least: int) -> tuple[Need, ...]:
    """These dimensions, and in most seeds flows that pass the reconstruction check in all."""

    def passing(df: pd.DataFrame) -> pd.DataFrame:
        return errors(df, arm)

    def every(df: pd.DataFrame) -> pd.DataFrame:
        return of(df, kind="result", arm=arm, role="checked")

    what = "have flows that pass the reconstruction check in every dimension"
    share = needs.share(passing, every, what, least_share=LEAST_SHARE, least=LEAST_SEEDS)
    return partial(_all_dims, least), share


def _impossible(name: str, arm: str, what: str, *, central: bool) -> Statement:
    return Statement(
        name,
        f"In odd dimensions {what} does not come nearer to -x than {FLOOR:g} |x| on a whole sphere",
        partial(_odd_spheres, arm=arm),
        Impossible(),
        "a flow that is nearer than |x| on a sphere around 0 would have the degree of -x there,"
        f" which is -1; a hundredth is left for the solver's error. Radii"
        f" {', '.join(f'{each:g}' for each in RADII)}",
        needs=_enough(arm, 1, ODD),
        central=central,
        rests_on=("same_points", "flows_keep_orientation"),
    )


def _learns_all(name: str, arm: str, what: str, because: str, *, central: bool) -> Statement:
    return Statement(
        name,
        f"{what} learns -x in every dimension, odd and even",
        partial(_largest_error, arm=arm),
        Better(Bounds(at_most=ALL_ERROR), of="median"),
        f"{because}; largest mean squared error of a seed over the dimensions, on dense points;"
        " the mean square of a coordinate is 0.33",
        needs=_enough(arm, 1, *NEIGHBOURS, ODD),
        central=central,
        rests_on=("same_points",),
    )


STATEMENTS = [
    _impossible("node_misses_odd_spheres", "node", "a NODE", central=True),
    Statement(
        "node_keeps_line_error",
        "On the line a NODE keeps a mean squared error of 1/3",
        _line_errors,
        Impossible(),
        "a map that keeps the order of points is best where it is constant, with an error of 1/3;"
        " a hundredth is left for the solver's error",
        needs=_enough("node", 1),
        central=True,
        rests_on=("same_points", "flows_keep_orientation"),
    ),
    Statement(
        "node_learns_even",
        "In even dimensions a NODE learns -x",
        partial(_largest_error, arm="node", parity=0),
        Better(Bounds(at_most=EVEN_ERROR), of="median"),
        "published test errors are 0.0003 and 0.0022 in 2 and 4 dimensions, on 10 points; largest"
        " mean squared error of a seed over even dimensions, on dense points",
        needs=_enough("node", *NEIGHBOURS),
        central=True,
        rests_on=("same_points",),
    ),
    Statement(
        "odd_is_worse",
        "In 3 dimensions a NODE has at least ten times its mean error in 2 and 4 dimensions",
        _ratios,
        Better(Bounds(at_least=LEAST_RATIO), of="median"),
        "published test errors give 0.16 over 0.00125; in 3 dimensions flows come near -x in the"
        " mean square, so that theory sets no floor",
        needs=_enough("node", *NEIGHBOURS, ODD),
        central=True,
        rests_on=("same_points",),
    ),
    _learns_all(
        "second_order_learns",
        "second_order",
        "A second-order NODE",
        "published test errors are 0.0007 at most up to 10 dimensions",
        central=True,
    ),
    _learns_all(
        "anode_learns",
        "anode_d",
        "An ANODE with as many zeros as dimensions",
        "published test errors are 0.0047 at most up to 10 dimensions",
        central=True,
    ),
    _learns_all(
        "data_control_learns",
        "data_control",
        "A NODE whose field sees the input",
        "z' = -c (z + x) ends at -x but for 2 x exp(-c)",
        central=True,
    ),
    _impossible(
        "time_does_not_help", "node_time", "a NODE whose field sees the time", central=False
    ),
    Statement(
        "node_covers_even_spheres",
        f"In even dimensions a NODE can come nearer to -x than {FLOOR:g} |x| on all spheres",
        _even_spheres,
        Possible(),
        "there -x is a flow, the rotation by pi; the obstacle is one of odd dimensions alone",
        needs=_enough("node", *NEIGHBOURS),
        rests_on=("same_points",),
    ),
    Statement(
        "one_zero_is_enough",
        "An ANODE with one zero can learn -x in odd dimensions",
        _one_zero,
        Possible(),
        "with one dimension more the space is even, and the rotation by pi takes the zero to zero;"
        f" mean squared error of at most {ALL_ERROR:g} on dense points in every odd dimension",
        needs=_enough("anode_1", 1, ODD),
        rests_on=("same_points",),
    ),
    _learns_all(
        "second_order_from_rest_learns",
        "second_order_rest",
        "A second-order NODE that starts at rest",
        "x'' = -pi^2 x from rest ends at -x; the published model can do without its acceleration,"
        " as its learned velocities may be -2 x",
        central=False,
    ),
]


def _share_of_published(df: pd.DataFrame) -> float:
    """The product of three shares; more than is published counts as that."""
    rows = of(df, kind="result")
    spent = {
        "dim": rows["dim"].nunique(),
        "updates": rows["updates"].max(),
        "repetitions": rows["repetition"].nunique(),
    }
    return float(np.prod([min(1.0, spent[key] / PUBLISHED[key]) for key in PUBLISHED]))


SIZE = Size("10 dimensions x 1,000 updates x 4 runs", _share_of_published)


def caveats(df: pd.DataFrame) -> list[str]:
    """What fails the check, what a loose solve does, and how second order gets there."""
    sentences = []
    for arm in ARMS:
        rows = results(df, arm)
        failing = len(rows) - len(reversible(rows))
        if failing:
            sentences.append(
                f"Of {arm}, {failing} of {len(rows)} flows fail the reconstruction check at"
                f" {CHECKED:g}. Their seeds are left out."
            )
    return [*sentences, *_caveats_on_loose(df), *_caveats_on_size(df)]


def _caveats_on_loose(df: pd.DataFrame) -> list[str]:
    """What the solver of the training shows on the line, against the flow itself."""
    rows = ok(df, kind="result", arm="node", role="trained", dim=1)
    sentences = []
    for tolerance, each in rows.groupby("training_tolerance"):
        below = int(_below_line_error(each).sum())
        failing = len(each) - len(reversible(each))
        sentences.append(
            f"On the line, {below} of {len(each)} NODEs are below the floor when they are solved as"
            f" in training at {tolerance:g}, and {failing} fail the reconstruction check there."
        )
    return sentences


def _caveats_on_size(df: pd.DataFrame) -> list[str]:
    rows = ok(df, kind="result", role="checked", arm="second_order")
    sentences = []
    if len(rows):
        sentences.append(
            "The acceleration of the second-order NODE makes"
            f" {number(100 * rows['by_acceleration'].median(), 2)}% of its way (median of the root"
            " mean square beside the learned velocity, over that of the whole way)."
        )
    return sentences
