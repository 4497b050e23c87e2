"""How the rows are judged."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claim import Bounds, Criterion
from odeclaims.claims.mnist_classifiers.settings import ALL_IMAGES, COMPARED, TOLERANCE
from odeclaims.kits import needs
from odeclaims.kits.rows import of, ok, valid
from odeclaims.statistics import log_slope

NAMES = {
    "mlp": "MLP, one hidden layer",
    "resnet": "ResNet, six blocks",
    "rk_net": "RK-Net",
    "ode_net": "ODE-Net",
    "one_block": "control: one block",
    "no_block": "control: no block",
}
# Of the released example (torchdiffeq, examples/odenet_mnist.py).
PUBLISHED_EPOCHS = 160
# The least training after which error rates are judged, with all images.
LEAST_EPOCHS = 5
LEAST_SEEDS = 3


def last_epochs(df: pd.DataFrame) -> pd.DataFrame:
    """The last epoch of every training."""
    rows = ok(df, kind="training")
    return rows[rows["epoch"] == rows["epochs"]]


def _errors(df: pd.DataFrame) -> pd.DataFrame:
    """The test errors in percent after the last epoch: a row a stem and seed, a column a net."""
    return 100 * last_epochs(df).pivot_table("test_error", ["downsampling", "repetition"], "net")


def _gaps(df: pd.DataFrame) -> list[float]:
    """How far the ODE-Net's error is from the ResNet's, for each stem and seed, in points."""
    errors = _errors(df)
    return [abs(gap) for gap in errors["ode_net"] - errors["resnet"]]


def _worst(df: pd.DataFrame) -> list[float]:
    """The largest error of the three nets, for each stem and seed, in percent."""
    return list(_errors(df)[list(COMPARED)].max(axis=1))


def _control_gaps(df: pd.DataFrame) -> list[float]:
    """By how much the better control is worse than the ODE-Net, for each stem and seed."""
    errors = _errors(df)
    return list(errors[["one_block", "no_block"]].min(axis=1) - errors["ode_net"])


def net_costs(df: pd.DataFrame, net: str) -> pd.DataFrame:
    """A net's costs beyond those of stem and head alone, by size."""
    rows = ok(df, kind="cost")
    base = of(rows, net="no_block")
    if base.empty:
        return rows.iloc[:0]
    costs = of(rows, net=net).sort_values("size")
    columns = ["peak_saved_bytes", "time_s"]
    return costs.assign(**{c: costs[c] - base[c].iloc[0] for c in columns})


def order(df: pd.DataFrame, net: str, column: str) -> float:
    """The fitted exponent of depth or steps with which a cost of a net grows."""
    rows = net_costs(df, net)
    return log_slope(rows["size"], rows[column])


def _finished_nets(df: pd.DataFrame) -> str:
    nets = set(last_epochs(df)["net"])
    absent = [net for net in COMPARED if net not in nets]
    return f"no finished training of {', '.join(absent)}" if absent else ""


def _with_size(df: pd.DataFrame) -> pd.DataFrame:
    rows = of(df, kind="cost")
    return rows[rows["size"] > 0]


_ENOUGH_TRAINING = (
    _finished_nets,
    needs.budget(last_epochs, epochs=LEAST_EPOCHS, images=ALL_IMAGES),
)


def _error_criterion(
    name: str,
    values: Callable[[pd.DataFrame], list[float]],
    reproduced: Bounds,
    because: str,
    partly: Bounds | None = None,
    *,
    decides: bool = True,
) -> Criterion:
    """A criterion on error rates, which mean something after enough training alone."""
    return Criterion(
        name,
        values,
        reproduced,
        because,
        partly=partly,
        least_seeds=LEAST_SEEDS,
        needs=_ENOUGH_TRAINING,
        decides=decides,
    )


def _order_criteria(
    column: str, what: str, expected: dict[str, Bounds], because: str
) -> list[Criterion]:
    def values(df: pd.DataFrame, net: str) -> list[float]:
        return [order(df, net, column)]

    return [
        Criterion(
            f"{NAMES[net]}: order of {what} in depth or steps",
            partial(values, net=net),
            bounds,
            because,
            needs=[needs.span("size", 8, "sizes span", _with_size)],
        )
        for net, bounds in expected.items()
    ]


_LINEAR, _CONSTANT = Bounds(at_least=0.9, at_most=1.1), Bounds(at_least=-0.1, at_most=0.1)
_LINEAR_TIME = Bounds(at_least=0.8, at_most=1.2)
CRITERIA = [
    _error_criterion(
        "|error of ODE-Net - error of ResNet|, percentage points",
        _gaps,
        Bounds(at_most=0.15),
        "the table's gap is 0.01 points; 0.15 is what 15 of 10,000 test digits make",
        partly=Bounds(at_most=0.4),
    ),
    _error_criterion(
        "largest error of ResNet, RK-Net and ODE-Net, percent",
        _worst,
        Bounds(at_most=0.6),
        "the table's largest is 0.47%; after a short budget 1.0% is still the same kind of net",
        partly=Bounds(at_most=1.0),
    ),
    _error_criterion(
        "error of the better control - error of ODE-Net, percentage points",
        _control_gaps,
        Bounds(at_least=0.15),
        "where the block is left out or replaced by one residual block for less than 0.15 points,"
        " the table is no evidence for ODE blocks; the paper does not make this comparison",
        decides=False,
    ),
    *_order_criteria(
        "peak_saved_bytes",
        "memory",
        {"resnet": _LINEAR, "rk_net": _LINEAR, "ode_net": _CONSTANT},
        "the table has O(L), O(L~) and O(1); slope of log bytes over log size, stem and head apart",
    ),
    *_order_criteria(
        "time_s",
        "time",
        {"resnet": _LINEAR_TIME, "rk_net": _LINEAR_TIME, "ode_net": _LINEAR_TIME},
        "the table has O(L), O(L~) and O(L~); slope of log seconds over log size, wider as timings"
        " are noisy",
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, what the controls say, and whether the trained flows were solved well."""
    rows = last_epochs(df)
    if rows.empty:
        return []
    epochs, images = int(rows["epochs"].max()), int(rows["images"].max())
    sentences = []
    if (epochs, images) != (PUBLISHED_EPOCHS, ALL_IMAGES):
        sentences.append(
            f"Trained for {epochs} epochs of {images} images at {rows['channels'].max():.0f}"
            f" channels, not for {PUBLISHED_EPOCHS} of {ALL_IMAGES} at 64: after so short a"
            " training the error rates say nothing about the table's."
        )
    if {"ode_net", "one_block", "no_block"} <= set(_errors(df)):
        gap = float(np.median(_control_gaps(df)))
        sentences.append(
            f"The better control has {abs(gap):.2f} points"
            f" {'more' if gap > 0 else 'less'} error than the ODE-Net (median)"
            + (": not evidence of a benefit of the ODE block." if gap < 0.15 else ".")
        )
    flows = rows[rows["nfe_forward"].notna()]
    sentences.append(
        f"{len(valid(flows))} of {len(flows)} trained flows pass the validity checks at"
        f" {TOLERANCE:g}."
    )
    return sentences
