"""The figure and the table, from the rows alone."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.claims.universal_approximation.judge import (
    APPROXIMATES,
    EDGE_FLOOR,
    NAMES,
    SQUARE_FLOOR,
    approximates,
    results,
)
from odeclaims.claims.universal_approximation.settings import FINE_GRID, NETWORKS
from odeclaims.kits import marks
from odeclaims.kits.rows import ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels

# Where a line stands, and its dash.
LINES = {
    "floor: level sets reach the edge": (EDGE_FLOOR, ":"),
    "floor: quadratic": (SQUARE_FLOOR, "-."),
    "an approximation": (APPROXIMATES, "--"),
}
LOOKS = {name: (COLOURS[i], MARKERS[i]) for i, name in enumerate(NETWORKS)}


def figure(df: pd.DataFrame) -> Figure:
    """The largest error of every seed, and the best network of each kind along a line."""
    fig, axes = panels(1, 2, height=2.6)
    _errors(axes[0, 0], df)
    _sections(axes[0, 1], df)
    label_panels(axes.flat)
    lines = [marks.handle(n, color="0.4", linestyle=dash) for n, (_, dash) in LINES.items()]
    networks = [*marks.arms(LOOKS, NAMES), marks.handle("bump", color="0.15")]
    add_legend(fig, networks + lines, ncols=4)
    return fig


def _errors(ax: Axes, df: pd.DataFrame) -> None:
    for i, network in enumerate(NETWORKS):
        errors = results(df, network, FINE_GRID)["largest_error"]
        marks.per_seed(ax, i, errors, LOOKS[network], width=0.7, size=3)
    for value, dash in LINES.values():
        ax.axhline(value, color="0.4", linewidth=0.9, linestyle=dash)
    ax.set_xticks(range(len(NETWORKS)), list(NAMES.values()), rotation=30, ha="right", fontsize=6)
    ax.set(title="Error of each seed", ylabel="largest error", ylim=(0, None))


def _sections(ax: Axes, df: pd.DataFrame) -> None:
    x = np.linspace(-1, 1, 101)
    ax.plot(x, (1 - x**2) ** 2, color="0.15", linewidth=2)
    for network, (colour, _) in LOOKS.items():
        rows = results(df, network, FINE_GRID)
        if rows.empty:
            continue
        best = rows.sort_values("largest_error")["repetition"].iloc[0]
        line = ok(df, kind="section", network=network, repetition=best).sort_values("x")
        ax.plot(line["x"], line["value"], color=colour, linewidth=1)
    ax.set(title="The best of each kind", xlabel="x, through the middle", ylabel="output")


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each network: errors over the seeds, and how many are approximations."""
    rows = []
    for network in NETWORKS:
        found = results(df, network, FINE_GRID)
        if found.empty:
            continue
        rows.append(
            {
                "network": NAMES[network],
                "largest error, least": number(found["largest_error"].min()),
                "median": number(found["largest_error"].median()),
                "mean error, median": number(found["mean_error"].median()),
                "unexplained, median": number(found["unexplained"].median()),
                "approximations": f"{int(approximates(found).sum())} of {len(found)}",
            }
        )
    return pd.DataFrame(rows)
