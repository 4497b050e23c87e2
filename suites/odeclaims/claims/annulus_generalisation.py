"""What was never shown: a wedge is left out of the training (Dupont et al. 2019, Fig. 9).

A disc has the target -1, the ring around it 1, and the points in a wedge are held out. Neural ODEs
with no, one, two and five augmented dimensions are trained on the rest. All can fit it. Without an
augmented dimension the disc has to leave the ring by a bridge, and where there are no points the
bridge costs nothing.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from torch import Tensor

from neural_ode.data import Points, concentric_spheres, split_wedge
from neural_ode.networks import augmented_model
from odeclaims.claim import (
    Bounds,
    Cell,
    Claim,
    Column,
    Criterion,
    Evidence,
    Profile,
    Row,
)
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels
from odeclaims.report.tables import number
from odeclaims.statistics import interval
from odeclaims.toys import (
    INNER_RADIUS,
    OUTER_RADII,
    Frozen,
    accuracies,
    at,
    circle,
    fit,
    spheres_grid,
)
from odeclaims.validity import RECONSTRUCTION_LIMIT, STAMP_COLUMNS, at_each

SLUG = "annulus_generalisation"
# Published, and the one at which the flow of the annulus claim is looked at.
TOLERANCES = {"loose": 1e-3, "checked": 1e-7}
WIDTH, AUGMENT_DIMS = 32, (0, 1, 2, 5)
# NODE and the ANODE of the replication.
COMPARED = (0, 5)
# In units of pi; the middle one is that of the replication.
WEDGES = {"pi/10": math.pi / 10, "pi/5": math.pi / 5, "2pi/5": 2 * math.pi / 5}
CITED = "pi/5"
RINGS = 16
MAP_SIDE = 33
# NODE's accuracies are skewed, for which the fact sheet asks for ten seeds; the other models and
# widths, which do not decide, have five.
SEEDS_CITED, SEEDS_ELSEWHERE, LEAST_PASSING = 10, 5, 0.8
# Both have to be right on so much of what they were trained on before the rest is compared.
FITTED = 0.98

LEDGER = [
    Evidence(
        "paper",
        "the augmented model generalises better: its decision is that of the data where NODE's is"
        " not, although both fit",
        "Dupont et al. 2019, Fig. 9",
        "no number is printed",
    ),
    Evidence(
        "replication",
        "held-out accuracy, median: NODE 0.619 (interquartile range 0.613 to 0.921), ANODE 1.000",
        "VanniLeonardo/re-augmented-neural-odes (2026, unreviewed)",
        "wedge from 0 to pi/5, 5 seeds, 5 augmented dimensions",
    ),
    Evidence(
        "replication",
        "held-out accuracy, median: NODE 0.744",
        "the same",
        "the same with 10 seeds",
    ),
    Evidence(
        "authors' code",
        "1000 + 2000 points, batches of 64, Adam 1e-3 on the smooth L1 loss, dopri5 at 1e-3",
        "the released notebook and config.json",
        "for the whole ring; no code for a wedge is cited",
    ),
]

DEVIATIONS = [
    "The columns points, epochs and learning_rate are the budget; published are 3000 points, 50"
    " epochs and a learning rate of 1e-3.",
    "Held-out accuracy is taken on a dense grid of the wedge, a third of its weight on the disc as"
    " in training, and not on the few points of the sample that fall into it.",
    "The models are trained at the published tolerance of 1e-3; each is frozen and solved in"
    " float64 at 1e-3 and at 1e-7, and the latter is judged.",
    "The validity stamp's gradient is that of the mean output: that of the loss vanishes where a"
    " model fits.",
]

COLUMNS = {
    "kind": Column(
        "result (of a frozen model), training (an epoch) or map (an output on a square grid, to be"
        f" drawn; first repetition, wedge {CITED}, checked flow, to six digits)"
    ),
    "augment_dim": Column("zeros appended to the input; 0 is NODE"),
    "wedge": Column(f"how far the wedge reaches from angle 0: {', '.join(WEDGES)}"),
    "wedge_rad": Column("the same in radians"),
    "points": Column("points of the sample before the wedge is taken out, a third in the disc"),
    "epochs": Column("how often each is seen in training"),
    "batch_size": Column("points in a batch"),
    "learning_rate": Column("that of Adam"),
    "training_tolerance": Column("rtol and atol of the solves in training"),
    "directions": Column("directions of the dense grids, in the wedge and outside each"),
    "reference_steps": Column(
        "midpoint steps of the gradient's reference; the looser one has half as many"
    ),
    "role": Column("loose or checked: at which tolerance the frozen flow is solved"),
    "tolerance": Column("rtol and atol of that solve"),
    "held_out_accuracy": Column(
        f"share of a dense grid of the wedge ({RINGS} radii in disc and ring each) whose output has"
        " the right sign, a third of the weight on the disc"
    ),
    "held_out_inner": Column("the same in the disc alone"),
    "held_out_outer": Column("the same in the ring alone"),
    "seen_accuracy": Column("the same on a dense grid outside the wedge"),
    "training_accuracy": Column("share of the training points whose output has the right sign"),
    "nfe_forward": Column("field evaluations of a solve from 64 points of the grid as one batch"),
    "rejected": Column("its rejected steps"),
    **STAMP_COLUMNS,
    "epoch": Column("training: finished epochs"),
    "loss": Column("training: mean smooth L1 loss of the epoch"),
    "training_nfe": Column("training: mean forward evaluations of a batch"),
    "x": Column("map: first coordinate of the input"),
    "y": Column("map: second coordinate of the input"),
    "output": Column("map: the output there"),
}

# --- what is run ---------------------------------------------------------------------------------


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained model."""
    size = {
        "points": profile.pick(smoke=96, quick=900, paper=3000),
        "epochs": profile.pick(smoke=2, quick=14, paper=50),
        "batch_size": 64,
        "learning_rate": profile.pick(smoke=5e-3, quick=5e-3, paper=1e-3),
        "training_tolerance": 1e-3,
        "directions": profile.pick(smoke=20, quick=60, paper=200),
        "reference_steps": profile.pick(smoke=16, quick=128, paper=1024),
    }
    for wedge, wedge_rad in WEDGES.items():
        for augment_dim in AUGMENT_DIMS:
            params = {"augment_dim": augment_dim, "wedge": wedge, "wedge_rad": wedge_rad}
            cited = wedge == CITED and augment_dim in COMPARED
            seeds = SEEDS_CITED if cited else SEEDS_ELSEWHERE
            for repetition in profile.repetitions(smoke=1, quick=seeds, paper=SEEDS_CITED):
                # One sample for all; what a wedge leaves of it is the same for every dimension.
                yield Cell(SLUG, {**params, **size}, repetition, paired=tuple(params))


