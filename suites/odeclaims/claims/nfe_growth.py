"""The evaluations that an ODE-Net needs grow while it is trained (Chen et al. 2018, Fig. 3d).

A net is trained at the tolerance of the paper. Before the first epoch and after every one the
frozen net is solved on the same test digits at two tolerances: the loose one of training, and one
tight enough that the solve can be taken back to its start. Only there is a number of evaluations
one of the flow, and not one of the solver's slack.

Augmenting the state is said to keep them low (Dupont et al. 2019, sec. 4). Small models with and
without augmented dimensions are trained and looked at in the same way: on a disc in a ring, which
no flow of the plane takes apart, and on two sine curves, which one pulls apart with ease.
"""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import nn

from neural_ode import Adjoint, Checkpointed, SolverFailure
from neural_ode.data import MNIST, Points, concentric_spheres, mnist, shifted_sines
from neural_ode.networks import OdeClassifier, OdeModel, augmented_model
from neural_ode.training import error_rate, train_as_published
from odeclaims.claim import (
    Bounds,
    Cell,
    Claim,
    Column,
    Criterion,
    Evidence,
    FlipMap,
    Profile,
    Row,
)
from odeclaims.report.style import COLOURS, add_legend, label_panels, panels, plain_numbers
from odeclaims.report.tables import number
from odeclaims.statistics import spearman
from odeclaims.toys import Frozen, at, training
from odeclaims.validity import (
    GRADIENT_LIMIT,
    RECONSTRUCTION_LIMIT,
    REFERENCE_LIMIT,
    STAMP_COLUMNS,
    FrozenFlow,
    at_each,
)

SLUG = "nfe_growth"
# The tolerance of training, and that of the replication whose numbers stand in the ledger.
TOLERANCES = {"loose": 1e-3, "checked": 1e-7}
STEP_LIMIT = 20_000
# The toy problems, and the tolerances of the ANODE paper and of the replication of its curves.
TOYS: dict[str, Callable[..., Points]] = {"spheres": concentric_spheres, "sines": shifted_sines}
TOY_TOLERANCES = {"loose": 1e-3, "checked": 1e-6}
ARMS = {"node": 0, "anode": 5}
WIDTH, LEARNING_RATE, TEST_POINTS = 32, 1e-3, 1000

TRAINING_IMAGES, PUBLISHED_BATCH = 60_000, 128

LEAST_SEEDS = 3
LEAST_EPOCHS = 6
LEAST_CORRELATION = 0.7
LEAST_GROWTH = 1.2
LEAST_SHARE = 0.8
LEAST_TOY_SEEDS, LEAST_TOY_EPOCHS, LEAST_POINTS = 5, 12, 3000
LEAST_LEAD, LEAST_RATIO = 0.15, 1.2
CHECKS = {
    "reconstruction": ("reconstruction_error", RECONSTRUCTION_LIMIT),
    "gradient": ("gradient_error", GRADIENT_LIMIT),
    "reference": ("reference_error", REFERENCE_LIMIT),
}

LEDGER = [
    Evidence(
        "paper",
        "NFE forward rises throughout training, shown as a curve without printed numbers",
        "Chen et al. 2018, Fig. 3d",
        "ODE-Net on MNIST, implicit Adams at tolerance 1e-3",
    ),
    Evidence(
        "replication",
        "384 to 738 NFE over 6 epochs at tolerance 1e-7",
        "VanniLeonardo/re-augmented-neural-odes (2026, unreviewed)",
        "convolutional ODE-Net on MNIST, 64 channels",
    ),
    Evidence(
        "replication",
        "at 1e-3 every trained image model fails the reconstruction check, and the curve can look"
        " fine while it does",
        "VanniLeonardo/re-augmented-neural-odes (2026, unreviewed)",
        "reconstruction: 0 to T and back, relative error below 1e-2",
    ),
    Evidence(
        "paper",
        "the evaluations of a NODE rise while it is trained, those of an ANODE hardly; shown as"
        " curves without printed numbers",
        "Dupont et al. 2019, sec. 4",
        "concentric spheres in 1 and 2 dimensions, dopri5 at tolerance 1e-3",
    ),
    Evidence(
        "replication",
        "218 NFE (NODE) against 170 (ANODE) after 50 epochs; from epoch 25 to 500 a growth of 1.74"
        " (1.37 on the seeds that pass the check) against 1.04",
        "VanniLeonardo/re-augmented-neural-odes (2026, unreviewed)",
        "concentric spheres at tolerance 1e-6; at 1e-3 the curve looks flat, at some 44 NFE",
    ),
]

