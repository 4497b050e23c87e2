"""A flip map: over which settings the verdict changes, as a grid of judged numbers."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from odeclaims.claim import FlipMap
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, add_legend, drawing_width, in_column, wrap

# Colour-blind safe, and each outcome has a mark beside its number, so that print in grey will do.
LOOKS = {
    "reproduced": (COLOURS[0], "✓"),
    "not reproduced": (COLOURS[3], "×"),
}
# The colours are mixed with white, so that black text stands on all of them.
_STRENGTH = 0.55
_NOTHING = "0.93"
_PANELS_ABREAST = 3
# Three panels of more columns would have no room for their numbers.
_COLUMNS_ABREAST = 6
# Inches: a line of a panel, what its title and its axis take besides, the axis alone, the legend.
_LINE, _AROUND, _AXIS, _LEGEND = 0.21, 0.75, 0.45, 0.3


def flip_caption(flips: FlipMap) -> str:
    """What the flip map shows, in a sentence."""
    return (
        f"Over which settings the verdict changes: {flips.quantity}, reproduced for"
        f" {flips.reproduced}; empty where nothing was measured."
    )


def flip_figure(flips: FlipMap) -> Figure:
    """Every panel of the map as a grid of numbers, each coloured and marked by its outcome."""
    panels = _in_order(flips.values["panel"])
    wide = len(_in_order(flips.values["column"])) > _COLUMNS_ABREAST
    abreast = 1 if in_column() else min(2 if wide else _PANELS_ABREAST, len(panels))
    lines = math.ceil(len(panels) / abreast)
    rows = len(_in_order(flips.values["row"]))
    titles = max(panel.count("\n") + 1 for panel in panels)
    height = lines * (_LINE * rows + _AROUND + _LINE * (titles - 1)) + _LEGEND
    if abreast == 1:
        # One above the other they have the axis of the last one only.
        height -= (lines - 1) * _AXIS
    figure = Figure(figsize=(drawing_width(), height))
    axes = figure.subplots(lines, abreast, squeeze=False, sharex=True, sharey=True)
    for place, ax in enumerate(axes.flat):
        if place < len(panels):
            _draw_panel(ax, flips, panels[place])
        else:
            ax.set_axis_off()
    for column in range(abreast):
        last = [
            ax for line, ax in enumerate(axes[:, column]) if line * abreast + column < len(panels)
        ]
        last[-1].set_xlabel(flips.column)
        last[-1].tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        label = ax.set_ylabel(flips.row)
        if abreast == 1:
            wrap(label, (_LINE * rows + _AROUND - _AXIS) * figure.dpi)
    wrap(figure.suptitle(flips.quantity, fontsize="medium"), figure.bbox.width)
    add_legend(figure, _legend(flips), ncols=len(LOOKS) + 1)
    return figure


def _in_order(column: pd.Series) -> list:
    return list(dict.fromkeys(column))


def _draw_panel(ax: Axes, flips: FlipMap, panel: str) -> None:
    rows, columns = (_in_order(flips.values[name]) for name in ("row", "column"))
    rows_of_panel = flips.values[flips.values["panel"] == panel]
    grid = rows_of_panel.set_index(["row", "column"])["value"].unstack()
    values = grid.reindex(index=rows, columns=columns).to_numpy(dtype=float)
    outcomes = list(LOOKS)
    ranks = np.full(values.shape, np.nan)
    for place, value in np.ndenumerate(values):
        if math.isfinite(value):
            outcome = "reproduced" if flips.reproduced.hold(float(value)) else "not reproduced"
            ranks[place] = outcomes.index(outcome)
            text = f"{number(value, 2)} {LOOKS[outcome][1]}"
            ax.text(place[1], place[0], text, ha="center", va="center", fontsize=6)
    colours = ListedColormap([_pale(LOOKS[name][0]) for name in outcomes])
    norm = BoundaryNorm(np.arange(len(outcomes) + 1) - 0.5, len(outcomes))
    ax.imshow(ranks, cmap=colours, norm=norm, aspect="auto")
    ax.set_title(panel, loc="left")
    ax.set_xticks(range(len(columns)), [str(name) for name in columns])
    ax.set_yticks(range(len(rows)), [str(name) for name in rows])
    ax.grid(visible=False)
    ax.set_facecolor(_NOTHING)


def _pale(colour: str) -> str:
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(255 - _STRENGTH * (255 - part)) for part in parts]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _legend(flips: FlipMap) -> list[Patch]:
    """The outcomes that there can be, with their ranges, and what a blank means."""
    ranges = {"reproduced": f" ({flips.reproduced})"}
    patches = [
        Patch(color=_pale(LOOKS[name][0]), label=f"{LOOKS[name][1]}  {name}{ranges.get(name, '')}")
        for name in LOOKS
    ]
    return [*patches, Patch(color=_NOTHING, label="not measured")]
