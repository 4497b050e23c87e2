"""How the rows are judged, and after how many epochs the verdict changes."""

import math
from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claim import FlipMap
from odeclaims.claims.nfe_growth.settings import (
    ARMS,
    TOLERANCES,
    TOY_TOLERANCES,
    TOYS,
    looks,
)
from odeclaims.kits import needs
from odeclaims.kits.constants import GRADIENT_LIMIT, RECONSTRUCTION_LIMIT, REFERENCE_LIMIT
from odeclaims.kits.quantities import WHOLE_STEPS, beyond_whole_steps, log_ratios
from odeclaims.kits.rows import of, ok, repetitions, valid
from odeclaims.rules import Better, Bounds
from odeclaims.statement import Check, Need, Size, Statement

NAMES = {"node": "NODE", "anode": "ANODE"}
# Of the released example (torchdiffeq, examples/odenet_mnist.py).
TRAINING_IMAGES, PUBLISHED_BATCH, PUBLISHED_EPOCHS = 60_000, 128, 160
# Of the ANODE paper.
PUBLISHED_POINTS, PUBLISHED_TOY_EPOCHS = 3000, 50

# What has been learnt when evaluations are compared, as an error rate.
LEARNT = 0.02
LEAST_SHARE, LEAST_SEEDS = 0.8, 6
# Less than this factor is hardly a growth: a step or two of the solver.
HARDLY = 1.2
LIMITS = {
    "reconstruction": ("reconstruction_error", RECONSTRUCTION_LIMIT),
    "gradient": ("gradient_error", GRADIENT_LIMIT),
    "reference": ("reference_error", REFERENCE_LIMIT),
}


def tolerances(task: str) -> dict[str, float]:
    """At which tolerances the nets that learn a task are solved, by role."""
    return TOY_TOLERANCES if task in TOYS else TOLERANCES


def solves(df: pd.DataFrame, role: str, task: str = "mnist") -> pd.DataFrame:
    """The solves of the nets that learn a task, at one tolerance, in the order of epochs."""
    rows = ok(df, task=task, role=role)
    return rows.sort_values(["repetition", "epoch"])


def middle_look(epochs: int) -> int:
    """The last of the looks in the first half of a training."""
    return max(look for look in looks(epochs) if look == 1 or 2 * look <= epochs)


def _usable(rows: pd.DataFrame, role: str) -> pd.DataFrame:
    """The valid rows at the checked tolerance, all rows at the loose one."""
    return valid(rows) if role == "checked" else rows


def _at(
    df: pd.DataFrame, task: str, arm: str, look: str = "last", role: str = "checked"
) -> pd.DataFrame:
    """The usable rows of an arm at one look, the first, middle or last: at most one a seed."""
    rows = of(_usable(solves(df, role, task), role), arm=arm)
    if rows.empty:
        return rows
    epochs = int(rows["epochs"].iloc[0])
    return rows[rows["epoch"] == {"first": 1, "middle": middle_look(epochs), "last": epochs}[look]]


def _log_growth(
    df: pd.DataFrame, task: str, arm: str, since: str = "first", role: str = "checked"
) -> np.ndarray:
    """For each seed, the logarithm of the NFE after the last epoch over that at an earlier look."""
    return log_ratios(
        _at(df, task, arm, role=role), _at(df, task, arm, since, role=role), "nfe_forward"
    )


def _complete(df: pd.DataFrame, task: str) -> pd.DataFrame:
    """Checked NFE of the seeds whose solves are valid at both ends of training, in both arms.

    A row a seed; the columns are ("first" or "last", arm): after the first epoch, after the last.
    """
    series = {
        (look, arm): _at(df, task, arm, look).set_index("repetition")["nfe_forward"]
        for look in ("first", "last")
        for arm in ARMS
    }
    return pd.DataFrame(series, dtype=float).dropna()


