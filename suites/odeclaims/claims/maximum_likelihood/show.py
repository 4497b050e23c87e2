"""The figure and the table, from the rows alone."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims.maximum_likelihood.judge import GAP_LIMIT, NAMES
from odeclaims.claims.maximum_likelihood.settings import DATA, SHARES, WINDOWS
from odeclaims.kits import marks
from odeclaims.kits.pictures import picture
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, drawing_width, in_column, label_panels

LOOKS = {arm: (COLOURS[i], MARKERS[i]) for i, arm in enumerate(NAMES)}
SHOWN = [*(("cnf", share) for share in SHARES), ("nf_long", 1.0), ("data", 1.0)]
# A heading stands above the first, the seventh and the eighth.
TITLES = [*(f"{share:.0%}" for share in SHARES), "equal time", ""]
HEADINGS = {0: "(a) CNF, share of the integration time", 6: "(b) NF", 7: "(c) data"}
# How far above the entropy the likelihood is drawn, nats.
ABOVE_FLOOR = 1.6


def figure(df: pd.DataFrame) -> Figure:
    """The paper's densities and samples; below, the likelihood over training and the gaps."""
    heights = (5.2, 3.7) if in_column() else (3.65, 2.25)
    fig = Figure(figsize=(drawing_width(), sum(heights)))
    parts: Any = fig.subfigures(2, 1, height_ratios=heights)
    above, below = parts
    (_down if in_column() else _across)(above, df)
    axes = below.subplot_mosaic("de;ff" if in_column() else "def")
    for letter, data in zip("de", DATA, strict=True):
        _over_training(axes[letter], df, data)
        axes[letter].set_title(data)
    axes["d"].set_ylabel("negative log-likelihood, nats")
    _at_the_end(axes["f"], df)
    axes["f"].set_title("gap to the entropy")
    label_panels(axes.values(), "def")
    ncols = 2 if in_column() else 5
    below.legend(handles=_legend(), loc="outside lower center", ncols=ncols)
    return fig


def _across(fig: Any, df: pd.DataFrame) -> None:
    """The pictures of the ways from left to right."""
    grid = fig.subplots(2 * len(DATA), len(SHOWN), squeeze=False)
    for i, data in enumerate(DATA):
        density, samples = grid[2 * i : 2 * i + 2]
        _show_way((density, samples), df, data)
        density[0].set_ylabel(f"{data}\ndensity", fontsize=7)
        samples[0].set_ylabel("samples", fontsize=7)
    for ax, title in zip(grid[0], TITLES, strict=True):
        # The empty line is the heading's, which is longer than its panel is wide.
        ax.set_title(f"\n{title}", fontsize=7.5)
    for first, heading in HEADINGS.items():
        text = grid[0][first].annotate(
            heading, (0, 1.28), xycoords="axes fraction", fontsize=8.5, fontweight="bold"
        )
        text.set_in_layout(False)


def _down(fig: Any, df: pd.DataFrame) -> None:
    """The same pictures from top to bottom, for a column."""
    grid = fig.subplots(len(SHOWN), 2 * len(DATA), squeeze=False)
    for i, data in enumerate(DATA):
        _show_way(grid[:, 2 * i : 2 * i + 2].T, df, data)
        for ax, name in zip(grid[0, 2 * i :], ("density", "samples"), strict=False):
            ax.set_title(f"{data}\n{name}", fontsize=7)
    for place, (ax, title) in enumerate(zip(grid[:, 0], TITLES, strict=True)):
        letter, _, heading = HEADINGS.get(place, "").partition(" ")
        name = "\n".join(part for part in (heading.partition(",")[0], title) if part)
        look: dict[str, Any] = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 7}
        ax.set_ylabel(f"{letter} {name}".lstrip(), **look)


def _legend() -> list[Line2D]:
    return [*marks.arms(LOOKS, NAMES), marks.dashed("entropy of the data", color="0.3")]


