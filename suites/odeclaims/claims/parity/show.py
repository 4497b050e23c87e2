"""The figure and the table, from the rows alone."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from odeclaims.claims.parity.judge import ALL_ERROR, LINE_ERROR, dims, results, spheres
from odeclaims.claims.parity.settings import ARMS, RADII, TRAINED
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels

LOOKS = {
    arm: (COLOURS[colour], MARKERS[i])
    for i, (arm, colour) in enumerate(zip(ARMS, (0, 9, 1, 3, 2, 5, 4), strict=True))
}
NAMES = {
    "node": "NODE",
    "node_time": "NODE with time",
    "anode_1": "ANODE, one zero",
    "anode_d": "ANODE, D zeros",
    "second_order": "second order",
    "second_order_rest": "second order, at rest",
    "data_control": "data control",
}
# Read from the released results: mean squared errors in 1 to 6 dimensions.
PUBLISHED_TRAIN = (0.34, 4e-5, 0.045, 2e-4, 0.016, 1e-3)
PUBLISHED_TEST = (0.37, 3e-4, 0.16, 0.0022, 0.092, 0.0082)
# The sphere whose maxima are drawn, and of the starts in the plane every so many.
DRAWN, EVERY = RADII[-1], 4


def figure(df: pd.DataFrame) -> Figure:
    """Errors, spheres and determinants over the dimension D; maps and trajectories.

    (a) Mean squared errors on dense points: medians, and bars from the least to the largest seed.
    The dotted line is that of the map to 0. (b) The maximum of |F(x) + x| on the unit sphere. No
    flow in odd dimensions goes below the dotted line at 1. (c) Maps of the line of one seed each;
    dotted -x. Those of both NODEs coincide. (d) Trajectories of a NODE in the plane from two
    opposite starts (dots) to their ends (crosses). (e) Least determinant of the derivative, which
    is positive for a flow. That of -x is 1 in even dimensions and -1 in odd ones. (f) The NODE
    again: errors on the training points (dashed) and on dense points, with the published ones
    (hollow).
    """
    fig, axes = panels(2, 3, height=2.35)
    error, sphere, line, plane, determinant, node = axes.flat
    _draw_errors(error, df)
    _draw_spheres(sphere, df)
    _draw_line(line, df)
    _draw_plane(plane, df)
    _draw_determinants(determinant, df)
    _draw_node(node, df)
    label_panels(axes.flat)
    handles = [
        *marks.arms(LOOKS, NAMES),
        marks.dotted("limit, -x (caption)"),
        marks.dashed("training points"),
        marks.hollow("published", color=LOOKS["node"][0]),
    ]
    add_legend(fig, handles, ncols=4)
    return fig


def _draw_arms(ax: Axes, df: pd.DataFrame, column: str) -> None:
    """For each arm and dimension the median, with a bar over all seeds."""
    for i, (arm, (colour, marker)) in enumerate(LOOKS.items()):
        values = of(df, arm=arm).groupby("dim")[column].agg(["min", "median", "max"])
        at = np.array([marks.abreast(float(dim), i, len(LOOKS), 0.6) for dim in values.index])
        ax.vlines(at, values["min"], values["max"], color=colour, linewidth=0.8)
        ax.plot(at, values["median"], marker, color=colour, ms=3.4)
    _name_dims(ax)


def _name_dims(ax: Axes) -> None:
    ax.set_xlabel("dimension D")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _checked(df: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([results(df, arm) for arm in ARMS])


def _draw_errors(ax: Axes, df: pd.DataFrame) -> None:
    _draw_arms(ax, _checked(df), "mse")
    marks.limit(ax, LINE_ERROR)
    ax.set(title="Error", ylabel="mean squared error", yscale="log")


def _draw_spheres(ax: Axes, df: pd.DataFrame) -> None:
    rows = pd.concat([spheres(df, arm) for arm in ARMS])
    _draw_arms(ax, of(rows, radius=DRAWN), "maximum")
    marks.limit(ax, 1)
    ax.set(title="Unit sphere", ylabel="largest |F(x) + x|", yscale="log")


def _draw_line(ax: Axes, df: pd.DataFrame) -> None:
    rows = ok(df, kind="map", repetition=0, training_tolerance=TRAINED)
    for arm, (colour, marker) in LOOKS.items():
        each = of(rows, arm=arm).sort_values("x1")
        ax.plot(each["x1"], each["y1"], color=colour, marker=marker, markevery=8, ms=3)
    ax.plot([-1, 1], [1, -1], color=marks.NEUTRAL, linestyle=":", linewidth=1)
    ax.set(title="Maps of the line", xlabel="x", ylabel="F(x)")


def _draw_plane(ax: Axes, df: pd.DataFrame) -> None:
    rows = ok(df, kind="path", repetition=0)
    for i, (_, path) in enumerate(of(rows, start=list(range(0, 100, EVERY))).groupby("start")):
        path = path.sort_values("time")
        # Both are the NODE's, so they differ in the line alone.
        look: dict[str, Any] = {"color": LOOKS["node"][0], "linestyle": ("-", "--")[i % 2]}
        ax.plot(path["y1"], path["y2"], linewidth=0.9, **look)
        first, last = path.iloc[0], path.iloc[-1]
        ax.plot(first["y1"], first["y2"], "o", ms=3, **look)
        ax.plot(last["y1"], last["y2"], "x", ms=5, **look)
    ax.set(title="A NODE in the plane", xlabel="first coordinate", ylabel="second coordinate")
    ax.set_aspect("equal", adjustable="datalim")


def _draw_determinants(ax: Axes, df: pd.DataFrame) -> None:
    _draw_arms(ax, _checked(df), "least_determinant")
    for place in (-1, 1):
        marks.limit(ax, place)
    ax.set(title="Orientation", ylabel="least det dF")


def _draw_node(ax: Axes, df: pd.DataFrame) -> None:
    rows, (colour, marker) = results(df, "node"), LOOKS["node"]
    marks.median_line(ax, rows, "dim", "mse", color=colour, marker=marker)
    marks.median_line(ax, rows, "dim", "train_mse", "--", color=colour, marker=marker)
    count = max(dims(df), default=0)
    look = {"color": colour, "marker": "o", "mfc": "white", "ms": 5, "linewidth": 0.6}
    places = range(1, min(count, len(PUBLISHED_TEST)) + 1)
    ax.plot(places, PUBLISHED_TEST[: len(places)], **look)
    ax.plot(places, PUBLISHED_TRAIN[: len(places)], linestyle="--", **look)
    marks.limit(ax, LINE_ERROR)
    ax.set(title="NODE, as published", ylabel="mean squared error", yscale="log")
    _name_dims(ax)


def table(df: pd.DataFrame) -> pd.DataFrame:
    """A line for each model and dimension, medians over the seeds; a maximum is of all spheres."""
    lines = []
    for dim in dims(df):
        for arm in ARMS:
            rows, far = of(results(df, arm), dim=dim), of(spheres(df, arm), dim=dim)
            if rows.empty:
                continue
            by_seed = far.groupby("repetition")["maximum"]
            lines.append(
                {
                    "D": dim,
                    "model": NAMES[arm],
                    "parameters": f"{rows['parameters'].median():.0f}",
                    "error": number(rows["mse"].median(), 2),
                    "largest": number(rows["mse"].max(), 2),
                    f"seeds <= {ALL_ERROR:g}": f"{(rows['mse'] <= ALL_ERROR).sum()} of {len(rows)}",
                    "training error": number(rows["train_mse"].median(), 2),
                    "nearest sphere": number(by_seed.min().median(), 3),
                    "farthest": number(by_seed.max().median(), 3),
                    "least det dF": number(rows["least_determinant"].min(), 2),
                    "training NFE": number(rows["training_nfe"].median(), 3),
                }
            )
    return pd.DataFrame(lines)