def _lead(df: pd.DataFrame, task: str) -> np.ndarray:
    """For each seed, the logarithm of the growth of the NODE over that of the ANODE."""
    nfe = np.log(_complete(df, task))
    growth = nfe["last"] - nfe["first"]
    return np.asarray(growth["node"] - growth["anode"], dtype=float)


def _log_cost(df: pd.DataFrame, task: str) -> np.ndarray:
    """For each seed, the logarithm of the last NFE of the NODE over that of the ANODE."""
    return log_ratios(_at(df, task, "node"), _at(df, task, "anode"), "nfe_forward")


def _surprise(df: pd.DataFrame, task: str) -> np.ndarray:
    """For each seed, how far its last NFE is from what the other seeds predict, as a logarithm.

    The prediction is the line through the other seeds' last NFE over their first, in logarithms.
    """
    first, last = (
        _at(df, task, "node", look).set_index("repetition")["nfe_forward"].astype(float)
        for look in ("first", "last")
    )
    pairs = np.log(pd.DataFrame({"first": first, "last": last}).dropna().to_numpy())
    return np.array([_miss(np.delete(pairs, i, axis=0), pairs[i]) for i in range(len(pairs))])


def _miss(others: np.ndarray, pair: np.ndarray) -> float:
    """The distance of a seed's last number from the line through the others; their mean if flat."""
    if len(others) == 0:
        return math.nan
    degree = 1 if np.ptp(others[:, 0]) > 0 else 0
    line = np.polyfit(others[:, 0], others[:, 1], degree)
    return float(abs(np.polyval(line, pair[0]) - pair[1]))


def _beyond_whole_steps(df: pd.DataFrame) -> list[float]:
    return beyond_whole_steps(ok(df))


def _with_both_ends(df: pd.DataFrame, task: str) -> pd.DataFrame:
    """The last rows of the NODEs that are valid after the first epoch and after the last."""
    first, last = _at(df, task, "node", "first"), _at(df, task, "node")
    return last[last["repetition"].isin(first["repetition"])]


def _ready_digits() -> tuple[Need, ...]:
    """The nets have learnt the digits, and most have valid solves at both ends of training."""
    return (
        needs.seeds(LEAST_SEEDS, partial(of, task="mnist")),
        needs.floor(
            "test_error",
            LEARNT,
            "the median test error of the trained nets",
            partial(_at, task="mnist", arm="node"),
        ),
        needs.share(
            partial(_with_both_ends, task="mnist"),
            partial(of, task="mnist"),
            "have valid solves at both ends of training",
            least_share=LEAST_SHARE,
        ),
    )


def _ready_points(task: str) -> tuple[Need, ...]:
    """Both arms have learnt the task, and most seeds have valid solves at both ends of training."""
    return (
        needs.seeds(LEAST_SEEDS, partial(of, task=task)),
        *(
            needs.floor(
                "test_error",
                LEARNT,
                f"the median test error of the {NAMES[arm]}s on {task}",
                partial(_at, task=task, arm=arm),
            )
            for arm in ARMS
        ),
        needs.share(
            partial(_complete, task=task),
            partial(of, task=task),
            "have valid solves at both ends of training in both arms",
            least_share=LEAST_SHARE,
        ),
    )


def _share_of_published(df: pd.DataFrame) -> float:
    """The smaller of the shares of the two papers' trainings, of those that were run."""
    shares = []
    for tasks, size, published in (
        (["mnist"], "images", TRAINING_IMAGES * PUBLISHED_EPOCHS),
        (list(TOYS), "points", PUBLISHED_POINTS * PUBLISHED_TOY_EPOCHS),
    ):
        rows = of(df, task=tasks)
        if len(rows):
            shares.append(float((rows[size] * rows["epochs"]).median()) / published)
    return min(shares, default=0.0)


SIZE = Size(
    "the published trainings (60,000 digits x 160 epochs, 3,000 points x 50 epochs), the least of"
    " what was run",
    _share_of_published,
)