DEVIATIONS = [
    "The network of the released example, whose authors note that it is not that of the paper, and"
    " dopri5 with the adjoint in the place of implicit Adams.",
    "The columns channels, images, batch_size and epochs are the budget; the published recipe has"
    " 64, 60,000, 128 and 160. The learning rate is the published one, 0.1 before epoch 60.",
    "NFE is that of the frozen net in float64 on the same digits at every epoch, one step size for"
    " all of them; the training's own mean over its batches, as in the paper, is a column.",
    "The validity stamp's gradient is that of the computed steps, its reference the midpoint method"
    " in many small ones: where a ReLU bends, a gradient converges to first order only. For digits"
    " it is the gradient of the loss, for points that of the mean output.",
    "The toy models, their data and their training are those of the ANODE paper's code (width 32,"
    " time as an input, five augmented dimensions, batches of 64, Adam at 1e-3, smooth L1 loss),"
    " trained at 1e-3 as there. Its paper counts in training, here the frozen model is solved in"
    " float64 on the same points after every epoch.",
]

COLUMNS = {
    "task": Column("what is learnt: mnist, spheres (a disc in a ring) or sines (two curves)"),
    "arm": Column("node, or anode: with augmented dimensions; node for mnist"),
    "augment_dim": Column("zeros appended to the state"),
    "channels": Column("channels of the feature maps; 64 in the released example"),
    "images": Column("training images, each seen once an epoch"),
    "test_images": Column("test images behind the error rate"),
    "points": Column(
        "training points of a toy problem, a third of them in the disc or on the upper curve"
    ),
    "batch_size": Column("images or points in a training batch"),
    "epochs": Column("epochs of training"),
    "evaluated": Column("test digits or points on which the frozen net is solved, as one batch"),
    "reference_steps": Column(
        "midpoint steps of the gradient's reference; the looser one has half as many"
    ),
    "epoch": Column("finished epochs; 0 before training"),
    "loss": Column("mean training loss of the epoch: nats for mnist, smooth L1 for points"),
    "test_error": Column(
        "error rate after the epoch, as a fraction: on the test images, or on"
        f" {TEST_POINTS} points beside the training set"
    ),
    "training_nfe_forward": Column("mean forward evaluations of a batch in training"),
    "training_nfe_backward": Column(
        "mean evaluations of a batch on the way back in training; blank for points, where the"
        " computed steps are differentiated"
    ),
    "role": Column("loose (the tolerance of training) or checked"),
    "tolerance": Column("rtol and atol of the solve of the frozen net"),
    "nfe_forward": Column("field evaluations of that solve"),
    "rejected": Column("its rejected steps"),
    **STAMP_COLUMNS,
}


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained net."""
    yield from _digit_cells(profile)
    yield from _point_cells(profile)


def _digit_cells(profile: Profile) -> Iterator[Cell]:
    for repetition in profile.repetitions(smoke=1, quick=4, paper=5):
        yield Cell(
            SLUG,
            {
                "task": "mnist",
                "channels": profile.pick(smoke=4, quick=16, hour=32, paper=64),
                "images": profile.pick(smoke=24, quick=1280, hour=7680, paper=60_000),
                "test_images": profile.pick(smoke=20, quick=500, hour=1000, paper=10_000),
                "batch_size": profile.pick(smoke=8, quick=32, hour=64, paper=128),
                "epochs": profile.pick(smoke=2, quick=6, hour=12, paper=160),
                "evaluated": profile.pick(smoke=4, quick=4, hour=4, paper=32),
                "reference_steps": profile.pick(smoke=16, quick=256, hour=256, paper=1024),
            },
            repetition,
            profile.device,
            timeout_s=profile.pick(smoke=600.0, quick=3600.0, paper=30 * 86_400.0),
        )


def _point_cells(profile: Profile) -> Iterator[Cell]:
    size = {
        "points": profile.pick(smoke=48, quick=3000, paper=3000),
        "batch_size": profile.pick(smoke=16, quick=64, paper=64),
        "epochs": profile.pick(smoke=2, quick=12, paper=50),
        "evaluated": profile.pick(smoke=8, quick=64, paper=64),
        "reference_steps": profile.pick(smoke=16, quick=128, paper=256),
    }
    for repetition in profile.repetitions(smoke=1, quick=5, paper=10):
        for task in TOYS:
            for arm, augment_dim in ARMS.items():
                params = {"task": task, "arm": arm, "augment_dim": augment_dim, **size}
                # Both arms see the same points.
                yield Cell(SLUG, params, repetition, paired=("arm", "augment_dim"))


def measure(cell: Cell) -> list[Row]:
    """Train a net, and solve it at both tolerances before the first and after every epoch."""
    return _digit_rows(cell) if cell.params["task"] == "mnist" else _point_rows(cell)


def _digit_rows(cell: Cell) -> list[Row]:
    size = cell.params
    generator = cell.generator()
    solver = _solver(TOLERANCES["loose"])
    model = OdeClassifier(size["channels"], generator=generator, gradient=Adjoint(), **solver).to(
        cell.device
    )
    train, unseen = (mnist.load(split) for split in ("train", "test"))
    test, digits = (mnist.spread(unseen, size[count]) for count in ("test_images", "evaluated"))
    look = partial(_observe, model, digits, size["reference_steps"])
    # It is looked at anew when a run goes on: it depends on the seed alone.
    untrained = [{"epoch": 0, "test_error": error_rate(model, test), **row} for row in look()]
    history = train_as_published(
        model,
        mnist.spread(train, size["images"]),
        test,
        epochs=size["epochs"],
        batch_size=size["batch_size"],
        generator=generator,
        checkpoint=cell.checkpoint,
        on_batch=cell.tell,
        observe=look,
    )
    trained = [
        {
            "epoch": epoch.number,
            "loss": epoch.loss,
            "test_error": epoch.test_error,
            "training_nfe_forward": epoch.nfe_forward,
            "training_nfe_backward": epoch.nfe_backward,
            **row,
        }
        for epoch in history
        for row in epoch.observed
    ]
    return [{"arm": "node", "augment_dim": 0, **row} for row in untrained + trained]


def _point_rows(cell: Cell) -> list[Row]:
    size, generator = cell.params, cell.generator()
    train, test, seen = (
        TOYS[size["task"]](count // 3, count - count // 3, generator=generator)
        for count in (size["points"], TEST_POINTS, size["evaluated"])
    )
    model = augmented_model(
        2,
        WIDTH,
        augment_dim=size["augment_dim"],
        generator=generator,
        **at(TOY_TOLERANCES["loose"]),
    )
    epochs = training(
        model,
        train,
        epochs=size["epochs"],
        batch_size=size["batch_size"],
        learning_rate=LEARNING_RATE,
        generator=generator,
    )
    rows: list[Row] = []
    try:
        for epoch in chain([{"epoch": 0}], epochs):
            known = {
                "epoch": epoch["epoch"],
                "loss": epoch.get("loss"),
                "training_nfe_forward": epoch.get("training_nfe"),
                "test_error": _share_of_errors(model, test),
            }
            frozen = Frozen(model, seen.inputs, size["reference_steps"])
            rows += [{**known, **row} for row in at_each(TOY_TOLERANCES, frozen.observe)]
    except SolverFailure as failure:
        rows.append({"status": failure.status})
    return rows


@torch.no_grad()
def _share_of_errors(model: OdeModel, data: Points) -> float:
    return float((model(data.inputs).sign() != data.targets).double().mean())


def _solver(tolerance: float) -> dict[str, Any]:
    return {"rtol": tolerance, "atol": tolerance, "max_num_steps": STEP_LIMIT}


def _observe(model: OdeClassifier, digits: MNIST, reference_steps: int) -> list[Row]:
    """A row for each tolerance: what a solve of the net as it is now costs, and its stamp."""
    return at_each(TOLERANCES, _frozen(model, digits, reference_steps).observe)


def _frozen(model: OdeClassifier, digits: MNIST, reference_steps: int) -> FrozenFlow:
    """The flow of a net as it is now, in float64, from the features of some digits."""
    net, device = deepcopy(model).double(), next(model.parameters()).device
    labels = digits.labels.to(device)
    with torch.no_grad():
        y0 = net.stem(mnist.normalised(digits.images.to(device)).double())
    return FrozenFlow(
        net.field,
        y0,
        lambda y1: nn.functional.cross_entropy(net.head(y1), labels),
        reference_steps,
        max_num_steps=STEP_LIMIT,
        # The gradient of the computed steps, in the memory of one of them.
        gradient=Checkpointed(),
    )


def _solved(df: pd.DataFrame, role: str, task: str = "mnist") -> pd.DataFrame:
    """The solved rows of the nets that learn a task, at one tolerance, in the order of epochs."""
    rows = df[(df["task"] == task) & (df["role"] == role) & (df["status"] == "ok")]
    return rows.sort_values(["repetition", "epoch"])


def _curves(df: pd.DataFrame, role: str) -> list[pd.DataFrame]:
    """For each seed, the rows of its trained epochs that may speak.

    At the checked tolerance those are the valid ones, at the loose one all. The untrained net is
    left out: what it needs is a matter of its initial weights.
    """
    rows = _solved(df, role)
    rows = rows[rows["epoch"] >= 1]
    if role == "checked":
        rows = rows[rows["valid"].astype(bool)]
    return [curve for _, curve in rows.groupby("repetition")]


def _correlations(df: pd.DataFrame, role: str) -> list[float]:
    """For each seed, Spearman's correlation of epoch and NFE; 0 where the NFE never changes."""
    found = [spearman(curve["epoch"], curve["nfe_forward"]) for curve in _curves(df, role)]
    return [0.0 if math.isnan(value) else value for value in found]


