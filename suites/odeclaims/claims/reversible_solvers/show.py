"""The figure and the table, from the rows alone."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from odeclaims.claims.reversible_solvers.judge import (
    EXACT,
    STABLE,
    STAYS,
    extra_orders,
    net_ratios,
)
from odeclaims.claims.reversible_solvers.settings import (
    BASES,
    COUPLINGS,
    DEFAULT,
    HEUN,
    LAST,
)
from odeclaims.claims.reversible_solvers.stability import simple_edge
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels, plain_numbers

LOOKS = {base: (COLOURS[i], MARKERS[i]) for i, base in enumerate(BASES)}
NAMES = {"euler": "Euler", "midpoint": "midpoint", "rk4": "rk4", "dopri5": "dopri5"}
HEUN_LOOK = {"color": "0.55", "linestyle": "-.", "linewidth": 1}
# The base whose couplings are drawn beside each other.
DRAWN = "midpoint"
# Steps in the table.
TABLED = 1000


def _shades() -> dict[float, str]:
    """A colour for each coupling, from light (small) to dark."""
    from matplotlib import colormaps

    places = np.linspace(0.88, 0.0, len(COUPLINGS))
    return {c: to_hex(colormaps["viridis"](p)) for c, p in zip(COUPLINGS, places, strict=True)}


SHADES = _shades()


def figure(df: pd.DataFrame) -> Figure:
    """Order, gradients, held bytes, edge of stability, a decay, and trained contracting nets.

    (a) Errors at the default coupling of 0.999, with its orders; dashed those of the plain base.
    (b) Relative errors of the gradient against backpropagation through the same steps, of the
    midpoint method for each coupling, and of the other bases at the default (thin). (c) Bytes
    between both passes; dashed by backpropagation. (d) Steps, times the rate, up to which a decay
    is stable. The line is ln(1 / coupling), and the dashes at the right are the plain bases.
    (e) y' = -y from 1 in steps of 0.1 by the midpoint method for each coupling. (f) Errors of
    trained nets over those of the base at 0.999; dashed at 0.8.
    """
    fig, axes = panels(2, 3, height=2.35)
    order, gradient, held, edge, decay, net = axes.flat
    _draw_order(order, df)
    _draw_gradient(gradient, df)
    _draw_held(held, df)
    _draw_edge(edge, df)
    _draw_decay(decay, df)
    _draw_net(net, df)
    label_panels(axes.flat)
    shades = [marks.handle(f"coupling {c:g}", color=shade) for c, shade in SHADES.items()]
    handles = [
        *marks.arms(LOOKS, NAMES),
        marks.handle("reversible Heun", **HEUN_LOOK),
        *shades,
        marks.dashed("control (caption)"),
        marks.dotted("limit, exact decay"),
    ]
    add_legend(fig, handles, ncols=5)
    return fig


def _draw_order(ax: Axes, df: pd.DataFrame) -> None:
    rows = ok(df, part="order")
    found = of(extra_orders(df), coupling=DEFAULT)
    for base, (colour, marker) in LOOKS.items():
        pair = of(rows, arm="coupled", method=base, coupling=DEFAULT)
        marks.median_line(ax, pair, "step", "error", marker, color=colour)
        plain = of(rows, arm="plain", method=base)
        marks.median_line(ax, plain, "step", "error", "--", color=colour)
        order = of(found, method=base)["order"].median()
        if len(pair) and not math.isnan(order):
            _name_order(ax, pair, colour, order)
    ax.set(title="Order", xlabel="step (time)", ylabel="error", xscale="log", yscale="log")
    ax.set_xlim(right=0.36)
    plain_numbers(ax.xaxis)


def _name_order(ax: Axes, rows: pd.DataFrame, colour: str, order: float) -> None:
    """The order, at the right end of the line."""
    middle = rows.groupby("step")["error"].median()
    look = {"color": colour, "fontsize": 7, "ha": "left", "va": "center"}
    place = (float(middle.index[-1]), middle.iloc[-1])
    ax.annotate(f"{order:.2f}", place, xytext=(4, 0), textcoords="offset points", **look)


def _draw_gradient(ax: Axes, df: pd.DataFrame) -> None:
    rows = ok(df, part="gradient", dtype="float64")
    for base in BASES:
        if base != DRAWN:
            _line(ax, of(rows, method=base, coupling=DEFAULT), color=SHADES[DEFAULT], linewidth=0.7)
    for coupling, shade in SHADES.items():
        look = {"color": shade, "marker": LOOKS[DRAWN][1], "ms": 3}
        _line(ax, of(rows, method=DRAWN, coupling=coupling), **look)
    heun = of(rows, method=HEUN).groupby("steps")["gradient_error"].median()
    ax.plot(heun.index, heun, **HEUN_LOOK)
    marks.limit(ax, EXACT)
    ax.set(title="Gradient", xlabel="steps", ylabel="relative error, float64")
    ax.set(xscale="log", yscale="log", ylim=(1e-17, 1e2))


def _line(ax: Axes, rows: pd.DataFrame, **look: Any) -> None:
    """The median error of a gradient over the number of steps."""
    marks.median_line(ax, rows, "steps", "gradient_error", **look)


def _draw_held(ax: Axes, df: pd.DataFrame) -> None:
    rows = of(df, part="gradient", arm="coupled", dtype="float64", coupling=DEFAULT)
    for base, (colour, marker) in LOOKS.items():
        each = of(rows, method=base).assign(
            kb=lambda r: r["held_bytes"] / 1e3, kb_backprop=lambda r: r["held_bytes_backprop"] / 1e3
        )
        # The bases hold the same, so that the marks of one would hide the others'.
        size = 7 - 1.5 * BASES.index(base)
        marks.median_line(ax, each, "steps", "kb", color=colour, marker=marker, ms=size)
        marks.median_line(ax, each, "steps", "kb_backprop", "--", color=colour)
    ax.set(title="Held memory", xlabel="steps", ylabel="kB held")
    ax.set(xscale="log", yscale="log")


def _draw_edge(ax: Axes, df: pd.DataFrame) -> None:
    rows = ok(df, part="edge")
    gaps = np.geomspace(5e-4, 0.5, 100)
    simple = [simple_edge("rk4", 1 - gap) for gap in gaps]
    ax.plot(gaps, simple, color=marks.NEUTRAL, linewidth=0.9)
    for i, (base, (colour, marker)) in enumerate(LOOKS.items()):
        found = of(rows, arm="coupled", method=base)
        found = found[(found["coupling"] < 1) & (found["edge"] > 0)]
        look = {"color": colour, "mfc": "none", "linestyle": "", "ms": 3 + 1.5 * i}
        ax.plot(1 - found["coupling"], found["edge"], marker=marker, **look)
        for edge in of(rows, arm="plain", method=base)["edge"]:
            ax.plot([0.75, 1.1], [edge, edge], color=colour, linewidth=1.6)
    ax.set(title="Edge of stability", xlabel="1 - coupling", ylabel="stable step × rate")
    ax.set(xscale="log", yscale="log")


def _draw_decay(ax: Axes, df: pd.DataFrame) -> None:
    rows = ok(df, part="decay")
    for coupling, shade in SHADES.items():
        each = of(rows, method=DRAWN, coupling=coupling)
        ax.plot(each["time"], each["size"], color=shade)
    heun = of(rows, arm=HEUN)
    ax.plot(heun["time"], heun["size"], **HEUN_LOOK)
    times = np.linspace(0, LAST, 50)
    ax.plot(times, np.exp(-times), color=marks.NEUTRAL, linestyle=":", linewidth=1)
    ax.set(title="Decay, midpoint", xlabel="time", ylabel="|y|", yscale="log")


def _draw_net(ax: Axes, df: pd.DataFrame) -> None:
    rows = net_ratios(df)
    for base, (colour, marker) in LOOKS.items():
        each = of(rows, method=base, coupling=DEFAULT)
        marks.seed_lines(ax, each, "time", "ratio", color=colour)
        marks.median_line(ax, each, "time", "ratio", color=colour, marker=marker, ms=3)
        stable = of(rows, method=base, coupling=STABLE)
        marks.median_line(ax, stable, "time", "ratio", "--", color=colour)
    marks.limit(ax, STAYS)
    ax.set(title="Trained nets", xlabel="time", ylabel="error / error of the base", yscale="log")


def table(df: pd.DataFrame) -> pd.DataFrame:
    """A line for each base and coupling, for each plain base, and for reversible Heun.

    Orders and errors of decays and nets; gradients and bytes at a thousand steps. What was not
    measured is blank.
    """
    arms = [("coupled", base, c) for base in BASES for c in COUPLINGS]
    arms += [*(("plain", base, math.nan) for base in BASES), (HEUN, HEUN, math.nan)]
    ratios, orders = net_ratios(df), extra_orders(df)
    lines = []
    for arm, method, coupling in arms:
        rows = of(df, arm=arm, method=method)
        rows = rows if math.isnan(coupling) else of(rows, coupling=coupling)
        if len(rows):
            named = {
                "method": NAMES.get(method, "reversible Heun"),
                "coupling": "" if math.isnan(coupling) else f"{coupling:g}",
            }
            pair = of(orders, method=method)
            column = "base" if arm == "plain" else "order"
            pair = pair if math.isnan(coupling) else of(pair, coupling=coupling)
            lines.append({**named, **_line_of(rows, pair[column].median(), ratios)})
    return pd.DataFrame(lines)


def _line_of(rows: pd.DataFrame, order: float, ratios: pd.DataFrame) -> dict[str, str]:
    net = ratios[ratios.index.isin(rows.index)]
    last = of(net, time=LAST)["ratio"]
    gradient = of(rows, part="gradient", steps=TABLED)
    double = of(gradient, dtype="float64")
    values = {
        "order": f"{order:.2f}",
        "gradient error, float64": number(double["gradient_error"].median(), 2),
        "float32": number(of(gradient, dtype="float32")["gradient_error"].median(), 2),
        "held (bytes)": number(double["held_bytes"].median()),
        "by backprop": number(double["held_bytes_backprop"].median()),
        "edge": number(ok(rows, part="edge")["edge"].median()),
        "largest decay": number(ok(rows, part="decay")["size"].max(), 2),
        "net error": number(of(ok(rows, part="net"), time=LAST)["error"].median(), 2),
        "over the base": number(last.median(), 2),
    }
    return {name: "" if value == "nan" else value for name, value in values.items()}