def _show_way(rows: Any, df: pd.DataFrame, data: str) -> None:
    """A line of densities and one of samples: along the CNF's way, of the NF and of the data.

    The densities share a scale; values above the data's largest are drawn like the largest.
    """
    left, right, lower, upper = WINDOWS[data]
    of_data = of(df, data=data)
    largest = float(read_picture(of_data, "data", 1.0).max())
    for density_ax, sample_ax, (arm, share) in zip(*rows, SHOWN, strict=True):
        density_ax.imshow(
            read_picture(of_data, arm, share),
            origin="lower",
            extent=(left, right, lower, upper),
            vmin=0,
            vmax=max(largest, 1.0),
            cmap="viridis",
        )
        points = of(of_data, kind="sample", arm=arm, share=share)
        sample_ax.plot(points["x"], points["y"], ".", markersize=1, color="0.15", rasterized=True)
        for ax in (density_ax, sample_ax):
            ax.set(xticks=[], yticks=[], xlim=(left, right), ylim=(lower, upper), aspect="equal")
            ax.grid(False)
            ax.spines[:].set_visible(True)
            ax.spines[:].set(linewidth=0.4, color="0.6")


def read_picture(df: pd.DataFrame, arm: str, share: float) -> Float64[np.ndarray, "y x"]:
    """The picture of an arm out of the rows of one data set; zeros where the model failed."""
    return picture(of(df, kind="density", arm=arm, share=share))


def _over_training(ax: Axes, df: pd.DataFrame, data: str) -> None:
    """Medians over the repetitions, and all of them between the edges of a band; near the floor."""
    rows = of(df, kind="training", data=data)
    rows = rows[rows["iteration"] > 0]
    for arm in NAMES:
        nll = of(rows, arm=arm).groupby("iteration")["nll"].agg(["median", "min", "max"])
        colour, marker = LOOKS[arm]
        ax.plot(nll.index, nll["median"], color=colour, marker=marker, markevery=(0.05, 0.2))
        ax.fill_between(nll.index, nll["min"], nll["max"], color=colour, alpha=0.2, lw=0)
    floor = ok(df, kind="result", data=data)["floor"].iloc[0]
    ax.axhline(floor, color="0.3", linestyle="--", lw=1)
    ax.set_xscale("log")
    # The much larger values of the first iterations would flatten all the rest.
    ax.set(xlabel="iteration", ylim=(floor - 0.15, floor + ABOVE_FLOOR))


def _at_the_end(ax: Axes, df: pd.DataFrame) -> None:
    """The gap of each model, and the largest at which the claim holds for the CNF."""
    for i, arm in enumerate(NAMES):
        colour, marker = LOOKS[arm]
        for j, data in enumerate(DATA):
            gaps = ok(df, kind="result", arm=arm, data=data)["gap"]
            ax.plot([j + 0.18 * (i - 1.5)] * len(gaps), gaps, marker, color=colour, markersize=3.5)
    ax.axhline(GAP_LIMIT, color="0.3", linestyle=":", lw=1)
    ax.annotate("limit for the CNF", (-0.45, GAP_LIMIT), va="bottom", fontsize=6.5)
    ax.set_xticks(range(len(DATA)), list(DATA))
    ax.set(xlim=(-0.5, len(DATA) - 0.5), ylabel="KL(data || model), nats")
    ax.set_yscale("log")


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each arm and data set: what the models have and spend, and how near they come."""
    start = of(df, kind="training", iteration=0)
    rows = []
    for data in DATA:
        for arm, name in NAMES.items():
            group = ok(df, kind="result", arm=arm, data=data)
            if not len(group):
                continue
            first = group.iloc[0]
            untrained = of(start, arm=arm, data=data)["nll"]
            rows.append(
                {
                    "data": data,
                    "model": name,
                    "parameters": f"{first['parameters']:g}",
                    "iterations": f"{first['iterations']:g}",
                    "seconds": f"{first['train_s']:.0f}",
                    "NFE in training": number(group["training_nfe"].median()),
                    "NLL untrained": number(untrained.median()),
                    "NLL": number(group["nll"].median()),
                    "entropy": number(first["floor"]),
                    "gap": number(group["gap"].median()),
                    "least": number(group["gap"].min()),
                    "largest": number(group["gap"].max()),
                    "standard error": number(group["gap_se"].median(), 2),
                    "round trip, largest": number(group["reconstruction_error"].max(), 2),
                }
            )
    return pd.DataFrame(rows)