def _growth(df: pd.DataFrame, role: str) -> list[float]:
    """For each seed, the NFE after the last epoch over that after the first."""
    return [c["nfe_forward"].iloc[-1] / c["nfe_forward"].iloc[0] for c in _curves(df, role)]


def _share(df: pd.DataFrame, role: str) -> list[float]:
    """The one number that is the share of seeds whose NFE rises steadily and by enough."""
    pairs = zip(_correlations(df, role), _growth(df, role), strict=True)
    return [float(np.mean([c >= LEAST_CORRELATION and g >= LEAST_GROWTH for c, g in pairs]))]


def _lacking(df: pd.DataFrame, role: str) -> str:
    """Too few seeds, or curves that do not reach from the first epoch to the last."""
    rows = df[df["task"] == "mnist"]
    seeds = rows["repetition"].nunique()
    if seeds < LEAST_SEEDS:
        return f"{seeds} of at least {LEAST_SEEDS} seeds"
    if rows["epochs"].max() < LEAST_EPOCHS:
        return f"{rows['epochs'].max():g} of at least {LEAST_EPOCHS} epochs"
    whole = sum(_whole(curve) for curve in _curves(df, role))
    if whole < seeds:
        return (
            f"{whole} of {seeds} seeds have {LEAST_EPOCHS} epochs that may speak, the first and"
            " the last among them"
        )
    return ""


