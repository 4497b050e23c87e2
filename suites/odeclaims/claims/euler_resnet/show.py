"""The figure and the table, from the rows alone."""

import math
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from odeclaims.claims.euler_resnet.judge import (
    ROUNDING,
    exponents,
    floats,
    gradient_slopes,
    order_of,
)
from odeclaims.claims.euler_resnet.settings import (
    ORDERS,
    PORTRAIT_DEPTH,
    PROBLEMS,
    SCALES,
    example_solution,
)
from odeclaims.kits.rows import ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, in_column, label_panels, leave_room, panels

ORDER_CURVES = ("euler", "midpoint", "bosh3", "rk4", "dopri5", "dopri8")


def figure(df: pd.DataFrame) -> Figure:
    """Six panels: gradients, Euler's steps, orders, depth to infinity, and the paper's Fig. 1."""
    fig, axes = panels(3, 2, height=2.4, narrow="a;b;c;d;ef")
    _draw_gradients(axes[0, 0], df)
    _draw_paths(axes[0, 1], df)
    _draw_orders(axes[1, 0], df)
    _draw_limits(axes[1, 1], df)
    _draw_network(axes[2, 0], df)
    _draw_ode(axes[2, 1], df)
    label_panels(axes.flat)
    return fig


def _draw_gradients(ax: Axes, df: pd.DataFrame) -> None:
    """Medians over the repetitions."""
    for arm, dash, mark in (("residual", "-", "o"), ("plain", ":", "s")):
        for i, scale in enumerate(SCALES):
            rows = ok(df, part="gradient", arm=arm, scale=scale)
            median = _medians(rows, "log_gradient") / math.log(10)
            ax.plot(_values(rows, "depth"), median, dash, marker=mark, color=COLOURS[i], ms=3)
    for i, scale in enumerate(SCALES):
        ax.plot([], [], color=COLOURS[i], label=f"s = {scale:g}")
    ax.plot([], [], "-", marker="o", color="0.3", ms=3, label="residual")
    ax.plot([], [], ":", marker="s", color="0.3", ms=3, label="plain")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_yticks([-100, -10, -1, 0, 1, 10], ["-100", "-10", "-1", "0", "1", "10"])
    ax.set(xlabel="Depth (layers)", ylabel=r"Mean $\log_{10}|\mathrm{d}y/\mathrm{d}w_1|$")
    ax.set_ylim(-300, 2000)
    ax.set_title("Gradient of a chain, $w \\sim N(0, s^2)$")
    if in_column():
        leave_room(ax, 0.15)
    ax.legend(ncols=3, loc="upper center")


def _values(rows: pd.DataFrame, column: str) -> np.ndarray:
    return np.unique(floats(rows, column))


def _medians(rows: pd.DataFrame, column: str, by: str = "depth") -> np.ndarray:
    """The median over the repetitions at each value of another column."""
    where, values = floats(rows, by), floats(rows, column)
    return np.array([np.median(values[where == v]) for v in np.unique(where)])


def _draw_paths(ax: Axes, df: pd.DataFrame) -> None:
    t = np.linspace(0, 2, 101)
    ax.plot(t, [example_solution(x) for x in t], color="0.2", label="exact")
    for i, step in enumerate((0.01, 0.1, 0.5, 1.0)):
        path = ok(df, part="path", step=step)
        label = rf"Euler, $\alpha$ = {step:g}"
        x, y = floats(path, "t"), floats(path, "value")
        ax.plot(x, y, "--", marker=MARKERS[i], color=COLOURS[i], ms=3, label=label)
    rows = ok(df, part="table")
    for t_n, h, exact in zip(*(floats(rows, c) for c in ("t", "value", "exact")), strict=True):
        if t_n == 0:
            continue
        for y, text, side in ((h, f"{h:g}", "top"), (exact, f"{exact:.2f}", "bottom")):
            shift = (-2, -3 if side == "top" else 3)
            ax.annotate(
                text, (t_n, y), shift, textcoords="offset points", fontsize=7, ha="right", va=side
            )
    ax.set_yscale("log")
    ax.set(xlabel="t", ylabel="h(t)", ylim=(0.4, 4e4))
    ax.set_title("The tutorial's table, $h' = 5h - 3$")
    if in_column():
        leave_room(ax, 0.25)
    ax.legend(loc="upper left", ncols=2 if in_column() else 1)