def measure(cell: Cell) -> list[Row]:
    """Train one model outside the wedge and look at it, frozen and in float64."""
    size, generator = cell.params, cell.generator()
    inner = size["points"] // 3
    sample = concentric_spheres(inner, size["points"] - inner, generator=generator)
    data, _ = split_wedge(sample, 0, size["wedge_rad"])
    model = augmented_model(
        2,
        WIDTH,
        augment_dim=size["augment_dim"],
        generator=generator,
        **at(size["training_tolerance"]),
    )
    training = fit(
        model,
        data,
        epochs=size["epochs"],
        batch_size=size["batch_size"],
        learning_rate=size["learning_rate"],
        generator=generator,
    )
    rows: list[Row] = [{"kind": "training", **row} for row in training]
    frozen = Frozen(model, spheres_grid(4, circle(8)).inputs, size["reference_steps"])
    rows += [
        {"kind": "result", **row}
        for row in at_each(TOLERANCES, partial(_observe, frozen, data, cell))
    ]
    drawn = cell.repetition == 0 and size["wedge"] == CITED
    if drawn and rows[-1]["status"] == "ok":
        rows += _map(frozen)
    return rows


@torch.no_grad()
def _outputs(
    frozen: Frozen, tolerance: float, x: Float64[Tensor, "count 2"]
) -> Float64[Tensor, "count 1"]:
    return frozen.model.head(frozen.flow(x, x.new_tensor([0.0, 1.0]), tolerance)[-1])


def _observe(frozen: Frozen, data: Points, cell: Cell, tolerance: float) -> Row:
    edge, count = cell.params["wedge_rad"], cell.params["directions"]
    inside = spheres_grid(RINGS, circle(count, 0, edge))
    outside = spheres_grid(RINGS, circle(count, edge, 2 * math.pi))
    parts = [inside.inputs, outside.inputs, data.inputs.double()]
    held_out, seen, trained = _outputs(frozen, tolerance, torch.cat(parts)).split(
        [len(part) for part in parts]
    )
    inner, outer = accuracies(held_out, inside)
    return {
        "held_out_accuracy": _weighted(inner, outer),
        "held_out_inner": inner,
        "held_out_outer": outer,
        "seen_accuracy": _weighted(*accuracies(seen, outside)),
        "training_accuracy": float((trained * data.targets > 0).double().mean()),
        **frozen.observe(tolerance),
    }