def _whole(curve: pd.DataFrame) -> bool:
    ends = [curve["epoch"].iloc[0], curve["epoch"].iloc[-1]]
    return len(curve) >= LEAST_EPOCHS and ends == [1, curve["epochs"].iloc[0]]


def _ends(df: pd.DataFrame, task: str) -> pd.DataFrame:
    """Checked NFE of the seeds whose solves are valid at both ends of training, in both arms.

    A row a seed; the columns are ("first" or "last", arm): after the first epoch, after the last.
    """
    rows = _solved(df, "checked", task)
    rows = rows[rows["valid"].astype(bool)]
    ends = {"first": rows[rows["epoch"] == 1], "last": rows[rows["epoch"] == rows["epochs"]]}
    nfe = {
        end: chosen.pivot_table("nfe_forward", "repetition", "arm").reindex(columns=list(ARMS))
        for end, chosen in ends.items()
    }
    return pd.concat(nfe, axis=1).dropna()


def _arm_growth(df: pd.DataFrame, task: str) -> pd.DataFrame:
    """The NFE after the last epoch over that after the first: a row a seed, a column an arm."""
    ends = _ends(df, task)
    return pd.DataFrame({arm: ends["last", arm] / ends["first", arm] for arm in ARMS})


def _node_growth(df: pd.DataFrame, task: str) -> list[float]:
    return list(_arm_growth(df, task)["node"])


