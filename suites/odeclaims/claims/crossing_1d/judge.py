"""How the rows are judged."""

from functools import partial
from typing import Any

import pandas as pd

from odeclaims.claims.crossing_1d.settings import CONFIRMING, REFINEMENTS, TOLERANCES
from odeclaims.kits import needs
from odeclaims.kits.quantities import attempts
from odeclaims.kits.rows import irreversible, of, ok, reversible
from odeclaims.rules import Attempts, Bounds, Impossible, Possible
from odeclaims.statement import Check, Size, Statement

NAMES = {
    "node": "NODE",
    "anode": "ANODE",
    "euler": "Euler",
    "resnet": "ResNet",
    "resnet_relu": "ResNet, last ReLU",
    "linear": "y' = -2y",
}
# A monotone map cannot go below 1; a hundredth is left for the error of the solver.
FLOOR, PASSES = 0.99, 0.01
# Trained long enough a flow comes close to the floor, by pressing the points together.
TRAINED = 1.05
CHECKED = {"training": "checked", "role": "checked"}
LOOSE = {"training": "loose", "role": "loose"}
TIGHT = {"role": "tight"}
# The two finest divisions of each step: the finest confirms what the other shows.
_FINE, _FINEST = REFINEMENTS[-2:]


def results(df: pd.DataFrame, arm: str, **equal: Any) -> pd.DataFrame:
    """The results of an arm that were solved, with these values in these columns."""
    return ok(df, kind="result", arm=arm, **equal)


def passes(rows: pd.DataFrame) -> pd.Series:
    """Whether the points have changed places."""
    return rows["mse"] <= PASSES


def below_floor(rows: pd.DataFrame) -> pd.Series:
    """Whether the error is smaller than that of any map that keeps the order."""
    return rows["mse"] < FLOOR


def lowers_a_state(rows: pd.DataFrame) -> pd.Series:
    """Whether the error is smaller than that of any map that lowers no state."""
    return rows["mse"] < 2


def checked_flows(df: pd.DataFrame, arm: str) -> pd.DataFrame:
    """The checked flows of an arm that can be solved back to their starts."""
    return reversible(results(df, arm, **CHECKED))


def one_step(df: pd.DataFrame, arm: str, substeps: int) -> pd.DataFrame:
    """What was trained with large steps, each divided into so many parts."""
    return results(df, arm, substeps=substeps, **({"steps": 1} if arm == "euler" else {}))


def _node_below_floor(df: pd.DataFrame) -> Attempts:
    again = results(df, "node", training="checked", **TIGHT)
    return attempts(checked_flows(df, "node"), below_floor, again)


def _loose_node_below_floor(df: pd.DataFrame) -> Attempts:
    again = results(df, "node", training="loose", **TIGHT)
    return attempts(results(df, "node", **LOOSE), below_floor, again)


def _anode_passes(df: pd.DataFrame) -> Attempts:
    return attempts(checked_flows(df, "anode"), passes)


def _jump_passes(arm: str, df: pd.DataFrame) -> Attempts:
    return attempts(one_step(df, arm, 1), passes)


def _refined_below_floor(arm: str, df: pd.DataFrame) -> Attempts:
    return attempts(one_step(df, arm, _FINE), below_floor, one_step(df, arm, _FINEST))


def _relu_lowers(df: pd.DataFrame) -> Attempts:
    return attempts(one_step(df, "resnet_relu", 1), lowers_a_state)


def _order_of_nodes(df: pd.DataFrame) -> list[float]:
    return [float(count) for count in checked_flows(df, "node")["order_violations"]]


def _share_of_published(df: pd.DataFrame) -> float:
    rows = of(df, kind="training", arm="node")
    return float((rows["points"] * rows["epochs"]).median()) / (500 * 50)


_TRAINED = needs.floor(
    "mse", TRAINED, "the median error of the checked NODEs", partial(checked_flows, arm="node")
)

SIZE = Size("500 points x 50 epochs", _share_of_published, _TRAINED)

CHECKS = [
    Check(
        "flows_keep_order",
        "A checked NODE keeps the order of the starts",
        _order_of_nodes,
        Bounds(at_most=0),
        "trajectories of a flow in one dimension cannot cross, so that not one pair may change"
        " places, whatever was learned",
    )
]

STATEMENTS = [
    Statement(
        "node_cannot",
        "A Neural ODE cannot map -1 to 1 and 1 to -1",
        _node_below_floor,
        Impossible(),
        "a monotone map has an error of at least 1; a hundredth is left for the solver's error",
        needs=(_TRAINED,),
        central=True,
        rests_on=("flows_keep_order",),
    ),
    Statement(
        "anode_can",
        "One augmented dimension lifts the obstruction: an ANODE can",
        _anode_passes,
        Possible(),
        "in the plane the two points walk around each other; an error of 0.01 is a tenth of the"
        " way to the target, squared",
        central=True,
    ),
    Statement(
        "euler_can",
        "Euler's method with one step can",
        partial(_jump_passes, "euler"),
        Possible(),
        "a step as large as the interval jumps over what a flow cannot cross",
        central=True,
    ),
    Statement(
        "resnet_can",
        "A residual network can",
        partial(_jump_passes, "resnet"),
        Possible(),
        "its layers are such steps",
        central=True,
    ),
    Statement(
        "fine_euler_cannot",
        f"The same Euler field in {_FINE} steps cannot",
        partial(_refined_below_floor, "euler"),
        Impossible(),
        "steps that are small against 1 / Lipschitz constant keep the order, so the floor is back;"
        f" {_FINEST} steps confirm it",
        central=True,
    ),
    Statement(
        "fine_resnet_cannot",
        f"The same residual network with its blocks in {_FINE} parts cannot",
        partial(_refined_below_floor, "resnet"),
        Impossible(),
        "the same for a field that changes from block to block",
    ),
    Statement(
        "published_tolerance_shows_it",
        "A NODE trained and solved at the published tolerance stays above the floor too",
        _loose_node_below_floor,
        Impossible(),
        "at 1e-3 an error of the solver could carry points past each other",
        needs=(_TRAINED,),
    ),
    Statement(
        "relu_blocks_cannot",
        "A residual network whose blocks end with a ReLU cannot",
        _relu_lowers,
        Impossible(),
        "such blocks never lower a state, so the point at 1 misses its target by at least 2",
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
            f"{stuck} of {len(residual)} residual networks did not learn to pass in their epochs."
            " This says how easy the training is, and not what the network can represent."
        )
    for training in TOLERANCES:
        for role, tolerance in (TOLERANCES | CONFIRMING).items():
            rows = ok(df, training=training, role=role)
            bad = len(irreversible(rows))
            if bad:
                caveats.append(
                    f"Solved at {tolerance:g}, {bad} of {len(rows)} flows trained at"
                    f" {rows['training_tolerance'].iloc[0]:g} fail the reconstruction check."
                )
    return caveats