def _draw_orders(ax: Axes, df: pd.DataFrame) -> None:
    """Errors and, at the left end of each curve, the fitted order."""
    for i, method in enumerate(ORDER_CURVES):
        rows = ok(df, part="order", arm=method, problem="tutorial")
        step, error = floats(rows, "step"), floats(rows, "error")
        step, error = step[error > ROUNDING], error[error > ROUNDING]
        if not len(step):
            continue
        ax.plot(step, error, marker=MARKERS[i % len(MARKERS)], color=COLOURS[i])
        ax.annotate(
            f"{method}: {order_of(df, method, 'tutorial'):.2f}",
            (step[-1], error[-1]),
            xytext=(-5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=7,
            color=COLOURS[i],
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(3e-5, 0.4)
    ax.set(xlabel=r"Step $\alpha$", ylabel="Relative error at t = 1")
    ax.set_title("Fitted order of convergence")


def _draw_limits(ax: Axes, df: pd.DataFrame) -> None:
    """Medians and ranges over the repetitions."""
    names = {
        "independent, 1/sqrt(N)": r"independent, $1/\sqrt{N}$",
        "independent, 1/N": "independent, $1/N$",
        "smooth": "smooth, $1/N$",
        "tied": "tied, $1/N$",
    }
    for i, (arm, name) in enumerate(names.items()):
        rows = ok(df, part="limit", arm=arm)
        depth, distance = floats(rows, "depth"), floats(rows, "difference")
        n = np.unique(depth)
        low, high = (np.array([f(distance[depth == d]) for d in n]) for f in (np.min, np.max))
        ax.fill_between(n, low, high, color=COLOURS[i], alpha=0.2, linewidth=0)
        ax.plot(n, _medians(rows, "difference"), marker=MARKERS[i], color=COLOURS[i], label=name)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_ylim(top=1e3)
    ax.set(xlabel="Depth N (layers)", ylabel="Relative distance, N to 2N")
    ax.set_title("Depth to infinity")
    if in_column():
        leave_room(ax, 0.2)
    ax.legend(loc="upper left", ncols=2, title="weights, step", alignment="left")


def _draw_network(ax: Axes, df: pd.DataFrame) -> None:
    """Finite moves at whole depths, as in the left half of Fig. 1 of Chen et al."""
    field, moves = ok(df, part="field"), ok(df, part="trajectory", arm="residual network")
    whole = field.loc[np.isin(field["t"], np.arange(PORTRAIT_DEPTH))]
    _arrows(ax, whole)
    for _, path in moves.groupby("chain"):
        ax.plot(path["value"], path["t"], "-", marker="o", color="0.1", linewidth=0.9, ms=3.5)
    _style(ax, "Residual network")


def _draw_ode(ax: Axes, df: pd.DataFrame) -> None:
    """A vector field and its trajectories, as in the right half of that figure."""
    _arrows(ax, ok(df, part="field"))
    for evaluated, line in ((False, "-"), (True, "o")):
        rows = ok(df, part="trajectory", arm="ODE network", evaluated=evaluated)
        for _, path in rows.groupby("chain"):
            ax.plot(path["value"], path["t"], line, color="0.1", linewidth=0.9, ms=2.2)
    _style(ax, "ODE network")


def _arrows(ax: Axes, rows: pd.DataFrame) -> None:
    ax.quiver(
        rows["value"],
        rows["t"],
        rows["slope"],
        np.ones(len(rows)),
        angles="xy",
        color=COLOURS[9],
        width=0.0035,
        scale=30,
    )


def _style(ax: Axes, title: str) -> None:
    ax.set(xlabel="State x", ylabel="Depth t", xlim=(-5.4, 5.4), ylim=(-0.15, 5.45))
    ax.set_title(title)
    ax.grid(visible=False)


def table(df: pd.DataFrame) -> pd.DataFrame:
    """The numbers behind the panels: slopes, the Euler table, orders, exponents."""
    rows = []
    for arm, scale in product(("plain", "residual"), SCALES):
        expected = floats(ok(df, part="gradient", arm=arm, scale=scale), "expected_slope")
        measured = gradient_slopes(df, arm, scale)
        rows.append(_entry(f"ln|gradient| per layer, {arm}, s = {scale:g}", measured, expected[:1]))
    for _, row in ok(df, part="table").iterrows():
        rows.append(_entry(f"h({row['t']:g}) by Euler, step 1", [row["value"]], [row["printed"]]))
        rows.append(_entry(f"h({row['t']:g}) exact", [row["exact"]], []))
    for method, problem in product(ORDERS, PROBLEMS):
        order = order_of(df, method, problem)
        rows.append(_entry(f"order of {method}, {problem}", [order], [ORDERS[method]]))
    for arm, column, theory in (
        ("tied", "error", [-1]),
        ("smooth", "error", [-1]),
        ("independent, 1/N", "difference", [-0.5]),
        ("independent, 1/sqrt(N)", "difference", [0]),
    ):
        rows.append(_entry(f"exponent of {column} in N, {arm}", exponents(arm, column)(df), theory))
    return pd.DataFrame(rows)


def _entry(
    quantity: str, values: Iterable[float], expected: Sequence[float] | np.ndarray
) -> dict[str, str]:
    finite = [v for v in values if math.isfinite(v)]
    return {
        "quantity": quantity,
        "measured": number(float(np.median(finite)), 4) if finite else "",
        "expected": number(float(expected[0]), 4) if len(expected) else "",
    }
