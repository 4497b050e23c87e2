"""How the rows are judged."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from odeclaims.claim import Bounds, Criterion
from odeclaims.kits import needs
from odeclaims.kits.rows import irreversible, of, ok, reversible

NAMES = {
    "node": "NODE",
    "anode": "ANODE",
    "resnet": "ResNet",
    "resnet_relu": "ResNet, last ReLU",
}
FLOOR, ROUNDS_TO_ONE, ONE_POINT = 2 / 3, 0.9995, 1e-5
LEAST_SEEDS, LEAST_PASSING = 5, 0.8
CHECKED = {"kind": "result", "training": "checked", "role": "checked"}
LOOSE = {"kind": "result", "training": "loose", "role": "loose"}


def _checked(df: pd.DataFrame, arm: str, dim: int) -> pd.DataFrame:
    """The checked flows of an arm that can be solved back to their starts."""
    return reversible(ok(df, arm=arm, dim=dim, **CHECKED))


def _wrong(rows: pd.DataFrame) -> pd.Series:
    return 1 - rows["dense_accuracy"]


def _from_one(rows: pd.DataFrame) -> pd.Series:
    """How far the winding number is from 1; not a number where the circle was not resolved."""
    return (rows["winding_number"] - 1).abs()


def _of_flow(
    name: str,
    arm: str,
    dim: int,
    value: str | Callable[[pd.DataFrame], pd.Series],
    statistic: Any,
    bounds: Bounds,
    because: str,
    *,
    decides: bool = True,
) -> Criterion:
    """A criterion on a column, or on a value, of the checked flows of every seed."""
    among, passing = partial(of, arm=arm, dim=dim), partial(_checked, arm=arm, dim=dim)
    return Criterion(
        f"checked {NAMES[arm]}, d = {dim}, {name}",
        lambda df: passing(df)[value] if isinstance(value, str) else value(passing(df)),
        bounds,
        because,
        statistic=statistic,
        least_seeds=LEAST_SEEDS,
        needs=(
            needs.seeds(LEAST_SEEDS, among),
            needs.share(
                passing,
                among,
                "have a checked flow that can be solved back to its start",
                least_share=LEAST_PASSING,
                least=LEAST_SEEDS,
            ),
        ),
        decides=decides,
    )


_PASSES = Bounds(at_least=ROUNDS_TO_ONE)

CRITERIA = [
    _of_flow(
        "wrong share of the dense grid, smallest of a seed",
        "node",
        2,
        _wrong,
        "min",
        Bounds(at_least=ONE_POINT),
        "the circle's image surrounds the disc's, so that some point is wrong; one point of the"
        " finest grid weighs 1.4e-5 or more",
    ),
    _of_flow(
        "winding number about the disc, largest distance from 1 of a seed",
        "node",
        2,
        _from_one,
        "max",
        Bounds(at_most=0),
        "a flow is a homeomorphism that keeps the orientation; any other number shows that"
        " the solve is not a flow",
    ),
    _of_flow(
        "dense accuracy, smallest of a seed",
        "anode",
        2,
        "dense_accuracy",
        "min",
        _PASSES,
        "1.000 when rounded: in seven dimensions the disc can be lifted out of the ring",
    ),
    _of_flow(
        "mean squared error, smallest of a seed",
        "node",
        1,
        "mse",
        "min",
        Bounds(at_least=0.99 * FLOOR),
        "a monotone map cannot go below 2/3; a hundredth is left for the solver's error",
    ),
    _of_flow(
        "mean squared error, largest of a seed",
        "node",
        1,
        "mse",
        "max",
        Bounds(at_most=1.05 * FLOOR),
        "trained long enough a flow comes close to the floor; a twentieth is left, as in"
        " crossing_1d",
    ),
    _of_flow(
        "neighbours out of order, largest count of a seed",
        "node",
        1,
        "order_violations",
        "max",
        Bounds(at_most=0),
        "trajectories of a flow in one dimension cannot cross, so that not one pair may",
    ),
    _of_flow(
        "dense accuracy, smallest of a seed",
        "anode",
        1,
        "dense_accuracy",
        "min",
        _PASSES,
        "1.000 when rounded: the interval can be lifted out of the line",
    ),
    _of_flow(
        "least output of the disc less that of the circle around it, smallest of a seed",
        "node",
        2,
        "overhang",
        "min",
        Bounds(at_least=0),
        "what surrounds the disc reaches beyond it on every side of every line; it follows from the"
        " winding number, and is measured without it",
        decides=False,
    ),
    _of_flow(
        "share of the training points that are right, median",
        "node",
        2,
        "training_accuracy",
        "median",
        Bounds(at_least=0.99),
        "a finite sample can be fitted: the bridge lies where few points or none are",
        decides=False,
    ),
    Criterion(
        "NODE trained and solved at the published tolerance, d = 2, wrong share of the dense grid,"
        " smallest of a seed",
        lambda df: _wrong(ok(df, arm="node", dim=2, **LOOSE)),
        Bounds(at_least=ONE_POINT),
        "whether the published setting shows what the checked one does",
        statistic="min",
        least_seeds=LEAST_SEEDS,
        decides=False,
    ),
    Criterion(
        "residual network, d = 1 and 2, dense accuracy, smallest of a seed",
        lambda df: ok(df, kind="result", arm="resnet")["dense_accuracy"],
        _PASSES,
        "its steps may jump over the ring, but nothing makes its training find how",
        statistic="min",
        least_seeds=2 * LEAST_SEEDS,
        decides=False,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, the reach of the statement, and where a check failed."""
    caveats = []
    trained = of(df, kind="training")
    if len(trained):
        size = trained.iloc[0]
        caveats.append(
            f"Every model saw {size['points']:g} points for {size['epochs']:g} epochs in batches of"
            f" {size['batch_size']:g} at a learning rate of {size['learning_rate']:g}."
        )
    fitted = _checked(df, "node", 2)
    if len(fitted):
        whole = int((fitted["training_accuracy"] == 1).sum())
        caveats.append(
            "A finite sample can be fitted by a Neural ODE, so that a loss or an accuracy in"
            f" training proves nothing: in the plane {whole} of {len(fitted)} checked flows are"
            " right on every training point, and the median is right on"
            f" {fitted['training_accuracy'].median():.2%} of them, and on"
            f" {fitted['dense_accuracy'].median():.2%} of the dense grid."
        )
    caveats.append(
        "The winding number is that of a circle of finitely many points: no step of it turns by"
        " more than an eighth of pi, seen from nine points of the disc, which makes a hidden turn"
        " unlikely and does not exclude it."
    )
    flows = ok(df, kind="result").dropna(subset="tolerance")
    for (trained_at, tolerance), rows in flows.groupby(["training_tolerance", "tolerance"]):
        bad = len(irreversible(rows))
        if bad:
            caveats.append(
                f"Solved at {tolerance:g}, {bad} of {len(rows)} flows trained at {trained_at:g}"
                " fail the reconstruction check."
            )
        on_line = of(rows, arm="node", dim=1)
        crossing = int((on_line["order_violations"] > 0).sum())
        if crossing:
            caveats.append(
                f"On the line {crossing} of {len(on_line)} NODE flows trained at {trained_at:g} and"
                f" solved at {tolerance:g} change the order of neighbours: what the solver"
                " returns there is not a flow."
            )
    return caveats
