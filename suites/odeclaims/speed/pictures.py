"""The speed suite's work-precision diagrams."""

import math
import pkgutil
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

import odeclaims.backends
from odeclaims.backends import GRADIENTS
from odeclaims.report.style import COLOURS, MARKERS, label_panels, panels
from odeclaims.speed.cases import NO_GRADIENT
from odeclaims.speed.ratios import summarise
from odeclaims.speed.rows import ARM, solver_rows

# The least ratio of the ends of an axis.
LEAST_SPAN = 6
_DASHES: Sequence[Any] = ["-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))]


def work_precision(df: pd.DataFrame, *, differentiated: bool) -> Figure:
    """Time over error, one panel a workload, one line an arm; the workload's own tolerance filled.

    Args:
        df: the rows of a run.
        differentiated: whether to draw the workloads with a gradient, over the gradient's error;
            else the forward solves, over the error of the states.
    """
    table = solver_rows(summarise(df))
    table = table[(table["gradient"] != NO_GRADIENT) == differentiated]
    workloads = list(table["workload"].unique())
    figure, axes = panels(math.ceil(len(workloads) / 2), 2)
    flat = list(axes.flat)
    backends = order_backends(table["backend"])
    error = "gradient_error" if differentiated else "error"
    for ax, workload in zip(flat, workloads, strict=False):
        for arm, rows in table[table["workload"] == workload].groupby(ARM, sort=False):
            _draw_arm(ax, rows, error, _look(backends, *arm))
        ax.set(xscale="log", yscale="log", title=workload.replace("_", " "), ylabel="time (s)")
        ax.set_xlabel(f"relative L2 error of the {'gradient' if differentiated else 'states'}")
        ax.set(xlim=_widen(*ax.get_xlim()), ylim=_widen(*ax.get_ylim()))
        for axis in (ax.xaxis, ax.yaxis):
            _label_sparsely(axis)
    label_panels(flat[: len(workloads)])
    for ax in flat[len(workloads) :]:
        ax.set_axis_off()
    gradients = [g for g in GRADIENTS if g in set(table["gradient"])]
    handles = _handles(backends, gradients)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handlelength=3.5)
    return figure


def order_backends(names: Iterable[str]) -> list[str]:
    """The backends in the order in which they get colours: by name, those of this package first.

    So a backend of another package takes the next free colour and moves nobody else's.
    """
    shipped = {module.name for module in pkgutil.iter_modules(odeclaims.backends.__path__)}
    return sorted(set(names), key=lambda name: (name not in shipped, name))


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


def _look(backends: Sequence[str], backend: str, gradient: str) -> dict[str, Any]:
    """A backend has its colour and dash, a way to the gradient its marker.

    Without a gradient the marker is the backend's too, so that colour is never the only difference.
    """
    place = backends.index(backend)
    marker_place = GRADIENTS.index(gradient) if gradient in GRADIENTS else place
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": _DASHES[place % len(_DASHES)],
        "marker": MARKERS[marker_place % len(MARKERS)],
    }


def _draw_arm(ax: Axes, rows: pd.DataFrame, error: str, look: dict[str, Any]) -> None:
    """A line through all tolerances, the workload's own filled."""
    ax.plot(rows[error], rows["time_s"], markerfacecolor="white", **look)
    at_own = rows[rows["own"]]
    ax.plot(at_own[error], at_own["time_s"], **{**look, "linestyle": "none"})


def _handles(backends: Sequence[str], gradients: Sequence[str]) -> list[Line2D]:
    """The legend: a line a backend, a marker a way to the gradient."""
    plain: dict[str, Any] = {"color": "0.3", "linestyle": "none"}
    handles = []
    for backend in backends:
        look = _look(backends, backend, NO_GRADIENT)
        if gradients:
            look["marker"] = ""
        handles.append(Line2D([], [], label=backend, markerfacecolor="white", **look))
    for gradient in gradients:
        marker = _look(backends, backends[0], gradient)["marker"]
        handles.append(
            Line2D([], [], label=gradient, marker=marker, markerfacecolor="white", **plain)
        )
    handles.append(Line2D([], [], label="the workload's own tolerance", marker="o", **plain))
    return handles