CHECKS = [
    Check(
        "whole_steps",
        "Every count of evaluations is that of whole steps",
        _beyond_whole_steps,
        Bounds(0, 0),
        WHOLE_STEPS,
    )
]

_GROWS = Better(Bounds(at_least=0))
_HARDLY_GROWS = Better(Bounds(at_most=math.log(HARDLY)))
_COUNTED = ("whole_steps",)
_DIGITS, _SPHERES, _SINES = _ready_digits(), _ready_points("spheres"), _ready_points("sines")
_LOG = "; the mean of the logarithm, paired by seed"

STATEMENTS = [
    Statement(
        "digits_grow",
        "The evaluations of an ODE-Net on MNIST rise over its training: log of the last NFE over"
        " the first",
        partial(_log_growth, task="mnist", arm="node"),
        _GROWS,
        "the published curve rises, without a number; after the last epoch against after the first,"
        f" at the checked tolerance{_LOG}",
        needs=_DIGITS,
        central=True,
        rests_on=_COUNTED,
    ),
    Statement(
        "node_grows",
        "The evaluations of a NODE on the spheres rise over its training: log of the last NFE over"
        " the first",
        partial(_log_growth, task="spheres", arm="node"),
        _GROWS,
        "a flow cannot take the disc out of the ring and has to stretch; a replication has a factor"
        f" of 1.74 (1.37 on checked seeds){_LOG}",
        needs=_SPHERES,
        central=True,
        rests_on=_COUNTED,
    ),
    Statement(
        "anode_hardly_grows",
        "Those of an ANODE hardly rise: log of the last NFE over the first",
        partial(_log_growth, task="spheres", arm="anode"),
        _HARDLY_GROWS,
        f"less than a factor of {HARDLY:g}, a step or two of the solver; a replication has 1.04"
        f" from epoch 25 on{_LOG}",
        needs=_SPHERES,
        central=True,
        rests_on=_COUNTED,
    ),
    Statement(
        "node_grows_more",
        "The evaluations of a NODE rise by a larger factor than those of an ANODE: log of the ratio"
        " of the two",
        partial(_lead, task="spheres"),
        _GROWS,
        f"the published curves part; a replication has 1.74 against 1.04{_LOG}",
        needs=_SPHERES,
        central=True,
        rests_on=_COUNTED,
    ),
    Statement(
        "anode_needs_fewer",
        "A trained ANODE needs fewer evaluations than a trained NODE: log of the NFE of the NODE"
        " over that of the ANODE",
        partial(_log_cost, task="spheres"),
        _GROWS,
        f"a replication has 218 against 170{_LOG}",
        needs=_SPHERES,
        central=True,
        rests_on=_COUNTED,
    ),
    Statement(
        "digits_keep_growing",
        "On MNIST they still rise in the second half of training: log of the last NFE over that at"
        " the last look of the first half",
        partial(_log_growth, task="mnist", arm="node", since="middle"),
        _GROWS,
        f"the paper says throughout training; looks are after 1, 2, 4, ... epochs{_LOG}",
        needs=_DIGITS,
        rests_on=_COUNTED,
    ),
    Statement(
        "digits_grow_as_trained",
        "On MNIST the rise is seen at the tolerance of training too",
        partial(_log_growth, task="mnist", arm="node", role="loose"),
        _GROWS,
        f"this is the published setting; its solves may fail the checks{_LOG}",
        needs=_DIGITS,
        rests_on=_COUNTED,
    ),
    Statement(
        "anode_hardly_grows_later",
        "In the second half of its training the evaluations of an ANODE hardly rise",
        partial(_log_growth, task="spheres", arm="anode", since="middle"),
        _HARDLY_GROWS,
        "the replication's factor of 1.04 leaves out the beginning, in which the task is learnt; "
        f"from the last look of the first half on{_LOG}",
        needs=_SPHERES,
        rests_on=_COUNTED,
    ),
    Statement(
        "node_grows_as_trained",
        "On the spheres the rise of the NODE is seen at the tolerance of training too",
        partial(_log_growth, task="spheres", arm="node", role="loose"),
        _GROWS,
        f"a replication finds the curve flat at 1e-3, at some 44 NFE{_LOG}",
        needs=_SPHERES,
        rests_on=_COUNTED,
    ),
    Statement(
        "last_count_is_unpredictable",
        "The evaluations of a trained NODE cannot be predicted from those after its first epoch:"
        " log of the factor by which the other seeds' line misses",
        partial(_surprise, task="spheres"),
        Better(Bounds(at_least=math.log(HARDLY)), of="median"),
        "a tutorial of 2020 says that the increase cannot be predicted; a miss by less than a"
        f" factor of {HARDLY:g} is a prediction within a step or two",
        needs=_SPHERES,
        rests_on=_COUNTED,
    ),
    Statement(
        "sines_node_grows_more",
        "On two sine curves, too, the NODE's evaluations rise by the larger factor",
        partial(_lead, task="sines"),
        _GROWS,
        f"for comparison: a flow pulls the curves apart without stretching{_LOG}",
        needs=_SINES,
        rests_on=_COUNTED,
    ),
    Statement(
        "sines_anode_needs_fewer",
        "On two sine curves, too, a trained ANODE needs fewer evaluations",
        partial(_log_cost, task="sines"),
        _GROWS,
        f"for comparison: a flow pulls the curves apart without stretching{_LOG}",
        needs=_SINES,
        rests_on=_COUNTED,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, and where checks failed."""
    return _digit_caveats(df) + [sentence for task in TOYS for sentence in _toy_caveats(df, task)]


def _toy_caveats(df: pd.DataFrame, task: str) -> list[str]:
    """What was learnt, how many seeds are judged, and how many solves fail a check."""
    rows = solves(df, "checked", task)
    if rows.empty:
        return []
    size = rows.iloc[0]
    last = rows[rows["epoch"] == rows["epochs"]]
    errors = {arm: 100 * last[last["arm"] == arm]["test_error"].median() for arm in ARMS}
    sentences = [
        f"On {task}, after {size['epochs']:g} epochs of {size['points']:,.0f} points, the NODE gets"
        f" {errors['node']:.1f}% wrong and the ANODE {errors['anode']:.1f}% (medians);"
        f" {len(_complete(df, task))} of {repetitions(of(df, task=task))} seeds pass"
        " the checks at both ends of training, in both arms."
    ]
    if task == "spheres":
        sentences += _beside_the_replication_of_points(df)
    for role, tolerance in TOY_TOLERANCES.items():
        every = solves(df, role, task)
        failing = every[~every["valid"].eq(True)]
        if len(failing):
            counts = ", ".join(f"{NAMES[arm]} {sum(failing['arm'] == arm)}" for arm in ARMS)
            sentences.append(
                f"On {task}, {len(failing)} of {len(every)} solves at {tolerance:g} fail a"
                f" validity check ({counts})."
            )
    return sentences


def _beside_the_replication_of_points(df: pd.DataFrame) -> list[str]:
    """Our evaluations at the tolerance of the replication, and why they need not be its own."""
    rows = solves(df, "replication", "spheres")
    last = rows[rows["epoch"] == rows["epochs"]]
    nfe = {arm: of(last, arm=arm)["nfe_forward"].median() for arm in ARMS}
    if last.empty:
        return []
    return [
        f"On spheres at 1e-6 a NODE takes {nfe['node']:g} evaluations at the end and an ANODE"
        f" {nfe['anode']:g} (medians). The replication has 218 and 170 after 50 epochs. A count"
        " depends on how long a net was trained, and on the points that are solved as one batch."
    ]


def _beside_the_replication_of_digits(rows: pd.DataFrame) -> list[str]:
    """Our evaluations at the tolerance of the replication, and why they need not be its own."""
    first, last = (rows[rows["epoch"] == end] for end in (1, rows["epochs"].max()))
    return [
        f"At 1e-7 a net takes {first['nfe_forward'].median():g} evaluations after the first epoch"
        f" and {last['nfe_forward'].median():g} after the last (medians). The replication has 384"
        " and 738 over 6 epochs at 64 channels. A count depends on the width of the net, on what it"
        " has learnt, and on the digits that are solved as one batch."
    ]


def _digit_caveats(df: pd.DataFrame) -> list[str]:
    rows = solves(df, "checked")
    if rows.empty:
        return ["No net that learnt the digits is published."]
    size = rows.iloc[0]
    errors = rows.groupby("repetition")["test_error"].last()
    sentences = [
        f"Trained for {size['epochs']:g} epochs of {size['images']:,.0f} images in batches of"
        f" {size['batch_size']:g}: test error {100 * errors.median():.1f}% at the end (median of"
        f" {len(errors)} nets)."
    ]
    updates = size["images"] // size["batch_size"]
    if size["images"] < TRAINING_IMAGES:
        sentences.append(
            f"These are {size['epochs'] * updates:g} updates in all; the published recipe has"
            f" {TRAINING_IMAGES // PUBLISHED_BATCH} larger ones in each of its"
            f" {PUBLISHED_EPOCHS} epochs, so what is seen here is how training begins."
        )
    for role, tolerance in TOLERANCES.items():
        for check in ("reconstruction", "gradient"):
            sentences += _failing(
                solves(df, role), check, f"At tolerance {tolerance:g} the {check}"
            )
    sentences += _beside_the_replication_of_digits(rows)
    # Both tolerances have the reference in common.
    return sentences + _failing(rows, "reference", "The gradient's reference")


def _failing(rows: pd.DataFrame, check: str, name: str) -> list[str]:
    """A sentence that says in which epochs a check fails, if in any."""
    column, limit = LIMITS[check]
    failing = rows[~(rows[column] < limit)]
    if failing.empty:
        return []
    return [
        f"{name} fails its check in {len(failing)} of {len(rows)} solves"
        f" (epochs {_ranges(failing['epoch'])})."
    ]


def _ranges(epochs: pd.Series) -> str:
    """Whole numbers in words: 0 to 3, 5."""
    numbers = sorted({int(epoch) for epoch in epochs})
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    pairs = zip(starts, ends, strict=True)
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in pairs)


def flips(df: pd.DataFrame) -> FlipMap:
    """How much the NODE's evaluations grew, median of the seeds, up to each look.

    An ANODE is not among the rows: its evaluations are claimed to stay, so one range cannot judge
    both.
    """
    values = [
        {
            "panel": task,
            "tolerance": tolerance,
            "row": f"{tolerance:g}",
            "column": epochs,
            "value": _growth_until(solves(df, role, task), epochs, role),
        }
        for task in df["task"].unique()
        for role, tolerance in tolerances(task).items()
        for epochs in looks(int(of(df, task=task)["epochs"].max()))[1:]
    ]
    return FlipMap(
        "NFE forward of the NODE after so many epochs over that after the first",
        # The tasks have other tolerances, and the loosest stands above.
        pd.DataFrame(values)
        .sort_values("tolerance", ascending=False, kind="stable")
        .drop(columns="tolerance"),
        "tolerance",
        "epochs",
        # Above 1: counts are far below a thousand, so no growth lies between.
        Bounds(at_least=1.001),
    )


def _growth_until(rows: pd.DataFrame, epochs: int, role: str) -> float:
    """The median growth up to an epoch; NaN where no seed has both ends, valid where checked."""
    rows = _usable(of(rows, arm="node"), role)
    seeds = rows.pivot_table("nfe_forward", "repetition", "epoch")
    if not {1, epochs} <= set(seeds.columns):
        return math.nan
    return float((seeds[epochs] / seeds[1]).median())
