"""The figure and the table, from the rows alone."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from odeclaims.claims.annulus_generalisation.judge import checked, wrong
from odeclaims.claims.annulus_generalisation.settings import (
    AUGMENT_DIMS,
    CITED,
    COMPARED,
    DRAWN,
    WEDGES,
)
from odeclaims.kits import marks
from odeclaims.kits.constants import INNER_RADIUS, OUTER_RADII
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels
from odeclaims.statistics import share_interval

LOOKS = {
    p: (colour, marker)
    for p, colour, marker in zip(
        AUGMENT_DIMS, (COLOURS[0], COLOURS[3], COLOURS[1]), MARKERS, strict=False
    )
}
DISC, RING = COLOURS[2], COLOURS[4]
DECISIONS = LinearSegmentedColormap.from_list("decisions", [DISC, "white", RING])


def _name(augment_dim: int) -> str:
    return f"ANODE, {augment_dim}" if augment_dim else "NODE"


def figure(df: pd.DataFrame) -> Figure:
    """Decision maps of a seed whose NODE is wrong and of one whose NODE is right; every seed."""
    fig, axes = panels(2, 4, height=2.2)
    chosen = {group: _typical(df, group) for group in ("wrong", "right")}
    drawn = [(p, group) for p in COMPARED for group in chosen]
    for ax, (augment_dim, group) in zip(axes[0], drawn, strict=True):
        _decisions(ax, df, augment_dim, group, chosen[group])
    axes[0, 0].set_ylabel("$x_2$")
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


def _typical(df: pd.DataFrame, group: str) -> int | None:
    """The median repetition of those whose NODE is wrong, or right; of the drawn ones alone."""
    node = checked(df, COMPARED[0], CITED)
    node = node[node["repetition"] < DRAWN]
    node = node[wrong(node) == (group == "wrong")].sort_values("held_out_accuracy")
    return int(node["repetition"].iloc[(len(node) - 1) // 2]) if len(node) else None


def _decisions(
    ax: Axes, df: pd.DataFrame, augment_dim: int, group: str, repetition: int | None
) -> None:
    """The output over the inputs, its sign's change, the two regions and the wedge."""
    rows = of(df, kind="map", augment_dim=augment_dim, repetition=repetition)
    if len(rows):
        grid = rows.pivot(index="y", columns="x", values="output")
        ax.pcolormesh(
            grid.columns, grid.index, grid, cmap=DECISIONS, vmin=-1.5, vmax=1.5, shading="gouraud"
        )
        ax.contour(grid.columns, grid.index, grid, [0], colors="0.15", linewidths=0.9)
    turn = np.linspace(0, 2 * math.pi, 200)
    for radius in (INNER_RADIUS, *OUTER_RADII):
        ax.plot(radius * np.cos(turn), radius * np.sin(turn), ":", color="0.3", linewidth=0.7)
    reach = OUTER_RADII[1]
    for angle in (0, WEDGES[CITED]):
        end = (reach * math.cos(angle), reach * math.sin(angle))
        ax.plot([0, end[0]], [0, end[1]], "-", color="0.15", linewidth=1.2)
    title, place = _titles(df, augment_dim, group, repetition)
    ax.set(title=title, xlabel=f"$x_1$; {place}", aspect="equal", xlim=(-1.5, 1.5))
    ax.set(ylim=(-1.5, 1.5), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    ax.grid(visible=False)


def _titles(
    df: pd.DataFrame, augment_dim: int, group: str, repetition: int | None
) -> tuple[str, str]:
    """The model with how many seeds are as this NODE is; which seed, and what it has right."""
    rows = checked(df, augment_dim, CITED)
    count = int((wrong(rows) == (group == "wrong")).sum())
    title = "ANODE" if augment_dim else f"NODE: {count} {group}"
    shown = rows[rows["repetition"] == repetition]["held_out_accuracy"]
    if not len(shown):
        return title, "not drawn"
    return title, f"rep. {repetition}: {shown.iloc[0]:.2f}"


def _over_width(ax: Axes, df: pd.DataFrame) -> None:
    """Shares of seeds that are wrong with their intervals; the models side by side."""
    for k, augment_dim in enumerate(AUGMENT_DIMS):
        colour, marker = LOOKS[augment_dim]
        for i, wedge in enumerate(WEDGES):
            rows = checked(df, augment_dim, wedge)
            if not len(rows):
                continue
            x, count = marks.abreast(i, k, len(AUGMENT_DIMS), 0.64), int(wrong(rows).sum())
            low, high = share_interval(count, len(rows), exact=False)
            ax.plot([x, x], [low, high], "-", color=colour, linewidth=1)
            ax.plot(x, count / len(rows), marker, color=colour, markersize=4)
    ax.set_xticks(range(len(WEDGES)), [w.replace("pi", "π") for w in WEDGES])
    ax.set_xlim(-0.5, len(WEDGES) - 0.5)
    ax.set(title="Wrong in the wedge", xlabel="width of the wedge, rad", ylim=(-0.02, 1))
    ax.set_ylabel("share of seeds")


def _each_seed(ax: Axes, df: pd.DataFrame) -> None:
    """Every seed at the wedge of the replication."""
    for k, augment_dim in enumerate(AUGMENT_DIMS):
        values = checked(df, augment_dim, CITED)["held_out_accuracy"]
        marks.per_seed(ax, k, values, LOOKS[augment_dim], width=0.6, size=3)
    marks.limit(ax, 1)
    ax.set_xticks(range(len(AUGMENT_DIMS)), [str(p) for p in AUGMENT_DIMS])
    ax.set(title=f"Seeds, {CITED.replace('pi', 'π')}", xlabel="augment_dim")


def _losses(ax: Axes, df: pd.DataFrame) -> None:
    """The loss over training at the wedge of the replication: median of the seeds."""
    for augment_dim, (colour, _) in LOOKS.items():
        rows = of(df, kind="training", wedge=CITED, augment_dim=augment_dim)
        marks.median_line(ax, rows, "epoch", "loss", color=colour, linewidth=1)
    ax.set(title="Training", xlabel="epoch", ylabel="smooth L1 loss", yscale="log")


def _legend() -> list[Line2D | Patch]:
    models = [
        marks.handle(_name(p), color=colour, marker=marker, linewidth=1)
        for p, (colour, marker) in LOOKS.items()
    ]
    return [
        *models,
        Patch(color=DISC, label="output -1"),
        Patch(color=RING, label="output 1"),
        marks.handle("output 0", color="0.15", linewidth=0.9),
        marks.handle("edges of the wedge", color="0.15", linewidth=1.6),
        marks.handle("95% interval of a share", color=marks.NEUTRAL, linewidth=1),
    ]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each width and model at either tolerance: seeds that are wrong, medians, and the range."""
    rows = []
    results = ok(df, kind="result")
    for keys, group in results.groupby(["wedge_rad", "augment_dim", "tolerance"]):
        _, augment_dim, tolerance = (float(str(key)) for key in keys)
        rows.append(
            {
                "wedge": group["wedge"].iloc[0],
                "model": _name(int(augment_dim)),
                "solved at": f"{tolerance:.0e}",
                "wrong in the wedge": f"{int(wrong(group).sum())} of {len(group)}",
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
