"""Marks that several figures share: legends, hollow marks, one mark a seed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from odeclaims.kits.constants import RECONSTRUCTION_LIMIT

# A colour and a marker for each arm of a comparison.
Looks = Mapping[str, tuple[str, str]]

FAILS_RECONSTRUCTION = "fails the reconstruction check"
NEUTRAL = "0.4"


def handle(label: str, **look: Any) -> Line2D:
    """An entry of a legend that looks as this line would."""
    return Line2D([], [], label=label, **look)


def arms(looks: Looks, names: Mapping[str, str], **more: Any) -> list[Line2D]:
    """A legend's entries for the arms that have a name, in the order of the names."""
    return [
        handle(name, color=looks[arm][0], marker=looks[arm][1], **more)
        for arm, name in names.items()
    ]


def hollow(label: str = FAILS_RECONSTRUCTION, color: str = NEUTRAL) -> Line2D:
    """The entry for marks that are not filled."""
    return handle(label, color=color, marker="o", mfc="white", linestyle="")


def dashed(label: str, color: str = NEUTRAL) -> Line2D:
    """The entry for dashed lines."""
    return handle(label, color=color, linestyle="--")


def dotted(label: str, color: str = NEUTRAL) -> Line2D:
    """The entry for a dotted line at a limit."""
    return handle(label, color=color, linestyle=":", linewidth=1)


def irreversible(rows: pd.DataFrame) -> pd.Series:
    """Which rows fail the reconstruction check, and so are drawn hollow."""
    return rows["reconstruction_error"] >= RECONSTRUCTION_LIMIT


def per_seed(
    ax: Axes,
    x: float,
    values: Sequence[float] | pd.Series,
    look: tuple[str, str],
    *,
    hollow: Iterable[bool] = (),
    width: float = 0.16,
    size: float = 2.5,
) -> None:
    """A mark for each seed, side by side around ``x``.

    Args:
        ax: where.
        x: the middle of the marks.
        values: one value a seed.
        look: colour and marker.
        hollow: for each seed, whether its mark is left empty; by default all are filled.
        width: what the marks take of the axis.
        size: of a mark, in points.
    """
    colour, marker = look
    marked = list(hollow) or [False] * len(values)
    for j, (value, empty) in enumerate(zip(values, marked, strict=True)):
        place = x + width * ((j + 0.5) / len(values) - 0.5)
        fill = "white" if empty else colour
        ax.plot(place, value, marker, color=colour, mfc=fill, markersize=size)


def path(
    ax: Axes, x: pd.Series, y: pd.Series, look: Mapping[str, Any], failing: pd.Series, **line: Any
) -> None:
    """Marks that a line joins, hollow where a check fails.

    Args:
        ax: where.
        x, y: the marks, with one index.
        look: colour and marker.
        failing: for each mark, whether it is hollow.
        line: further properties of the line.
    """
    ax.plot(x, y, **line, **look)
    ax.plot(x[failing], y[failing], linestyle="", mfc="white", **look)
