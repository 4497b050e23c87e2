"""How the rows are judged."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from odeclaims.claim import Bounds, Criterion, Need
from odeclaims.claims.crossing_1d.settings import REFINEMENTS, TOLERANCES
from odeclaims.kits import needs
from odeclaims.kits.rows import irreversible, of, ok, reversible

NAMES = {
    "node": "NODE",
    "anode": "ANODE",
    "euler": "Euler",
    "resnet": "ResNet",
    "resnet_relu": "ResNet, last ReLU",
    "linear": "y' = -2y",
}
FLOOR, TOLERATED, PASSES = 0.99, 1.05, 0.01
LEAST_SEEDS = 5
CHECKED = {"training": "checked", "role": "checked"}
LOOSE = {"training": "loose", "role": "loose"}


def results(df: pd.DataFrame, arm: str, **equal: Any) -> pd.DataFrame:
    """The results of an arm that were solved, with these values in these columns."""
    return ok(df, kind="result", arm=arm, **equal)


def _values(arm: str, column: str, **equal: Any) -> Callable[[pd.DataFrame], list[float]]:
    return lambda df: [float(value) for value in results(df, arm, **equal)[column]]


def _checked_seeds(arm: str) -> tuple[Need, ...]:
    """Enough seeds, and each with a checked flow that passes the reconstruction check."""

    def passing(df: pd.DataFrame) -> pd.DataFrame:
        return reversible(results(df, arm, **CHECKED))

    among = partial(of, arm=arm)
    return (
        needs.seeds(LEAST_SEEDS, among),
        needs.share(passing, among, "have a checked flow that can be solved back to its start"),
    )


def _whole(name: str, arm: str, statistic: Any, bounds: Bounds, because: str) -> Criterion:
    """A criterion on the error of the checked flows of every seed."""
    return Criterion(
        name,
        _values(arm, "mse", **CHECKED),
        bounds,
        because,
        statistic=statistic,
        least_seeds=LEAST_SEEDS,
        needs=_checked_seeds(arm),
    )


def _stepped(
    name: str, arm: str, substeps: int, statistic: Any, bounds: Bounds, because: str
) -> Criterion:
    """A criterion on the error of what was trained with large steps, each divided or not."""
    model: dict[str, Any] = {"substeps": substeps}
    if arm == "euler":
        model["steps"] = 1
    return Criterion(
        name,
        _values(arm, "mse", **model),
        bounds,
        because,
        statistic=statistic,
        least_seeds=LEAST_SEEDS,
    )


_AT_FLOOR = Bounds(at_least=FLOOR, at_most=TOLERATED)
_SMALLEST = REFINEMENTS[-1]

CRITERIA = [
    _whole(
        "checked NODE, smallest mean squared error of a seed",
        "node",
        "min",
        _AT_FLOOR,
        "a monotone map cannot go below 1; a hundredth is left for the solver's error",
    ),
    _whole(
        "checked NODE, largest mean squared error of a seed",
        "node",
        "max",
        _AT_FLOOR,
        "trained long enough a flow comes close to the floor, by pressing the points together",
    ),
    Criterion(
        "checked NODE, neighbours out of order, largest count of a seed",
        _values("node", "order_violations", **CHECKED),
        Bounds(at_most=0),
        "trajectories of a flow in one dimension cannot cross, so that not one pair may",
        statistic="max",
        least_seeds=LEAST_SEEDS,
        needs=_checked_seeds("node"),
    ),
    _whole(
        "checked ANODE, largest mean squared error of a seed",
        "anode",
        "max",
        Bounds(at_most=PASSES),
        "in the plane the two points walk around each other",
    ),
    _stepped(
        "Euler with one step, largest mean squared error of a seed",
        "euler",
        1,
        "max",
        Bounds(at_most=PASSES),
        "a step as large as the interval jumps over what a flow cannot cross",
    ),
    _stepped(
        "residual network, largest mean squared error of a seed",
        "resnet",
        1,
        "max",
        Bounds(at_most=PASSES),
        "its layers are such steps",
    ),
    _stepped(
        f"the same Euler field in {_SMALLEST} steps, smallest mean squared error of a seed",
        "euler",
        _SMALLEST,
        "min",
        Bounds(at_least=FLOOR),
        "steps that are small against 1 / Lipschitz constant keep the order, so the floor is back",
    ),
    _stepped(
        f"the same residual network with blocks in {_SMALLEST} parts, smallest mean squared error"
        " of a seed",
        "resnet",
        _SMALLEST,
        "min",
        Bounds(at_least=FLOOR),
        "the same for a field that changes from block to block",
    ),
    Criterion(
        "NODE trained and solved at the published tolerance, median mean squared error",
        _values("node", "mse", **LOOSE),
        _AT_FLOOR,
        "whether the published setting shows what the checked one does",
        least_seeds=LEAST_SEEDS,
        decides=False,
    ),
    Criterion(
        "residual network whose blocks end with a ReLU, smallest mean squared error of a seed",
        _values("resnet_relu", "mse", substeps=1),
        Bounds(at_least=2),
        "such blocks never lower a state, so the point at 1 misses its target by at least 2",
        statistic="min",
        least_seeds=LEAST_SEEDS,
        decides=False,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, the reach of the statement, and where a check failed."""
    trained = of(df, kind="training")
    caveats = [
        "The statement is about the flow alone: a linear head with a negative weight would solve"
        " the task trivially, and none of these models has a head."
    ]
    if len(trained):
        size, epochs = trained.iloc[0], trained.groupby("arm")["epochs"].max()
        spent = ", ".join(f"{NAMES[arm]} {epochs[arm]:g}" for arm in NAMES if arm in epochs)
        caveats.insert(
            0,
            f"Epochs of {size['points']:g} points in batches of {size['batch_size']:g} at a"
            f" learning rate of {size['learning_rate']:g}: {spent}.",
        )
    residual = of(df, arm="resnet", substeps=1)["mse"]
    stuck = int((residual > PASSES).sum())
    if stuck:
        caveats.append(
            f"{stuck} of {len(residual)} residual networks did not learn to pass in their epochs,"
            " which says nothing of what they can represent."
        )
    for training in TOLERANCES:
        for role, tolerance in TOLERANCES.items():
            rows = ok(df, training=training, role=role)
            bad = len(irreversible(rows))
            if bad:
                caveats.append(
                    f"Solved at {tolerance:g}, {bad} of {len(rows)} flows trained at"
                    f" {rows['training_tolerance'].iloc[0]:g} fail the reconstruction check."
                )
    return caveats
