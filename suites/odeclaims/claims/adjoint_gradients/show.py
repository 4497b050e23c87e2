"""The figure and the table, from the rows alone."""

import math
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from odeclaims.claims.adjoint_gradients.judge import (
    TIGHT,
    TIGHT_BOUND,
    arm_rows,
    dopri5_rows,
    worst_part,
)
from odeclaims.claims.adjoint_gradients.replication import REPLICATION
from odeclaims.claims.adjoint_gradients.settings import EVERY
from odeclaims.kits.constants import GRADIENT_LIMIT, RECONSTRUCTION_LIMIT
from odeclaims.kits.rows import of
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, in_column, label_panels, leave_room, panels

LOOKS: dict[str, dict[str, Any]] = {
    "adjoint": {"color": COLOURS[0], "linestyle": "-", "marker": "o"},
    "adjoint_seminorm": {"color": COLOURS[2], "linestyle": "-.", "marker": "^"},
    "interpolated": {"color": COLOURS[4], "linestyle": "-", "marker": "v"},
    "backprop": {"color": COLOURS[1], "linestyle": "--", "marker": "s"},
    "reversible": {"color": COLOURS[3], "linestyle": ":", "marker": "D"},
    "coupled": {"color": COLOURS[5], "linestyle": ":", "marker": "P"},
}
NAMES = {
    "adjoint": "adjoint",
    "adjoint_seminorm": "adjoint, seminorm",
    "interpolated": "adjoint, interpolated",
    "backprop": "backprop",
    "checkpointed": "checkpointed",
    "symplectic": "symplectic",
    "reversible": "reversible Heun",
    "coupled": "coupled dopri5",
}
# Marker, colour and label.
GROUP_LOOKS = {
    "benign": ("o", COLOURS[0], "reversible"),
    "decaying": ("s", COLOURS[3], "decaying"),
    "forgetting": ("D", COLOURS[4], "forgetting"),
    "kinked": ("^", COLOURS[2], "ReLU"),
}
# Errors of e^{40} and more would leave no room for the others.
FARTHEST = 1e4


def figure(df: pd.DataFrame) -> Figure:
    """Error over tolerance on three kinds of flow, and over the reconstruction error."""
    rows = dopri5_rows(df)
    fig, axes = panels(2, 2, height=2.75)
    draw = (_draw_benign, _draw_decaying, _draw_kinked, _draw_check)
    for ax, panel in zip(axes.flat, draw, strict=True):
        ax.set(xscale="log", yscale="log", ylabel="relative gradient error")
        panel(ax, rows)
    for ax in axes.flat[:3]:
        ax.set_xlabel("tolerance (rtol = atol)")
        ax.invert_xaxis()
        ax.xaxis.set_minor_locator(NullLocator())
    label_panels(axes.flat)
    return fig


def _legend_look() -> dict[str, Any]:
    """In a column a legend is wide and low, as the panels are."""
    return {"ncols": 2, "fontsize": 6, "columnspacing": 1.0} if in_column() else {}


def _draw_benign(ax: Axes, df: pd.DataFrame) -> None:
    ax.set_title("Reversible flows")
    for arm, look in LOOKS.items():
        rows = arm_rows(df, arm, group="benign")
        by_tol = worst_part(rows).groupby(rows["tol"])
        middle = by_tol.median()
        ax.plot(middle.index, middle, label=NAMES[arm], zorder=3, **look)
        if arm == "adjoint":
            low, high, label = by_tol.min(), by_tol.max(), "adjoint, every problem"
            ax.fill_between(
                middle.index, low, high, color=look["color"], alpha=0.15, linewidth=0, label=label
            )
    float32 = arm_rows(df, "adjoint", dtype="float32", group="benign")
    middle = worst_part(float32).groupby(float32["tol"]).median()
    look = {**LOOKS["adjoint"], "linestyle": ":", "markerfacecolor": "white"}
    ax.plot(middle.index, middle, label="adjoint, float32", zorder=4, **look)
    ax.plot(TIGHT, TIGHT_BOUND, "_", color="black", markersize=12, markeredgewidth=1.5)
    place = {"textcoords": "offset points", "ha": "center", "size": 7}
    ax.annotate("bound", (TIGHT, TIGHT_BOUND), (0, 4), **place)
    leave_room(ax, 0.35, below=True)
    ax.legend(loc="lower left", ncols=2, fontsize=6, columnspacing=1.0)