def _lead(df: pd.DataFrame, task: str) -> list[float]:
    """By how much the growth of the NODE exceeds that of the ANODE, seed by seed."""
    growth = _arm_growth(df, task)
    return list(growth["node"] - growth["anode"])


def _ratio(df: pd.DataFrame, task: str) -> list[float]:
    """NFE of the NODE over that of the ANODE after the last epoch, seed by seed."""
    ends = _ends(df, task)
    return list(ends["last", "node"] / ends["last", "anode"])


def _lacking_points(df: pd.DataFrame, task: str) -> str:
    """Too few seeds, too short a training, or too few seeds that pass the checks."""
    rows = df[df["task"] == task]
    seeds = rows["repetition"].nunique()
    if seeds < LEAST_TOY_SEEDS:
        return f"{seeds} of at least {LEAST_TOY_SEEDS} seeds"
    epochs, points = rows["epochs"].max(), rows["points"].max()
    if epochs < LEAST_TOY_EPOCHS or points < LEAST_POINTS:
        return (
            f"{epochs:g} epochs of {points:g} points, at least {LEAST_TOY_EPOCHS} of"
            f" {LEAST_POINTS} needed"
        )
    passing = len(_ends(df, task))
    if passing < LEAST_SHARE * seeds:
        return f"{passing} of {seeds} seeds pass the checks at both ends of training, in both arms"
    return ""


def _criterion(
    name: str,
    values: Callable[[pd.DataFrame, str], list[float]],
    role: str,
    least: float,
    because: str,
    *,
    decides: bool = False,
) -> Criterion:
    return Criterion(
        name,
        lambda df: values(df, role),
        Bounds(at_least=least),
        because,
        lacking=lambda df: _lacking(df, role),
        decides=decides,
    )


def _toy_criteria(task: str, why: str) -> list[Criterion]:
    """What augmenting is said to do to the evaluations; decides on the spheres alone."""
    rules = (
        (
            "NODE, checked NFE after the last epoch over that after the first",
            _node_growth,
            LEAST_GROWTH,
            "as for the digits, a growth beyond a step or two of the solver",
        ),
        (
            "growth of NODE - growth of ANODE",
            _lead,
            LEAST_LEAD,
            "the ANODE hardly grows; a replication has 1.74 (1.37 on checked seeds) against 1.04",
        ),
        (
            "checked NFE of NODE over that of ANODE after the last epoch",
            _ratio,
            LEAST_RATIO,
            "cheaper by more than a step or two; a replication has 218 against 170",
        ),
    )
    return [
        Criterion(
            f"{task}: {name}",
            partial(values, task=task),
            Bounds(at_least=least),
            why + because,
            lacking=partial(_lacking_points, task=task),
            decides=task == "spheres",
        )
        for name, values, least, because in rules
    ]


_RISES = f"rank correlation >= {LEAST_CORRELATION:g} and last over first >= {LEAST_GROWTH:g}"

