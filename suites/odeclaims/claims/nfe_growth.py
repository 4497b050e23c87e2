"""The evaluations that an ODE-Net needs grow while it is trained (Chen et al. 2018, Fig. 3d).

A net is trained at the tolerance of the paper. Before the first epoch and after every one the
frozen net is solved on the same test digits at two tolerances: the loose one of training, and one
tight enough that the solve can be taken back to its start. Only there is a number of evaluations
one of the flow, and not one of the solver's slack.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from neural_ode import Adjoint, Checkpointed, Solution, solve
from neural_ode.data import MNIST, mnist
from neural_ode.networks import OdeClassifier
from neural_ode.training import error_rate, train_as_published
from odeclaims.claim import (
    Bounds,
    Cell,
    Claim,
    Column,
    Criterion,
    Evidence,
    Profile,
    Row,
    guarded,
)
from odeclaims.report.style import COLOURS, label_panels, panels, plain_numbers
from odeclaims.report.tables import number
from odeclaims.statistics import spearman
from odeclaims.validity import (
    GRADIENT_LIMIT,
    RECONSTRUCTION_LIMIT,
    REFERENCE_LIMIT,
    STAMP_COLUMNS,
    reconstruction_error,
    relative_error,
    stamp,
)

SLUG = "nfe_growth"
# The tolerance of training, and that of the replication whose numbers stand in the ledger.
TOLERANCES = {"loose": 1e-3, "checked": 1e-7}
STEP_LIMIT = 20_000

TRAINING_IMAGES, PUBLISHED_BATCH = 60_000, 128

LEAST_SEEDS = 3
LEAST_EPOCHS = 6
LEAST_CORRELATION = 0.7
LEAST_GROWTH = 1.2
LEAST_SHARE = 0.8
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
]

DEVIATIONS = [
    "The network of the released example, whose authors note that it is not that of the paper, and"
    " dopri5 with the adjoint in the place of implicit Adams.",
    "The columns channels, images, batch_size and epochs are the budget; the published recipe has"
    " 64, 60,000, 128 and 160. The learning rate is the published one, 0.1 before epoch 60.",
    "NFE is that of the frozen net in float64 on the same digits at every epoch, one step size for"
    " all of them; the training's own mean over its batches, as in the paper, is a column.",
    "The validity stamp's gradient is that of the computed steps, its reference the midpoint method"
    " in many small ones: where a ReLU bends, a gradient converges to first order only.",
]

COLUMNS = {
    "task": Column("what is learnt: mnist"),
    "channels": Column("channels of the feature maps; 64 in the released example"),
    "images": Column("training images, each seen once an epoch"),
    "test_images": Column("test images behind the error rate"),
    "batch_size": Column("images in a training batch"),
    "epochs": Column("epochs of training"),
    "evaluated": Column("test digits on which the frozen net is solved, as one batch"),
    "reference_steps": Column(
        "midpoint steps of the gradient's reference; the looser one has half as many"
    ),
    "epoch": Column("finished epochs; 0 before training"),
    "loss": Column("mean training loss of the epoch, nats"),
    "test_error": Column("error rate on the test images after the epoch, as a fraction"),
    "training_nfe_forward": Column("mean forward evaluations of a batch in training"),
    "training_nfe_backward": Column("mean evaluations of a batch on the way back in training"),
    "role": Column("loose (the tolerance of training) or checked"),
    "tolerance": Column("rtol and atol of the solve of the frozen net"),
    "nfe_forward": Column("field evaluations of that solve"),
    "rejected": Column("its rejected steps"),
    **STAMP_COLUMNS,
}


def cells(profile: Profile):
    """One cell for each trained net."""
    for repetition in profile.repetitions(smoke=1, quick=4, paper=5):
        yield Cell(
            SLUG,
            {
                "task": "mnist",
                "channels": profile.pick(smoke=4, quick=16, paper=64),
                "images": profile.pick(smoke=24, quick=1280, paper=60_000),
                "test_images": profile.pick(smoke=20, quick=500, paper=10_000),
                "batch_size": profile.pick(smoke=8, quick=32, paper=128),
                "epochs": profile.pick(smoke=2, quick=6, paper=160),
                "evaluated": profile.pick(smoke=4, quick=4, paper=32),
                "reference_steps": profile.pick(smoke=16, quick=256, paper=1024),
            },
            repetition,
            profile.device,
            timeout_s=profile.pick(smoke=600.0, quick=3600.0, paper=30 * 86_400.0),
        )


def measure(cell: Cell) -> list[Row]:
    """Train a net, and solve it at both tolerances before the first and after every epoch."""
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
    return untrained + trained


def _solver(tolerance: float) -> dict[str, Any]:
    return {"rtol": tolerance, "atol": tolerance, "max_num_steps": STEP_LIMIT}


def _observe(model: OdeClassifier, digits: MNIST, reference_steps: int) -> list[Row]:
    """A row for each tolerance: what a solve of the net as it is now costs, and its stamp."""
    frozen = _Frozen(model, digits, reference_steps)
    return [
        {"role": role, "tolerance": tolerance, **guarded(partial(frozen.observe, tolerance))}
        for role, tolerance in TOLERANCES.items()
    ]


class _Frozen:
    """A net as it is now, in float64, and the features of some digits that its flow starts from."""

    def __init__(self, model: OdeClassifier, digits: MNIST, reference_steps: int) -> None:
        self.net = deepcopy(model).double()
        device = next(model.parameters()).device
        self.labels = digits.labels.to(device)
        with torch.no_grad():
            self.y0 = self.net.stem(mnist.normalised(digits.images.to(device)).double())
        self.ts = self.y0.new_tensor([0.0, 1.0])
        self.reference_steps = reference_steps

    def observe(self, tolerance: float) -> Row:
        """The forward solve at a tolerance."""
        solver = _solver(tolerance)
        solution, gradient = self.gradient(**solver)
        reference, reference_error = self.reference
        y1 = solution.ys[-1]
        return {
            "nfe_forward": solution.stats.nfe_forward,
            "rejected": solution.stats.rejected,
            **stamp(
                reconstruction_error(self.net.field, self.y0, y1, self.ts, solver),
                relative_error(gradient, reference),
                reference_error,
            ),
        }

    @cached_property
    def reference(self) -> tuple[Float64[Tensor, " entries"], float]:
        """The gradient by many small steps, and its distance from that by half as many."""
        fine, coarse = (
            self.gradient(method="midpoint", step_size=1 / steps)[1]
            for steps in (self.reference_steps, self.reference_steps // 2)
        )
        return fine, relative_error(coarse, fine)

    def gradient(self, **solver: Any) -> tuple[Solution, Float64[Tensor, " entries"]]:
        """A solve, and the gradient of the mean cross-entropy for the start and the field."""
        y0 = self.y0.clone().requires_grad_(True)
        # The gradient of the computed steps, in the memory of one of them.
        solution = solve(self.net.field, y0, self.ts, gradient=Checkpointed(), **solver)
        loss = nn.functional.cross_entropy(self.net.head(solution.ys[-1]), self.labels)
        gradients = torch.autograd.grad(loss, [y0, *self.net.field.parameters()])
        return solution, torch.cat([g.reshape(-1) for g in gradients])


def _solved(df: pd.DataFrame, role: str) -> pd.DataFrame:
    """The solved rows of the nets that learn MNIST, at one tolerance, in the order of epochs."""
    rows = df[(df["task"] == "mnist") & (df["role"] == role) & (df["status"] == "ok")]
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
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, and in which epochs a check failed."""
    rows = _solved(df, "checked")
    if rows.empty:
        return []
    size = rows.iloc[0]
    errors = rows.groupby("repetition")["test_error"].last()
    found = [
        f"Trained for {size['epochs']:g} epochs of {size['images']:,} images in batches of"
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


def figure(df: pd.DataFrame) -> Figure:
    """NFE forward over the epochs (3d), the reconstruction error beside its limit, test error."""
    fig, axes = panels(1, 3, height=2.7)
    evaluations, reconstruction, error = axes[0]
    draw_evaluations(evaluations, df)
    for role in TOLERANCES:
        _lines(reconstruction, _solved(df, role), "reconstruction_error", role)
    net = _solved(df, "checked").assign(percent=lambda rows: 100 * rows["test_error"], valid=True)
    _lines(error, net, "percent", "net")
    reconstruction.axhline(RECONSTRUCTION_LIMIT, color="0.4", linestyle=":", linewidth=1)
    reconstruction.set(title="Reconstruction check", yscale="log")
    reconstruction.set_ylabel("error after 0 to 1 to 0")
    error.set(title="Learning", ylabel="test error (%)", ylim=(0, None))
    for ax in axes[0]:
        ax.set_xlabel("training epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_panels(axes[0])
    fig.legend(handles=_legend(), loc="outside lower center", ncols=5)
    return fig


def draw_evaluations(ax: Axes, df: pd.DataFrame) -> None:
    """The panel of Fig. 3d: evaluations over the epochs, at both tolerances."""
    for role in TOLERANCES:
        _lines(ax, _solved(df, role), "nfe_forward", role)
    ax.set(title="NFE over training", xlabel="training epoch", ylabel="NFE forward", yscale="log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_numbers(ax.yaxis)


LOOKS = {"loose": (COLOURS[1], "s"), "checked": (COLOURS[0], "o"), "net": ("0.25", "o")}


def _lines(ax: Axes, rows: pd.DataFrame, column: str, role: str) -> None:
    """Each seed thin and their median thick, hollow where a seed fails a validity check."""
    colour, marker = LOOKS[role]
    for _, seed in rows.groupby("repetition"):
        ax.plot(seed["epoch"], seed[column], "-", color=colour, linewidth=0.6, alpha=0.5)
    by_epoch = rows.groupby("epoch")
    middle, valid = by_epoch[column].median(), by_epoch["valid"].all().astype(bool)
    ax.plot(middle.index, middle, "-", color=colour, linewidth=1.8)
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
    thin = Line2D([], [], color="0.4", linewidth=0.6, label="one seed")
    hollow = Line2D([], [], color="0.4", marker="o", mfc="white", linestyle="")
    hollow.set_label("fails a check")
    limit = Line2D([], [], color="0.4", linestyle=":", linewidth=1, label="reconstruction limit")
    return [*tolerance_legend(), thin, hollow, limit]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each net at both tolerances: NFE at the ends of training, growth, and the checks."""
    rows = []
    for role, tolerance in TOLERANCES.items():
        for repetition, net in _solved(df, role).groupby("repetition"):
            trained = net[net["epoch"] >= 1]
            first, last = trained.iloc[0], trained.iloc[-1]
            rows.append(
                {
                    "tolerance": f"{tolerance:.0e}",
                    "seed": repetition,
                    "NFE untrained": number(net["nfe_forward"].iloc[0]),
                    "after the first epoch": number(first["nfe_forward"]),
                    f"after epoch {last['epoch']:g}": number(last["nfe_forward"]),
                    "last / first": number(last["nfe_forward"] / first["nfe_forward"]),
                    "Spearman": number(spearman(trained["epoch"], trained["nfe_forward"])),
                    "reconstruction, largest": number(net["reconstruction_error"].max(), 2),
                    "gradient error, median": number(net["gradient_error"].median(), 2),
                    "valid": f"{int(net['valid'].sum())} of {len(net)}",
                    "test error (%)": number(100 * last["test_error"]),
                }
            )
    return pd.DataFrame(rows)


CLAIM = Claim(
    slug=SLUG,
    title="Evaluations grow over training",
    statement="An ODE-Net's forward evaluations increase throughout its training.",
    source="Chen et al. 2018, Fig. 3d",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    cells=cells,
    measure=measure,
    criteria=CRITERIA,
    figure=figure,
    table=table,
    caveats=caveats,
    datasets={"mnist": mnist.DIGEST},
)