def _draw_decaying(ax: Axes, df: pd.DataFrame) -> None:
    ax.set_title("Decaying flows, adjoint")
    names = df.loc[df["group"] == "decaying", "name"].unique()
    shades = sns.color_palette("crest", len(names))
    markers = dict(zip(names, MARKERS, strict=False))
    for name, shade in zip(names, shades, strict=True):
        rows = arm_rows(df, "adjoint", name=name).sort_values("tol")
        rows = rows.assign(drawn=rows["gradient_error"].clip(upper=FARTHEST))
        line, near = rows[rows["tol"].isin(EVERY)], rows[~rows["tol"].isin(EVERY)]
        look = {"color": shade, "marker": markers[name]}
        ax.plot(line["tol"], line["drawn"], "-", label=_decay_label(name), **look)
        ax.plot(near["tol"], near["drawn"], ".", color=shade, markersize=2.5)
    for arm in ("backprop", "interpolated"):
        rows = arm_rows(df, arm, group="decaying", tol=list(EVERY))
        worst = rows.groupby("tol")["gradient_error"].max()
        ax.plot(worst.index, worst, label=f"{NAMES[arm]}, worst", **LOOKS[arm])
    ax.axhline(1, color="0.4", linewidth=0.8, linestyle=":")
    ax.text(0.98, 0.03, _edge(), transform=ax.transAxes, ha="right", size=7)
    # Room for the legend above the edge, where no error is drawn.
    leave_room(ax, 0.45 if in_column() else 0.38)
    ax.set_yticks([tick for tick in ax.get_yticks() if tick <= FARTHEST])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.legend(loc="upper center", ncols=2, fontsize=6 if in_column() else 7)


def _edge() -> str:
    return rf"beyond $10^{{{math.log10(FARTHEST):.0f}}}$: at the edge"


def _decay_label(name: str) -> str:
    problem, _, rate = name.partition(" ")
    return rf"$|\lambda| T$ = {rate}" + (", ReLU" if problem == "relu" else "")


def _draw_kinked(ax: Axes, df: pd.DataFrame) -> None:
    ax.set_title("ReLU against tanh units")
    for problem, fill in (("mlp", "white"), ("mlp_relu", None)):
        for arm in ("adjoint", "backprop"):
            rows = arm_rows(df, arm, problem=problem)
            middle = rows.groupby("tol")["gradient_error"].median()
            look = {**LOOKS[arm], "markerfacecolor": fill or LOOKS[arm]["color"]}
            units = "ReLU" if problem == "mlp_relu" else "tanh"
            ax.plot(middle.index, middle, label=f"{NAMES[arm]}, {units} MLP", **look)
    rows = arm_rows(df, "adjoint", dtype="float32", problem="conv")
    middle = rows.groupby("tol")["difference_to_backprop"].median()
    ax.plot(middle.index, middle, "X", color="black", label="difference, conv field, float32")
    ax.plot(
        *zip(*REPLICATION.items(), strict=True),
        "P:",
        color="0.5",
        label="the same in the replication",
    )
    if in_column():
        leave_room(ax, 0.4, below=True)
    ax.legend(loc="lower left", **_legend_look())


def _draw_check(ax: Axes, df: pd.DataFrame) -> None:
    ax.set_title("What the reconstruction check says")
    for group, (marker, colour, label) in GROUP_LOOKS.items():
        rows = arm_rows(df, "adjoint", group=group)
        x, y = (
            rows[column].clip(upper=FARTHEST)
            for column in ("reconstruction_error", "gradient_error")
        )
        ax.plot(x, y, marker, color=colour, label=label, alpha=0.8, markeredgewidth=0, zorder=3)
    ax.axvline(RECONSTRUCTION_LIMIT, color="0.4", linewidth=0.8, linestyle=":")
    ax.axhline(GRADIENT_LIMIT, color="0.4", linewidth=0.8, linestyle=":")
    ax.set_xlabel("reconstruction error (0 to T and back)")
    ax.text(0.98, 0.03, _edge(), transform=ax.transAxes, ha="right", size=7)
    ax.legend(loc="upper left")


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Median gradient error over seeds for each problem and arm, a column for each tolerance.

    The tolerances about 1e-3 would be fourteen columns; a caveat has their medians.
    """
    rows = of(dopri5_rows(df), tol=list(EVERY))
    tolerances = sorted(rows["tol"].unique(), reverse=True)
    lines = []
    for _, group in rows.groupby(["group", "name", "dtype", "gradient"], sort=False):
        medians = group.groupby("tol")["gradient_error"].median()
        first = group.iloc[0]
        lines.append(
            {
                "flow": first["group"],
                "problem": first["name"],
                "dtype": first["dtype"],
                "gradient": NAMES[str(first["gradient"])],
                **{f"{tol:g}": number(medians.get(tol), 2) for tol in tolerances},
            }
        )
    return pd.DataFrame(lines)
