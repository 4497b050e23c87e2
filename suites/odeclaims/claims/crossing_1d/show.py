"""The figure and the table, from the rows alone."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims.crossing_1d.judge import (
    CHECKED,
    LOOSE,
    NAMES,
    PASSES,
    one_step,
    passes,
    results,
)
from odeclaims.claims.crossing_1d.settings import REFINEMENTS
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, add_legend, label_panels, panels

LOOKS = {
    "node": (COLOURS[0], "o"),
    "anode": (COLOURS[1], "s"),
    "euler": (COLOURS[2], "^"),
    "resnet": (COLOURS[3], "D"),
    "resnet_relu": (COLOURS[4], "v"),
    "linear": ("0.35", "x"),
}
SMALLEST_SHOWN = 1e-10
FIELD_LOOK: dict[str, Any] = {"angles": "xy", "color": "0.72", "width": 0.004, "pivot": "mid"}


def figure(df: pd.DataFrame) -> Figure:
    """Trajectories over the learned field; errors over training, over steps, and at the end.
    An error below 1e-10 is rounding, and is drawn there.
    """
    fig, axes = panels(2, 3, height=2.5)
    (node, anode, euler), (loss, steps, errors) = axes
    _over_time(node, df, "node", "NODE: the order is kept")
    _in_plane(anode, df)
    _over_time(euler, df, "euler", "Euler, one step")
    _losses(loss, df)
    _over_steps(steps, df)
    _errors(errors, df)
    label_panels(axes.flat)
    add_legend(fig, _legend(), ncols=6)
    return fig


def _over_time(ax: Axes, df: pd.DataFrame, arm: str, title: str) -> None:
    """Trajectories in time, over arrows that show the direction of the field alone."""
    field = of(df, kind="field", arm=arm)
    length = (1 + field["slope_h"] ** 2) ** 0.5
    ax.quiver(field["t"], field["h"], 1 / length, field["slope_h"] / length, scale=18, **FIELD_LOOK)
    _trajectories(ax, of(df, kind="path", arm=arm), "t")
    ax.plot([1, 1], [1, -1], "*", color="0.15", markersize=7, clip_on=False, zorder=4)
    ax.set(title=title, xlabel="t", ylabel="h(t)", ylim=(-1.6, 1.6))


def _in_plane(ax: Axes, df: pd.DataFrame) -> None:
    """The augmented trajectories in their plane, over the field at t = 1/2."""
    field = of(df, kind="field", arm="anode")
    length = (field["slope_h"] ** 2 + field["slope_a"] ** 2) ** 0.5
    ax.quiver(
        field["h"],
        field["a"],
        field["slope_h"] / length,
        field["slope_a"] / length,
        scale=18,
        **FIELD_LOOK,
    )
    _trajectories(ax, of(df, kind="path", arm="anode"), "h", "a")
    for target in (1, -1):
        ax.axvline(target, color="0.15", linestyle=":", linewidth=0.8)
    ax.set(title="ANODE: around each other", xlabel="h(t)", ylabel="a(t)")


def _trajectories(ax: Axes, paths: pd.DataFrame, x: str, y: str = "h") -> None:
    """Those of the two data points bold and coloured, those from between them thin and grey."""
    for start, path in paths.groupby("start"):
        path = path.sort_values("t")
        bold = abs(float(str(start))) == 1
        colour = "0.45" if not bold else COLOURS[0] if float(str(start)) < 0 else COLOURS[3]
        ax.plot(path[x], path[y], "-", color=colour, linewidth=1.8 if bold else 0.6, zorder=3)
        if bold:
            ax.plot(path[x].iloc[0], path[y].iloc[0], "o", color=colour, zorder=4)


def _losses(ax: Axes, df: pd.DataFrame) -> None:
    """The median loss over training; of Euler's method with one step alone, of ResNets each."""
    rows = of(df, kind="training")
    residual = of(rows, arm="resnet")
    marks.seed_lines(ax, residual, "epoch", "loss", color=LOOKS["resnet"][0], linewidth=0.5)
    marks.losses(ax, rows[(rows["arm"] != "euler") | (rows["steps"] == 1)], LOOKS)
    marks.limit(ax, 0.5)
    ax.set(title="Training", ylim=(0, None))
    ax.set_xscale("log")
    epochs = [e for e in (1, 2, 5, 10, 20, 50, 100, 200) if e <= rows["epoch"].max()]
    ax.set_xticks(epochs, [str(e) for e in epochs])
    ax.minorticks_off()


