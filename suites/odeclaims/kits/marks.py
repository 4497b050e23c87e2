"""What several figures draw alike: legends, one mark or line a seed, medians, losses, limits."""

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


def thin(label: str = "one seed", color: str = NEUTRAL) -> Line2D:
    """The entry for the thin lines of ``seed_lines``."""
    return handle(label, color=color, linewidth=0.6)


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
        fill = "white" if empty else colour
        at = abreast(x, j, len(values), width)
        ax.plot(at, value, marker, color=colour, mfc=fill, markersize=size)


def abreast(x: float, k: int, count: int, width: float) -> float:
    """Where the ``k``-th of ``count`` things stands that share a ``width`` around ``x``."""
    return x + width * ((k + 0.5) / count - 0.5)


def limit(ax: Axes, value: float) -> None:
    """A dotted horizontal line at a limit; ``dotted`` is its entry in the legend."""
    ax.axhline(value, color=NEUTRAL, linestyle=":", linewidth=1)


def seed_lines(ax: Axes, rows: pd.DataFrame, x: str, y: str, dash: str = "-", **look: Any) -> None:
    """A thin line for each seed, from its values in the columns ``x`` and ``y``."""
    for _, seed in rows.groupby("repetition"):
        ax.plot(seed[x], seed[y], dash, **{"linewidth": 0.6, "alpha": 0.5, **look})


def median_line(ax: Axes, rows: pd.DataFrame, x: str, y: str, dash: str = "-", **look: Any) -> None:
    """A line through the seeds' median of the column ``y`` at each value of the column ``x``."""
    middle = rows.groupby(x)[y].median()
    ax.plot(middle.index, middle, dash, **look)


def losses(ax: Axes, epochs: pd.DataFrame, looks: Looks, **look: Any) -> None:
    """The median loss of each arm over its training, dashed where that was at a loose tolerance.

    Args:
        ax: where.
        epochs: a row for each epoch, with the columns ``arm``, ``training``, ``epoch`` and
            ``loss``; ``training`` is "loose", another role, or blank for an arm without a solver.
        looks: the colours of the arms.
        look: more about the lines, such as ``linewidth``.
    """
    for (arm, training), rows in epochs.groupby(["arm", epochs["training"].fillna("")]):
        dash = "--" if training == "loose" else "-"
        median_line(ax, rows, "epoch", "loss", dash, color=looks[str(arm)][0], **look)
    ax.set(xlabel="epoch", ylabel="smooth L1 loss")


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
