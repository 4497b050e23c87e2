"""The figure and the table, from the rows alone."""

import math
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from odeclaims.claims.density_matching.judge import NAMES
from odeclaims.claims.density_matching.settings import EDGE
from odeclaims.kits import marks
from odeclaims.kits.pictures import picture
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, drawing_width, in_column

LOOKS = {arm: (COLOURS[i], MARKERS[i]) for i, arm in enumerate(NAMES)}
# Linear below, logarithmic above, so that a value near zero or below it has a place.
LINEAR_BELOW = 0.01


def figure(df: pd.DataFrame) -> Figure:
    """The paper's grid: a line a target, with the target, NF, CNF, and KL over width.

    The pictures are those of the repetition with the median divergence, unless a caveat says which
    are not. The NF is that of the
    published recipe, or where that was not run the one of equal time.
    """
    models = ok(df, kind="result")
    nf = "nf" if len(of(models, arm="nf")) else "nf_adam_long"
    targets = sorted(models["target"].unique())
    widths = sorted(int(width) for width in models["width"].unique())
    columns = [("target", None), *((nf, w) for w in widths), *(("cnf", w) for w in widths)]
    lay_out, name = (_column, _name_column) if in_column() else (_page, _name_page)
    fig, pictures, curves = lay_out(len(targets), len(columns))
    image = None
    for i, (line, ax, target) in enumerate(zip(pictures, curves, targets, strict=True)):
        densities = [read_picture(df, arm, target, width) for arm, width in columns]
        for place, density in zip(line, densities, strict=True):
            image = _draw_density(place, density / densities[0].max())
        last = in_column() or i == len(targets) - 1
        _over_width(ax, of(models, target=target), widths, last=last)
    name(pictures, curves, targets, widths)
    assert image is not None
    bar = fig.colorbar(image, ax=pictures, location="bottom", aspect=60, shrink=0.6)
    bar.set_label("density, in units of the target's largest", fontsize=7)
    bar.outline.set_visible(False)
    add_legend(fig, marks.arms(LOOKS, NAMES), ncols=5)
    return fig


def _page(targets: int, columns: int) -> tuple[Figure, Any, Any]:
    """The figure, its pictures, a line a target, and the panel beside each line."""
    # The last panel is wider, and needs room for its labels; the pictures are square.
    side = drawing_width() / (columns + 2.4)
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    fig = Figure(figsize=(drawing_width(), 1.05 * side * targets + 1.2), layout=layout)
    grid: Any = {"width_ratios": [*[1.0] * columns, 1.6]}
    axes = fig.subplots(targets, columns + 1, squeeze=False, gridspec_kw=grid)
    return fig, axes[:, :-1], axes[:, -1]


def _column(targets: int, columns: int) -> tuple[Figure, Any, Any]:
    """The same with the pictures of a target one above the other, and its panel below all."""
    side, lines = min(1.0, 2.8 / targets), math.ceil(targets / 2)
    heights = 1.05 * side * columns, 1.3 * lines
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    fig = Figure(figsize=(drawing_width(), sum(heights) + 1.0), layout=layout)
    above, below = fig.add_gridspec(2, 1, height_ratios=heights)
    pictures = above.subgridspec(columns, targets).subplots(squeeze=False).T
    curves = below.subgridspec(lines, 2).subplots(squeeze=False).flatten()
    for ax in curves[targets:]:
        ax.remove()
    return fig, pictures, curves[:targets]


def _names(widths: list[int]) -> list[str]:
    return ["Target", *(f"K = {w}" for w in widths), *(f"M = {w}" for w in widths)]


def _letters(widths: list[int]) -> dict[int, str]:
    """What stands before the first of these names, the first NF, and the first CNF."""
    return {0: "(a)", 1: "(b) NF", 1 + len(widths): "(c) CNF"}