CRITERIA = [
    _criterion(
        f"share of seeds whose checked NFE grows over the epochs ({_RISES})",
        _share,
        "checked",
        LEAST_SHARE,
        "a curve that rises most of the time and by more than a step or two of the solver, in four"
        " seeds of five; only valid rows, from the first trained epoch on",
        decides=True,
    ),
    _criterion(
        "Spearman correlation of epoch and checked NFE",
        _correlations,
        "checked",
        LEAST_CORRELATION,
        "the first half of the rule above, seed by seed",
    ),
    _criterion(
        "checked NFE after the last epoch over that after the first",
        _growth,
        "checked",
        LEAST_GROWTH,
        "the second half of that rule",
    ),
    _criterion(
        "share of seeds whose NFE grows by the same rule at the tolerance of training, valid or"
        " not",
        _share,
        "loose",
        LEAST_SHARE,
        "whether the published setting shows what the checked one does",
    ),
    *_toy_criteria("spheres", "a flow cannot take the disc out of the ring and has to stretch; "),
    *_toy_criteria("sines", "for comparison, where a flow has no need to grow; "),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, and where checks failed."""
    return _digit_caveats(df) + [sentence for task in TOYS for sentence in _toy_caveats(df, task)]


def _toy_caveats(df: pd.DataFrame, task: str) -> list[str]:
    """What was learnt, how many seeds speak, and how many solves fail a check."""
    rows = _solved(df, "checked", task)
    if rows.empty:
        return []
    size = rows.iloc[0]
    last = rows[rows["epoch"] == rows["epochs"]]
    errors = {arm: 100 * last[last["arm"] == arm]["test_error"].median() for arm in ARMS}
    found = [
        f"On {task}, after {size['epochs']:g} epochs of {size['points']:,.0f} points, the NODE gets"
        f" {errors['node']:.1f}% wrong and the ANODE {errors['anode']:.1f}% (medians);"
        f" {len(_ends(df, task))} of {df[df['task'] == task]['repetition'].nunique()} seeds pass"
        " the checks at both ends of training, in both arms."
    ]
    for role, tolerance in TOY_TOLERANCES.items():
        solved = _solved(df, role, task)
        failing = solved[~solved["valid"].astype(bool)]
        if len(failing):
            counts = ", ".join(f"{NAMES[arm]} {sum(failing['arm'] == arm)}" for arm in ARMS)
            found.append(
                f"On {task}, {len(failing)} of {len(solved)} solves at {tolerance:g} fail a"
                f" validity check ({counts})."
            )
    return found


def _digit_caveats(df: pd.DataFrame) -> list[str]:
    rows = _solved(df, "checked")
    if rows.empty:
        return []
    size = rows.iloc[0]
    errors = rows.groupby("repetition")["test_error"].last()
    found = [
        f"Trained for {size['epochs']:g} epochs of {size['images']:,.0f} images in batches of"
        f" {size['batch_size']:g}: test error {100 * errors.median():.1f}% at the end (median of"
        f" {len(errors)} nets)."
    ]
    updates = size["images"] // size["batch_size"]
    if size["images"] < TRAINING_IMAGES:
        found.append(
            f"These are {size['epochs'] * updates:g} updates in all; the published recipe has"
            f" {TRAINING_IMAGES // PUBLISHED_BATCH} larger ones in each of its 160 epochs, so"
            " what is seen here is how training begins."
        )
    for role, tolerance in TOLERANCES.items():
        for check in ("reconstruction", "gradient"):
            found += _failing(_solved(df, role), check, f"At tolerance {tolerance:g} the {check}")
    # Both tolerances have the reference in common.
    return found + _failing(rows, "reference", "The gradient's reference")


def _failing(rows: pd.DataFrame, check: str, name: str) -> list[str]:
    """A sentence that says in which epochs a check fails, if in any."""
    column, limit = CHECKS[check]
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
    """How much the evaluations grew, median of the seeds, had training ended after some epochs."""
    values = [
        {
            "panel": task,
            "row": f"{NAMES[arm]}, {TOLERANCES[role]:g}",
            "column": epochs,
            "value": _growth_until(_solved(df, role, task), arm, epochs, role),
        }
        for task in df["task"].unique()
        for arm in NAMES
        for role in TOLERANCES
        for epochs in _lengths(int(df["epoch"].max()))
    ]
    return FlipMap(
        "NFE forward after so many epochs over that after the first",
        pd.DataFrame(values),
        "net, tolerance of the solve",
        "epochs",
        Bounds(at_least=LEAST_GROWTH),
    )


def _lengths(most: int) -> list[int]:
    """Numbers of epochs to look at: about half as many each time, and all of them."""
    return sorted({max(2, most // 2**i) for i in range(4)})


def _growth_until(rows: pd.DataFrame, arm: str, epochs: int, role: str) -> float:
    """The median growth up to an epoch; NaN where no seed has both ends, valid where checked."""
    rows = rows[rows["arm"] == arm]
    if role == "checked":
        rows = rows[rows["valid"].astype(bool)]
    seeds = rows.pivot_table("nfe_forward", "repetition", "epoch")
    if not {1, epochs} <= set(seeds.columns):
        return math.nan
    return float((seeds[epochs] / seeds[1]).median())


def figure(df: pd.DataFrame) -> Figure:
    """NFE forward over the epochs: of digits with their checks (3d), and of NODE and ANODE."""
    fig, axes = panels(2, 3, height=2.3)
    evaluations, reconstruction, error = axes[0]
    draw_evaluations(evaluations, df)
    for role in TOLERANCES:
        _lines(reconstruction, _solved(df, role), "reconstruction_error", LOOKS[role])
    net = _solved(df, "checked").assign(percent=lambda rows: 100 * rows["test_error"], valid=True)
    _lines(error, net, "percent", LOOKS["net"])
    evaluations.set(title="MNIST: NFE")
    reconstruction.set(title="MNIST: check")
    error.set(title="MNIST: learning", ylabel="test error (%)", ylim=(0, None))
    spheres, sines, check = axes[1]
    _draw_arms(spheres, df, "spheres", "nfe_forward")
    _draw_arms(sines, df, "sines", "nfe_forward")
    _draw_arms(check, df, "spheres", "reconstruction_error")
    check.set(title="Spheres: check")
    for ax, title in ((spheres, "Spheres: NFE"), (sines, "Sines: NFE")):
        ax.set(title=title, ylabel="NFE forward", yscale="log")
        plain_numbers(ax.yaxis)
    for ax in (reconstruction, check):
        ax.axhline(RECONSTRUCTION_LIMIT, color="0.4", linestyle=":", linewidth=1)
        ax.set(ylabel="error after 0 to 1 to 0", yscale="log")
    for ax in axes.flat:
        ax.set_xlabel("training epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_panels(axes.flat)
    add_legend(fig, _legend(), ncols=5)
    return fig


def draw_evaluations(ax: Axes, df: pd.DataFrame) -> None:
    """The panel of Fig. 3d: evaluations over the epochs, at both tolerances."""
    for role in TOLERANCES:
        _lines(ax, _solved(df, role), "nfe_forward", LOOKS[role])
    ax.set(title="NFE over training", xlabel="training epoch", ylabel="NFE forward", yscale="log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_numbers(ax.yaxis)


def _draw_arms(ax: Axes, df: pd.DataFrame, task: str, column: str) -> None:
    """NODE and ANODE over the epochs, solid at the checked tolerance and dashed at the loose."""
    for role, dash in DASHES.items():
        rows = _solved(df, role, task)
        for arm in ARMS:
            _lines(ax, rows[rows["arm"] == arm], column, LOOKS[arm], dash)


NAMES = {"node": "NODE", "anode": "ANODE"}
LOOKS = {
    "loose": (COLOURS[1], "s"),
    "checked": (COLOURS[0], "o"),
    "net": ("0.25", "o"),
    "node": (COLOURS[2], "^"),
    "anode": (COLOURS[4], "D"),
}
DASHES: dict[str, Any] = {"loose": "--", "checked": "-"}


def _lines(
    ax: Axes, rows: pd.DataFrame, column: str, look: tuple[str, str], dash: str = "-"
) -> None:
    """Each seed thin and their median thick, hollow where a seed fails a validity check."""
    colour, marker = look
    for _, seed in rows.groupby("repetition"):
        ax.plot(seed["epoch"], seed[column], dash, color=colour, linewidth=0.6, alpha=0.5)
    by_epoch = rows.groupby("epoch")
    middle, valid = by_epoch[column].median(), by_epoch["valid"].all().astype(bool)
    ax.plot(middle.index, middle, dash, color=colour, linewidth=1.8)
    ax.plot(middle.index[valid], middle[valid], marker, color=colour)
    ax.plot(middle.index[~valid], middle[~valid], marker, color=colour, markerfacecolor="white")


def tolerance_legend() -> list[Line2D]:
    """Colour and marker say the tolerance."""
    meanings = {"loose": "as trained", "checked": "checked"}
    return [
        Line2D([], [], color=colour, marker=marker, label=f"{tolerance:.0e}, {meaning}")
        for (role, meaning), tolerance in zip(meanings.items(), TOLERANCES.values(), strict=True)
        for colour, marker in [LOOKS[role]]
    ]


def _legend() -> list[Line2D]:
    """What is hollow fails a check."""
    digits = tolerance_legend()
    for handle in digits:
        handle.set_label(f"MNIST at {handle.get_label()}")
    arms = [
        Line2D([], [], color=LOOKS[arm][0], marker=LOOKS[arm][1], label=NAMES[arm]) for arm in ARMS
    ]
    dashes = [
        Line2D([], [], color="0.4", linestyle=DASHES[role], label=f"points at {tolerance:.0e}")
        for role, tolerance in TOY_TOLERANCES.items()
    ]
    thin = Line2D([], [], color="0.4", linewidth=0.6, label="one seed")
    hollow = Line2D([], [], color="0.4", marker="o", mfc="white", linestyle="")
    hollow.set_label("fails a check")
    limit = Line2D([], [], color="0.4", linestyle=":", linewidth=1, label="reconstruction limit")
    return [*digits, *arms, *dashes, thin, hollow, limit]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """NFE at the ends of training, growth and checks: of each net of digits, medians for points."""
    rows = []
    for role, tolerance in TOLERANCES.items():
        for repetition, net in _solved(df, role).groupby("repetition"):
            rows.append(_table_row(net, "mnist", "NODE", tolerance, str(repetition)))
    for task in TOYS:
        for arm, name in NAMES.items():
            for role, tolerance in TOY_TOLERANCES.items():
                solved = _solved(df, role, task)
                nets = solved[solved["arm"] == arm]
                if len(nets):
                    seeds = f"median of {nets['repetition'].nunique()}"
                    rows.append(_table_row(nets, task, name, tolerance, seeds))
    return pd.DataFrame(rows)


def _table_row(
    nets: pd.DataFrame, task: str, name: str, tolerance: float, seed: str
) -> dict[str, str]:
    """A row for one net, or for the nets of several seeds."""
    epochs = nets["epochs"].iloc[0]
    nfe = nets.pivot_table("nfe_forward", "repetition", "epoch").reindex(columns=[0, 1, epochs])
    trained = nets[nets["epoch"] >= 1].groupby("repetition")
    correlations = [spearman(net["epoch"], net["nfe_forward"]) for _, net in trained]
    last = nets[nets["epoch"] == epochs]
    return {
        "task": task,
        "model": name,
        "tolerance": f"{tolerance:.0e}",
        "seed": seed,
        "NFE untrained": number(nfe[0].median()),
        "after the first epoch": number(nfe[1].median()),
        "after the last": number(nfe[epochs].median()),
        "last / first": number((nfe[epochs] / nfe[1]).median()),
        "Spearman": number(float(np.median(correlations))),
        "reconstruction, largest": number(nets["reconstruction_error"].max(), 2),
        "gradient error, median": number(nets["gradient_error"].median(), 2),
        "valid": f"{int(nets['valid'].sum())} of {len(nets)}",
        "test error (%)": number(100 * last["test_error"].median()),
    }


CLAIM = Claim(
    slug=SLUG,
    title="Evaluations grow over training, and less with augmented dimensions",
    statement="An ODE-Net's forward evaluations increase throughout its training, and augmenting"
    " its state keeps them low.",
    source="Chen et al. 2018, Fig. 3d; Dupont et al. 2019, sec. 4",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    cells=cells,
    measure=measure,
    criteria=CRITERIA,
    figure=figure,
    flips=flips,
    table=table,
    caveats=caveats,
    datasets={"mnist": mnist.DIGEST},
)
