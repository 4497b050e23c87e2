"""How the rows are judged."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from odeclaims.claims.mnist_classifiers.settings import ALL_IMAGES, TOLERANCE
from odeclaims.kits import needs
from odeclaims.kits.rows import of, ok, valid
from odeclaims.rules import Bounds, Curve, Equal, Level, Scales
from odeclaims.statement import Check, Need, Size, Statement
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
PUBLISHED_EPOCHS, PUBLISHED_BATCH, PUBLISHED_CHANNELS = 160, 128, 64
# What a net has learnt whose error is compared, as a fraction.
LEARNT = 0.02
LEAST_SEEDS = 5
# Up to so many percentage points errors count as equal.
WITHIN = 0.15


def networks(df: pd.DataFrame) -> pd.DataFrame:
    """The trained nets, evaluated on the test digits: a row each."""
    return ok(df, kind="network")


def _net_errors(df: pd.DataFrame, net: str) -> list[float]:
    """The error of each seed of a net, in percent."""
    return list(100 * of(networks(df), net=net).sort_values("repetition")["test_error"])


def _wrong(df: pd.DataFrame, net: str) -> dict[int, np.ndarray]:
    """For each seed of a net, whether it gets each test digit wrong, as 0 or 1."""
    found = {}
    for row in of(networks(df), net=net).to_dict("records"):
        digits = np.zeros(int(row["test_images"]))
        places = row["wrong"]
        # A net without a fault has an empty cell, which is read back as a gap.
        if isinstance(places, str):
            digits[[int(place) for place in places.split()]] = 1
        found[int(row["repetition"])] = digits
    return found


def _gaps(df: pd.DataFrame, net: str, other: str) -> np.ndarray:
    """[seeds, digits]: in points, 100 where only the first errs and -100 where only the other."""
    one, two = _wrong(df, net), _wrong(df, other)
    return np.array([100 * (one[seed] - two[seed]) for seed in sorted(set(one) & set(two))])


def control_gap(df: pd.DataFrame) -> float | None:
    """By how many points the better control errs more often than the ODE-Net, on average."""
    means = 100 * networks(df).groupby("net")["test_error"].mean()
    if not {"ode_net", "one_block", "no_block"} <= set(means.index):
        return None
    return float(min(means["one_block"], means["no_block"]) - means["ode_net"])


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
    curve = _cost_curve(df, net, column)
    return log_slope(curve.x, curve.y)


def _cost_curve(df: pd.DataFrame, net: str, column: str) -> Curve:
    """A cost of a net over its blocks or steps, beyond what stem and head need.

    A time of a single block or step is left out: what is done once an update is a part of it.
    """
    rows = net_costs(df, net)
    if column == "time_s":
        rows = rows[rows["size"] > 1]
    return Curve(tuple(rows["size"].astype(float)), tuple(rows[column].astype(float)))


def _with_size(df: pd.DataFrame) -> pd.DataFrame:
    rows = of(df, kind="cost")
    return rows[rows["size"] > 0]


def _share_of_published(df: pd.DataFrame) -> float:
    """The share of the published training; where nothing was trained, that of one update."""
    trained, costs = of(df, kind="network"), of(df, kind="cost")
    if len(trained):
        spent = float((trained["images"] * trained["epochs"]).median())
        return spent / (ALL_IMAGES * PUBLISHED_EPOCHS)
    spent = float((costs["channels"] * costs["batch_size"]).median()) if len(costs) else 0.0
    return spent / (PUBLISHED_CHANNELS * PUBLISHED_BATCH)


def _parameter_ratios(df: pd.DataFrame) -> list[float]:
    """The parameters of each trained ODE-Net over those of the ResNet of its seed."""
    counts = networks(df).pivot_table("parameters", "repetition", "net")
    counts = counts.reindex(columns=["ode_net", "resnet"]).dropna()
    return list(counts["ode_net"] / counts["resnet"])


def _evaluations_beside_steps(df: pd.DataFrame) -> list[float]:
    """Forward evaluations of each update of known depth, less four for each step of rk4."""
    rows = ok(df, kind="cost", net=["rk_net", "ode_net"])
    return list(rows["nfe_forward"].astype(float) - 4 * rows["size"])


def _published_size(df: pd.DataFrame) -> str:
    """A published number is compared with what was trained as it was."""
    rows = networks(df)
    epochs, images = (float(rows[column].max()) for column in ("epochs", "images"))
    if epochs >= PUBLISHED_EPOCHS and images >= ALL_IMAGES:
        return ""
    return f"{epochs:g} epochs of {images:g} images, not {PUBLISHED_EPOCHS} of {ALL_IMAGES}"


def _of_net(df: pd.DataFrame, net: str) -> pd.DataFrame:
    return of(networks(df), net=net)


def _have_learnt(*nets: str) -> tuple[Need, ...]:
    """Enough seeds of each net, and a median test error that is good enough to compare."""
    return tuple(
        need
        for net in nets
        for need in (
            needs.seeds(LEAST_SEEDS, partial(_of_net, net=net)),
            needs.floor(
                "test_error",
                LEARNT,
                f"the median test error of {NAMES[net]}",
                partial(_of_net, net=net),
            ),
        )
    )


SIZE = Size(
    f"{ALL_IMAGES:,} images x {PUBLISHED_EPOCHS} epochs, or one update of {PUBLISHED_BATCH} images"
    f" at {PUBLISHED_CHANNELS} channels where nothing was trained",
    _share_of_published,
)

CHECKS = [
    Check(
        "parameters_as_published",
        "The ODE-Net has about a third of the ResNet's parameters",
        _parameter_ratios,
        Bounds(at_least=0.3, at_most=0.45),
        "the table has 0.22M and 0.60M, the released nets with a conv stem 208,266 and 576,778",
    ),
    Check(
        "steps_counted",
        "A net of known depth takes four evaluations in each step of rk4",
        _evaluations_beside_steps,
        Bounds(0, 0),
        "costs are fitted over the steps, which stand for the evaluations",
    ),
]


def _equal(name: str, text: str, net: str, other: str, because: str, **more: Any) -> Statement:
    """Two nets have equal errors, judged by their answers to each digit in each seed."""
    return Statement(
        name,
        text,
        partial(_gaps, net=net, other=other),
        Equal(WITHIN),
        because + _BY_DIGITS,
        needs=_have_learnt(net, other),
        rests_on=("parameters_as_published",),
        **more,
    )


def _order(name: str, net: str, column: str, bounds: Bounds, because: str, text: str) -> Statement:
    """How a cost of one update of a net grows with its blocks or steps."""
    return Statement(
        name,
        text,
        partial(_cost_curve, net=net, column=column),
        Scales(bounds),
        because,
        needs=[needs.span("size", 8, "sizes span", _with_size)],
        central=column == "peak_saved_bytes" or net == "ode_net",
        rests_on=("steps_counted",),
    )


def _level(net: str, published: float) -> Statement:
    """The published error is one that a new training of ours could have."""
    return Statement(
        f"{net}_error",
        f"The error of {NAMES[net]} is {published:g}%",
        partial(_net_errors, net=net),
        Level(published, widest=0.3),
        "one published run, without an interval; a prediction interval wider than 0.3 points would"
        " hold any of the table's three errors",
        needs=(*_have_learnt(net), _published_size),
        rests_on=("parameters_as_published",),
    )


_BY_DIGITS = (
    f". {WITHIN:g} points are 15 of 10,000 test digits; seeds and digits are drawn again together"
)
_LINEAR, _CONSTANT = Bounds(at_least=0.9, at_most=1.1), Bounds(at_least=-0.1, at_most=0.1)
_LINEAR_TIME = Bounds(at_least=0.8, at_most=1.2)
_BYTES = "slope of log bytes over log size of one update, without what stem and head need"
_SECONDS = "slope of log seconds over log size of one update; wider, as times are noisy"

STATEMENTS = [
    _equal(
        "ode_net_equals_resnet",
        f"An ODE-Net errs as often as a ResNet with six blocks, within {WITHIN:g} points",
        "ode_net",
        "resnet",
        "the table's gap is 0.01 points",
        central=True,
    ),
    _order(
        "ode_net_memory_is_constant",
        "ode_net",
        "peak_saved_bytes",
        _CONSTANT,
        f"the table has O(1); {_BYTES}",
        "The memory of an ODE-Net is constant in its evaluations",
    ),
    _order(
        "resnet_memory_is_linear",
        "resnet",
        "peak_saved_bytes",
        _LINEAR,
        f"the table has O(L); {_BYTES}",
        "The memory of a ResNet grows linearly with its depth",
    ),
    _order(
        "rk_net_memory_is_linear",
        "rk_net",
        "peak_saved_bytes",
        _LINEAR,
        f"the table has O(L~); {_BYTES}",
        "The memory of an RK-Net grows linearly with its evaluations",
    ),
    _order(
        "ode_net_time_is_linear",
        "ode_net",
        "time_s",
        _LINEAR_TIME,
        f"the table has O(L~); {_SECONDS}",
        "The time of an ODE-Net grows linearly with its evaluations",
    ),
    _order(
        "resnet_time_is_linear",
        "resnet",
        "time_s",
        _LINEAR_TIME,
        f"the table has O(L); {_SECONDS}",
        "The time of a ResNet grows linearly with its depth",
    ),
    _order(
        "rk_net_time_is_linear",
        "rk_net",
        "time_s",
        _LINEAR_TIME,
        f"the table has O(L~); {_SECONDS}",
        "The time of an RK-Net grows linearly with its evaluations",
    ),
    _equal(
        "rk_net_equals_resnet",
        f"An RK-Net errs as often as a ResNet with six blocks, within {WITHIN:g} points",
        "rk_net",
        "resnet",
        "the table's gap is 0.06 points",
    ),
    _equal(
        "one_block_equals_ode_net",
        f"One residual block errs as often as the ODE-Net, within {WITHIN:g} points",
        "one_block",
        "ode_net",
        "a control that the paper lacks; an author agreed that six blocks were too many",
    ),
    _equal(
        "no_block_equals_ode_net",
        f"A net without any block errs as often as the ODE-Net, within {WITHIN:g} points",
        "no_block",
        "ode_net",
        "a control that the paper lacks; an issue reports less than 0.6% without a block",
    ),
    _level("resnet", 0.41),
    _level("rk_net", 0.47),
    _level("ode_net", 0.42),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, what the controls say, and whether the trained flows were solved well."""
    rows = networks(df)
    if rows.empty:
        return ["There is no trained net among these rows: only costs were measured."]
    epochs, images = int(rows["epochs"].max()), int(rows["images"].max())
    sentences = []
    if (epochs, images) != (PUBLISHED_EPOCHS, ALL_IMAGES):
        sentences.append(
            f"The nets were trained for {epochs} epochs of {images} images at"
            f" {rows['channels'].max():.0f} channels, not for {PUBLISHED_EPOCHS} of {ALL_IMAGES} at"
            " 64; the falls of the learning rate are pressed into those epochs."
        )
    gap = control_gap(rows)
    if gap is not None:
        sentences.append(
            f"The better control has {abs(gap):.2f} points"
            f" {'more' if gap > 0 else 'less'} error than the ODE-Net on average"
            + (": not evidence of a benefit of the ODE block." if gap < WITHIN else ".")
        )
    flows = rows[rows["nfe_forward"].notna()]
    if len(flows):
        sentences.append(
            f"{len(valid(flows))} of {len(flows)} trained flows pass the validity checks at"
            f" {TOLERANCE:g}."
        )
    return sentences