def _name_page(pictures: Any, curves: Any, targets: list[str], widths: list[int]) -> None:
    for line, target in zip(pictures, targets, strict=True):
        line[0].set_ylabel(target, rotation=0, labelpad=9, va="center", fontweight="bold")
    above = [*pictures[0], curves[0]]
    for ax, name in zip(above, [*_names(widths), "KL(q || p), nats"], strict=True):
        ax.set_title(name, fontsize=7, pad=3)
    look: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "fontweight": "bold",
    }
    for place, letter in {**_letters(widths), -1: "(d)"}.items():
        above[place].annotate(letter, (0, 1), (0, 15), fontsize=8, **look)


def _name_column(pictures: Any, curves: Any, targets: list[str], widths: list[int]) -> None:
    for line, ax, target in zip(pictures, curves, targets, strict=True):
        line[0].set_title(target, fontweight="bold")
        ax.set_title(f"{target}, KL(q || p), nats", fontsize=7, pad=3)
    curves[0].set_title(f"(d) {curves[0].get_title()}", fontsize=7, pad=3)
    letters = _letters(widths)
    for place, (ax, name) in enumerate(zip(pictures[0], _names(widths), strict=True)):
        text = f"{letters[place]}\n{name}" if place in letters else name
        ax.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=7)


def read_picture(
    df: pd.DataFrame, arm: str, target: str, width: int | None
) -> Float64[np.ndarray, "y x"]:
    """The picture of an arm, in thousandths; zeros where the model failed."""
    rows = ok(df, kind="density", arm=arm, target=target)
    return picture(rows if width is None else of(rows, width=width))


def _draw_density(ax: Axes, density: Float64[np.ndarray, "y x"]) -> Any:
    """One density; values above the target's largest are drawn like the largest."""
    extent = (-EDGE, EDGE, -EDGE, EDGE)
    image = ax.imshow(density, origin="lower", extent=extent, vmin=0, vmax=1, cmap="viridis")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return image


def _over_width(ax: Axes, rows: pd.DataFrame, widths: list[int], *, last: bool) -> None:
    """Medians, with all repetitions between the ends of a bar; the arms beside each other."""
    for i, arm in enumerate(NAMES):
        kl = of(rows, arm=arm).groupby("width")["kl"].agg(["median", "min", "max"])
        if not len(kl):
            continue
        colour, marker = LOOKS[arm]
        x = [width * 1.06 ** (i - 2) for width in kl.index]
        ends = [kl["median"] - kl["min"], kl["max"] - kl["median"]]
        look: dict[str, Any] = {"markersize": 3, "linewidth": 0.9, "elinewidth": 0.7}
        ax.errorbar(x, kl["median"], ends, color=colour, marker=marker, **look)
    ax.set_xscale("log", base=2)
    ax.set_xticks(widths, [str(width) if last else "" for width in widths])
    ax.minorticks_off()
    ax.set_yscale("symlog", linthresh=LINEAR_BELOW)
    ticks = (0, 0.01, 0.03, 0.1, 0.3, 1, 3)
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    least, largest = rows["kl"].min(), rows["kl"].max()
    ax.set_ylim(0.5 * least if least > LINEAR_BELOW else min(0, 1.5 * least), 1.8 * largest)
    ax.tick_params(labelsize=6.5)
    if last:
        ax.set_xlabel("width K = M", fontsize=7)


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each arm and width: what it has and spends, and its divergence from every target."""
    rows = []
    for arm, name in NAMES.items():
        for width, group in ok(df, kind="result", arm=arm).groupby("width"):
            first = group.iloc[0]
            row = {
                "model": name,
                "width": f"{width:g}",
                "parameters": f"{first['parameters']:g}",
                "steps": f"{first['steps']:g}",
                "seconds": f"{first['train_s']:.0f}",
                "unit evaluations": f"{first['unit_evaluations']:.1e}",
                "NFE": number(group["nfe_forward"].median()),
                "repetitions": f"{group['repetition'].nunique()}",
            }
            for target, kl in group.groupby("target")["kl"]:
                low, high = number(kl.min(), 2), number(kl.max(), 2)
                row[f"KL {target}"] = f"{number(kl.median())} ({low} to {high})"
            rows.append(row)
    return pd.DataFrame(rows)