def _over_steps(ax: Axes, df: pd.DataFrame) -> None:
    """What one step can and small steps cannot: the error over the parts of each step."""
    for arm in ("linear", "euler", "resnet"):
        rows = results(df, arm, **({"steps": 1} if arm != "resnet" else {}))
        colour, marker = LOOKS[arm]
        marks.seed_lines(ax, rows, "substeps", "mse", color=colour, linewidth=0.5)
        marks.median_line(ax, rows, "substeps", "mse", color=colour, marker=marker, markersize=3)
    marks.limit(ax, 1)
    ax.set(title="Smaller steps", xlabel="parts of each step", xscale="log")
    ax.set(ylabel="mean squared error", ylim=(-0.05, None))
    ax.set_xticks(REFINEMENTS, [str(n) for n in REFINEMENTS])
    ax.minorticks_off()


def _errors(ax: Axes, df: pd.DataFrame) -> None:
    """Every seed's error at the end, hollow where the flow fails the reconstruction check."""
    groups = {
        "NODE, 1e-3": ("node", results(df, "node", **LOOSE)),
        "NODE": ("node", results(df, "node", **CHECKED)),
        "ANODE, 1e-3": ("anode", results(df, "anode", **LOOSE)),
        "ANODE": ("anode", results(df, "anode", **CHECKED)),
        "Euler": ("euler", one_step(df, "euler", 1)),
        "ResNet": ("resnet", one_step(df, "resnet", 1)),
    }
    labels = []
    for i, (name, (arm, rows)) in enumerate(groups.items()):
        failing = marks.irreversible(rows)
        # Below this an error is rounding, and its size says nothing.
        shown = rows["mse"].clip(lower=SMALLEST_SHOWN)
        marks.per_seed(ax, i, shown, LOOKS[arm], hollow=failing, width=0.7, size=3)
        labels.append(f"{name}: {int(passes(rows).sum())}/{len(rows)}")
    marks.limit(ax, 1)
    ax.axhline(PASSES, color=marks.NEUTRAL, linestyle="-.", linewidth=1)
    ax.set_yscale("log")
    ax.set_xticks(range(len(labels)), labels, fontsize=6, rotation=90)
    ax.set(title="Seeds that cross", xlim=(-0.6, len(groups) - 0.4), ylabel="mean squared error")


def _legend() -> list[Line2D]:
    return [
        *marks.arms(LOOKS, NAMES),
        marks.handle("from -1", color=COLOURS[0], linewidth=1.8),
        marks.handle("from 1", color=COLOURS[3], linewidth=1.8),
        marks.handle("targets", color="0.15", marker="*", linestyle=""),
        marks.dotted("floor of a flow"),
        marks.handle("change of places", color=marks.NEUTRAL, linestyle="-.", linewidth=1),
        marks.dashed("trained at 1e-3"),
        marks.hollow(),
    ]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each model as trained and as looked at: medians over the seeds, and the worst error."""
    rows = []
    solved = ok(df, kind="result")
    keys = ["arm", "steps", "training_tolerance", "tolerance", "substeps"]
    for _, group in solved.groupby(keys, dropna=False):
        first = group.iloc[0]
        flow = bool(pd.notna(first["tolerance"]))
        rows.append(
            {
                "model": NAMES[first["arm"]],
                "steps in training": f"{first['steps']:g}" if first["arm"] == "euler" else "",
                "trained at": f"{first['training_tolerance']:.0e}" if flow else "",
                "solved at": f"{first['tolerance']:.0e}" if flow else "",
                "parts of each step": "" if flow else f"{first['substeps']:g}",
                "MSE": number(group["mse"].median()),
                "least": number(group["mse"].min()),
                "largest": number(group["mse"].max()),
                "out of order": number(group["order_violations"].median()),
                "NFE": number(group["nfe_forward"].median()),
                "reconstruction, largest": number(group["reconstruction_error"].max(), 2),
                "valid": f"{int(group['valid'].sum())} of {len(group)}" if flow else "",
                "order": list(NAMES).index(first["arm"]),
            }
        )
    frame = pd.DataFrame(rows).sort_values("order", kind="stable")
    return frame.drop(columns="order")
