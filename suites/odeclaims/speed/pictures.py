"""The speed suite's work-precision diagrams."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

from odeclaims.backends import GRADIENTS
from odeclaims.report.style import COLOURS, MARKERS, label_panels, panels
from odeclaims.speed.cases import NO_GRADIENT
from odeclaims.speed.ratios import summarise
from odeclaims.speed.rows import ARM, solver_rows

# Of the committed figures; so these keep the first colours, in this order.
_FIRST = ("diffrax", "ours", "ours_compiled", "torchdiffeq", "torchode")
# The least ratio of the ends of an axis.
LEAST_SPAN = 6
_DASHES: Sequence[Any] = ["-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))]


def work_precision(df: pd.DataFrame, *, differentiated: bool) -> Figure:
    """Time over error, one line a backend; the workload's own tolerance filled.

    The forward solves have one panel a workload. With a gradient there is a row of panels for each
    workload and a column for each way to the gradient, since all the lines in one panel could not
    be told apart; the panels of a row have the same axes.

    Args:
        df: the rows of a run.
        differentiated: whether to draw the workloads with a gradient, over the gradient's error;
            else the forward solves, over the error of the states.
    """
    table = solver_rows(summarise(df))
    # Of all rows, so that a backend looks the same in both figures.
    backends = order_backends(table["backend"])
    table = table[(table["gradient"] != NO_GRADIENT) == differentiated]
    figure = _draw_gradients(table, backends) if differentiated else _draw_solves(table, backends)
    used = [name for name in backends if name in set(table["backend"])]
    handles = [_handle(name, _look(backends, name)) for name in used]
    own: dict[str, Any] = {"color": "0.3", "marker": "o", "linestyle": "none"}
    handles.append(Line2D([], [], label="the workload's own tolerance", **own))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=3.5)
    return figure


def _draw_solves(table: pd.DataFrame, backends: Sequence[str]) -> Figure:
    workloads = list(table["workload"].unique())
    figure, axes = panels(math.ceil(len(workloads) / 2), 2)
    flat = list(axes.flat)
    for ax, workload in zip(flat, workloads, strict=False):
        _draw_panel(ax, table[table["workload"] == workload], "error", backends)
        ax.set(title=workload.replace("_", " "), ylabel="time (s)")
        ax.set_xlabel("relative L2 error of the states")
        ax.set(xlim=_widen(*ax.get_xlim()), ylim=_widen(*ax.get_ylim()))
        for axis in (ax.xaxis, ax.yaxis):
            _label_sparsely(axis)
    label_panels(flat[: len(workloads)])
    for ax in flat[len(workloads) :]:
        ax.set_axis_off()
    return figure


def _draw_gradients(table: pd.DataFrame, backends: Sequence[str]) -> Figure:
    workloads = list(table["workload"].unique())
    ways = [way for way in GRADIENTS if way in set(table["gradient"])]
    figure, axes = panels(len(workloads), len(ways), height=1.7)
    for row, workload in zip(axes, workloads, strict=True):
        of_workload = table[table["workload"] == workload]
        for ax, way in zip(row, ways, strict=True):
            _draw_panel(ax, of_workload[of_workload["gradient"] == way], "gradient_error", backends)
            ax.set(xlim=_around(of_workload["gradient_error"]), ylim=_around(of_workload["time_s"]))
            ax.xaxis.set_minor_formatter(NullFormatter())
            _label_sparsely(ax.yaxis)
            ax.yaxis.set_tick_params(which="both", labelleft=ax is row[0])
            if not ax.get_lines():
                ax.set_axis_off()
        row[0].set_ylabel(f"{workload.replace('_', ' ')}\ntime (s)")
    for ax, way in zip(axes[0], ways, strict=True):
        ax.set_title(way)
    for ax in axes[-1]:
        ax.set_xlabel("relative L2 error\nof the gradient")
    return figure


def _draw_panel(ax: Axes, table: pd.DataFrame, error: str, backends: Sequence[str]) -> None:
    """A line a backend."""
    ax.set(xscale="log", yscale="log")
    for (backend, _), rows in table.groupby(ARM, sort=False):
        _draw_arm(ax, rows, error, _look(backends, str(backend)))


def order_backends(names: Iterable[str]) -> list[str]:
    """The backends in the order in which they get colours: first those of the committed figures.

    These have their colours in every figure, whichever others stand there. Every other backend, of
    this package or another, takes the next free one, in the order of the names.
    """
    return [*_FIRST, *sorted(set(names) - set(_FIRST))]


def _around(values: pd.Series) -> tuple[float, float]:
    """Limits of a logarithmic axis with some room on both sides of the values."""
    low, high = float(values.min()), float(values.max())
    room = (high / low) ** 0.07
    return _widen(low / room, high * room)


def _widen(low: float, high: float) -> tuple[float, float]:
    """Limits far enough apart for a label between them."""
    if high / low >= LEAST_SPAN:
        return low, high
    middle, half = math.sqrt(low * high), math.sqrt(LEAST_SPAN)
    return middle / half, middle * half


def _label_sparsely(axis: Axis) -> None:
    """Label 2 and 5 between the powers of ten if an axis has at most two of those."""
    low, high = sorted(axis.get_view_interval())
    short = math.log10(high / low) < 2
    axis.set_minor_locator(LogLocator(subs=(2, 5) if short else range(2, 10)))
    every = LogFormatterSciNotation(minor_thresholds=(math.inf, math.inf))
    axis.set_minor_formatter(every if short else NullFormatter())


def _look(backends: Sequence[str], backend: str) -> dict[str, Any]:
    """A backend has its colour, its dash and its marker in every figure."""
    place = backends.index(backend)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": _DASHES[place % len(_DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def _draw_arm(ax: Axes, rows: pd.DataFrame, error: str, look: dict[str, Any]) -> None:
    """A line through all tolerances, the workload's own filled."""
    ax.plot(rows[error], rows["time_s"], markerfacecolor="white", **look)
    at_own = rows[rows["own"]]
    ax.plot(at_own[error], at_own["time_s"], **{**look, "linestyle": "none"})


def _handle(name: str, look: dict[str, Any]) -> Line2D:
    """The entry of a backend in the legend."""
    return Line2D([], [], label=name, markerfacecolor="white", **look)