def _weighted(inner: float, outer: float) -> float:
    """Disc and ring with their shares of the training points."""
    return (inner + 2 * outer) / 3


def _map(frozen: Frozen) -> list[Row]:
    """The outputs on a square grid, to be drawn."""
    axis = torch.linspace(-OUTER_RADII[1], OUTER_RADII[1], MAP_SIDE, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    outputs = _outputs(frozen, TOLERANCES["checked"], x)[:, 0]
    return [
        {"kind": "map", "x": round(a, 6), "y": round(b, 6), "output": float(f"{output:.6g}")}
        for (a, b), output in zip(x.tolist(), outputs.tolist(), strict=True)
    ]


# --- how it is judged ----------------------------------------------------------------------------


def _checked(df: pd.DataFrame, augment_dim: int, wedge: str) -> pd.DataFrame:
    """The checked flows that can be taken back, with the repetition as index."""
    rows = df[(df["kind"] == "result") & (df["status"] == "ok") & (df["role"] == "checked")]
    rows = rows[(rows["augment_dim"] == augment_dim) & (rows["wedge"] == wedge)]
    return rows[rows["reconstruction_error"] < RECONSTRUCTION_LIMIT].set_index("repetition")


def _gap(augment_dim: int, wedge: str, df: pd.DataFrame) -> pd.Series:
    """Held-out accuracy with so many augmented dimensions less that of NODE, seed by seed."""
    anode, node = (_checked(df, p, wedge)["held_out_accuracy"] for p in (augment_dim, 0))
    return (anode - node).dropna()


def _lacking(wedges: tuple[str, ...], least_seeds: int, df: pd.DataFrame) -> str:
    """Seeds with a checked flow in both arms, and whether both arms fit what they saw."""
    for wedge in wedges:
        for augment_dim in COMPARED:
            chosen = df[(df["augment_dim"] == augment_dim) & (df["wedge"] == wedge)]
            seeds = chosen["repetition"].nunique()
            rows = _checked(df, augment_dim, wedge)
            if seeds < least_seeds:
                return f"{seeds} of at least {least_seeds} seeds"
            if len(rows) < LEAST_PASSING * seeds:
                return f"{len(rows)} of {seeds} seeds have a checked flow that can be taken back"
            fitted = rows["training_accuracy"].median()
            if fitted < FITTED:
                return f"augment_dim {augment_dim} is right on {fitted:.3f} of its training points"
    return ""


def _accuracy(augment_dim: int, df: pd.DataFrame) -> pd.Series:
    return _checked(df, augment_dim, CITED)["held_out_accuracy"]


def _cited(
    name: str,
    values: Callable[[pd.DataFrame], pd.Series],
    bounds: Bounds,
    because: str,
    **more: Any,
) -> Criterion:
    """A criterion on the seeds' medians at the wedge of the replication."""
    return Criterion(
        f"wedge {CITED}, {name}",
        values,
        bounds,
        because,
        lacking=partial(_lacking, (CITED,), SEEDS_CITED),
        **more,
    )


CRITERIA = [
    _cited(
        "held-out accuracy of ANODE less that of NODE on the same sample, median",
        partial(_gap, COMPARED[1], CITED),
        Bounds(at_least=0.1),
        "the replication's gaps are 0.38 and 0.26; a tenth is less than half of the smaller, and"
        " more than a decision boundary that lies a little differently would give",
        partly=Bounds(at_least=0.02),
    ),
    _cited(
        "held-out accuracy of ANODE, median",
        partial(_accuracy, COMPARED[1]),
        Bounds(at_least=0.99),
        "the replication has 1.000; a hundredth is left for the smaller sample",
        partly=Bounds(at_least=0.95),
    ),
    _cited(
        "held-out accuracy of NODE, median",
        partial(_accuracy, COMPARED[0]),
        Bounds(0.5, 0.9),
        "the replication has 0.619 and 0.744, and an interquartile range of 0.613 to 0.921",
        decides=False,
    ),
    Criterion(
        "smallest over the widths of the median gap between ANODE and NODE",
        lambda df: [min(_gap(COMPARED[1], wedge, df).median() for wedge in WEDGES)],
        Bounds(at_least=0),
        "the reason holds for every width; how large the gap is there was not published",
        lacking=partial(_lacking, tuple(WEDGES), SEEDS_ELSEWHERE),
        decides=False,
    ),
    Criterion(
        f"wedge {CITED}, held-out accuracy of ANODE with one dimension less that of NODE, median",
        partial(_gap, 1, CITED),
        Bounds(at_least=0.1),
        "one dimension lifts the obstruction already",
        least_seeds=SEEDS_ELSEWHERE,
        lacking=partial(_lacking, (CITED,), SEEDS_ELSEWHERE),
        decides=False,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, how well the arms fit, and where a check failed."""
    found = []
    trained = df[df["kind"] == "training"]
    if len(trained):
        size = trained.iloc[0]
        found.append(
            f"Every model saw the part outside its wedge of {size['points']:g} points for"
            f" {size['epochs']:g} epochs in batches of {size['batch_size']:g} at a learning rate of"
            f" {size['learning_rate']:g} and a tolerance of {size['training_tolerance']:g}."
        )
    fitted = [
        f"{p} dimensions {rows['training_accuracy'].median():.4f}"
        for p in AUGMENT_DIMS
        if len(rows := _checked(df, p, CITED))
    ]
    if fitted:
        found.append(f"Right in training at {CITED}, median: {', '.join(fitted)}.")
    node = _accuracy(COMPARED[0], df)
    if len(node):
        found.append(
            f"At {CITED} {int((node < 0.9).sum())} of {len(node)} NODE seeds are below 0.9 in the"
            " wedge: the bridge passes through it or elsewhere, so that the accuracies may come in"
            " two groups, and a median jumps from one to the other."
        )
    for role, tolerance in TOLERANCES.items():
        rows = df[(df["role"] == role) & (df["status"] == "ok")]
        bad = int((rows["reconstruction_error"] >= RECONSTRUCTION_LIMIT).sum())
        if bad:
            found.append(
                f"Solved at {tolerance:g}, {bad} of {len(rows)} flows fail the reconstruction"
                " check."
            )
    return found


# --- how it is shown -----------------------------------------------------------------------------

LOOKS_OF = {
    p: (colour, marker)
    for p, colour, marker in zip(
        AUGMENT_DIMS, (COLOURS[0], COLOURS[3], COLOURS[4], COLOURS[1]), MARKERS, strict=False
    )
}
DISC, RING = COLOURS[2], COLOURS[4]
DECISIONS = LinearSegmentedColormap.from_list("decisions", [DISC, "white", RING])


def _name(augment_dim: int) -> str:
    return f"ANODE, {augment_dim}" if augment_dim else "NODE"


def figure(df: pd.DataFrame) -> Figure:
    """Decision maps of one seed, and held-out accuracy over the width of the wedge."""
    fig, axes = panels(2, 4, height=2.2)
    for ax, augment_dim in zip(axes[0], AUGMENT_DIMS, strict=True):
        _decisions(ax, df, augment_dim)
    place = axes[1, 0].get_subplotspec()
    axes[1, 0].remove()
    axes[1, 1].remove()
    width = fig.add_subplot(place.get_gridspec()[place.rowspan.start, :2])
    _over_width(width, df)
    _each_seed(axes[1, 2], df)
    _losses(axes[1, 3], df)
    label_panels([*axes[0], width, *axes[1, 2:]])
    add_legend(fig, _legend(), ncols=4)
    return fig


def _decisions(ax: Axes, df: pd.DataFrame, augment_dim: int) -> None:
    """The output over the inputs, its sign's change, the two regions and the wedge."""
    rows = df[(df["kind"] == "map") & (df["augment_dim"] == augment_dim)]
    if len(rows):
        grid = rows.pivot(index="y", columns="x", values="output")
        ax.pcolormesh(
            grid.columns, grid.index, grid, cmap=DECISIONS, vmin=-1.5, vmax=1.5, shading="gouraud"
        )
        ax.contour(grid.columns, grid.index, grid, [0], colors="0.15", linewidths=0.9)
    turn = torch.linspace(0, 2 * math.pi, 200)
    for radius in (INNER_RADIUS, *OUTER_RADII):
        ax.plot(radius * turn.cos(), radius * turn.sin(), ":", color="0.3", linewidth=0.7)
    reach = OUTER_RADII[1]
    for angle in (0, WEDGES[CITED]):
        end = (reach * math.cos(angle), reach * math.sin(angle))
        ax.plot([0, end[0]], [0, end[1]], "-", color="0.15", linewidth=1.2)
    ax.set(title=_name(augment_dim), xlabel="$x_1$", aspect="equal", xlim=(-1.5, 1.5))
    ax.set(ylim=(-1.5, 1.5), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    ax.grid(visible=False)
    if augment_dim == 0:
        ax.set_ylabel("$x_2$")


def _over_width(ax: Axes, df: pd.DataFrame) -> None:
    """Medians over the seeds with their intervals; the models side by side at each width."""
    for k, augment_dim in enumerate(AUGMENT_DIMS):
        colour, marker = LOOKS_OF[augment_dim]
        for i, wedge in enumerate(WEDGES):
            values = _checked(df, augment_dim, wedge)["held_out_accuracy"]
            if not len(values):
                continue
            x = i + 0.16 * (k - 1.5)
            low, high = interval(values) or (values.min(), values.max())
            ax.plot([x, x], [low, high], "-", color=colour, linewidth=1)
            ax.plot(x, values.median(), marker, color=colour, markersize=4)
    ax.axhline(1, color="0.4", linestyle=":", linewidth=1)
    ax.set_xticks(range(len(WEDGES)), [w.replace("pi", "π") for w in WEDGES])
    ax.set(title="Held out", xlabel="width of the wedge, rad", ylabel="held-out accuracy")


def _each_seed(ax: Axes, df: pd.DataFrame) -> None:
    """Every seed at the wedge of the replication."""
    for k, augment_dim in enumerate(AUGMENT_DIMS):
        values = _checked(df, augment_dim, CITED)["held_out_accuracy"]
        colour, marker = LOOKS_OF[augment_dim]
        for j, value in enumerate(values):
            x = k + 0.6 * ((j + 0.5) / len(values) - 0.5)
            ax.plot(x, value, marker, color=colour, markersize=3)
    ax.axhline(1, color="0.4", linestyle=":", linewidth=1)
    ax.set_xticks(range(len(AUGMENT_DIMS)), [str(p) for p in AUGMENT_DIMS])
    ax.set(title=f"Seeds, {CITED.replace('pi', 'π')}", xlabel="augment_dim")


def _losses(ax: Axes, df: pd.DataFrame) -> None:
    """The loss over training at the wedge of the replication: median of the seeds."""
    rows = df[(df["kind"] == "training") & (df["wedge"] == CITED)]
    for augment_dim, group in rows.groupby("augment_dim"):
        middle = group.groupby("epoch")["loss"].median()
        ax.plot(middle.index, middle, "-", color=LOOKS_OF[int(str(augment_dim))][0], linewidth=1)
    ax.set(title="Training", xlabel="epoch", ylabel="smooth L1 loss", yscale="log")


def _legend() -> list[Line2D | Patch]:
    models = [
        Line2D([], [], color=colour, marker=marker, linewidth=1, label=_name(p))
        for p, (colour, marker) in LOOKS_OF.items()
    ]
    disc, ring = Patch(color=DISC, label="output -1"), Patch(color=RING, label="output 1")
    change = Line2D([], [], color="0.15", linewidth=0.9, label="output 0")
    wedge = Line2D([], [], color="0.15", linewidth=1.6, label="edges of the wedge")
    return [*models, disc, ring, change, wedge]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each width and model at either tolerance: medians over the seeds, and the range."""
    rows = []
    results = df[(df["kind"] == "result") & (df["status"] == "ok")]
    for keys, group in results.groupby(["wedge_rad", "augment_dim", "tolerance"]):
        _, augment_dim, tolerance = (float(str(key)) for key in keys)
        rows.append(
            {
                "wedge": group["wedge"].iloc[0],
                "model": _name(int(augment_dim)),
                "solved at": f"{tolerance:.0e}",
                "held-out accuracy": number(group["held_out_accuracy"].median()),
                "least": number(group["held_out_accuracy"].min()),
                "largest": number(group["held_out_accuracy"].max()),
                "in the disc": number(group["held_out_inner"].median()),
                "in the ring": number(group["held_out_outer"].median()),
                "outside the wedge": number(group["seen_accuracy"].median()),
                "training accuracy": number(group["training_accuracy"].median()),
                "NFE": number(group["nfe_forward"].median()),
                "reconstruction, largest": number(group["reconstruction_error"].max(), 2),
                "valid": f"{int(group['valid'].sum())} of {len(group)}",
            }
        )
    return pd.DataFrame(rows)


CLAIM = Claim(
    slug=SLUG,
    title="What an augmented flow makes of a wedge that it never saw",
    statement="Where a wedge of disc and ring is left out of the training, augmented Neural ODEs"
    " continue both into it, and plain ones do not.",
    source="Dupont et al. 2019, Fig. 9",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    cells=cells,
    measure=measure,
    criteria=CRITERIA,
    figure=figure,
    table=table,
    caveats=caveats,
)
