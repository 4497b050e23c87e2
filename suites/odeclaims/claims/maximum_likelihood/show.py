"""The figure and the table, from the rows alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims.maximum_likelihood.judge import GAP_LIMIT, MARGIN, NAMES, lead
from odeclaims.claims.maximum_likelihood.settings import DATA, SHARES, WINDOWS
from odeclaims.kits import marks
from odeclaims.kits.pictures import picture
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, drawing_width, in_column, label_panels

LOOKS = {arm: (COLOURS[i], MARKERS[i]) for i, arm in enumerate(NAMES)}
# The two ways from the base to the data, and what the lines of pictures show.
WAYS = {"cnf": "CNF", "nf_long": "NF"}
PICTURES = ("density", "samples")
# The pictures of a way, and that of the data after the last.
SHOWN = [*((share, f"{share:.0%}") for share in SHARES), (None, "data")]
# How far above the entropy the likelihood is drawn, nats; a lead is drawn linear below this one.
ABOVE_FLOOR, LINEAR_LEAD = 1.6, 0.03


def figure(df: pd.DataFrame) -> Figure:
    """The paper's densities and samples of both flows; below, likelihood, gaps and the lead."""
    heights = (3.8, 5.2) if in_column() else (2.4, 2.3)
    fig = Figure(figsize=(drawing_width(), sum(heights)))
    parts: Any = fig.subfigures(2, 1, height_ratios=heights)
    above, below = parts
    (_down if in_column() else _across)(above, df)
    axes = below.subplot_mosaic("cd;ee;ff" if in_column() else "cdef")
    for letter, data in zip("cd", DATA, strict=True):
        _over_training(axes[letter], df, data)
        axes[letter].set_title(data)
    axes["c"].set_ylabel("negative log-likelihood, nats")
    _at_the_end(axes["e"], df)
    axes["e"].set_title("gap to the entropy")
    _leads(axes["f"], df)
    axes["f"].set_title("lead, moons")
    label_panels(axes.values(), "cdef")
    ncols = 2 if in_column() else 5
    below.legend(handles=_legend(), loc="outside lower center", ncols=ncols)
    return fig


def _across(fig: Any, df: pd.DataFrame) -> None:
    """The pictures of the ways from left to right, the data sets side by side."""
    grid = fig.subplots(len(WAYS) * len(PICTURES), len(DATA) * len(SHOWN), squeeze=False)
    for i, data in enumerate(DATA):
        _show_data(grid[:, i * len(SHOWN) : (i + 1) * len(SHOWN)], df, data)
        for ax, (_, title) in zip(grid[0, i * len(SHOWN) :], SHOWN, strict=False):
            ax.set_title(title, fontsize=7, pad=3)
        text = grid[0][i * len(SHOWN)].annotate(
            f"({'ab'[i]}) {data}, share of the way",
            (0, 1.36),
            xycoords="axes fraction",
            fontsize=8.5,
            fontweight="bold",
        )
        text.set_in_layout(False)
    # The empty line is the heading's, which is longer than its panel is wide.
    grid[0][0].set_title(f"\n{SHOWN[0][1]}", fontsize=7, pad=3)
    for ax, name in zip(grid[:, 0], _line_names("\n"), strict=True):
        ax.set_ylabel(name, fontsize=6)


def _down(fig: Any, df: pd.DataFrame) -> None:
    """The same pictures from top to bottom, for a column."""
    lines = len(WAYS) * len(PICTURES)
    grid = fig.subplots(len(SHOWN), len(DATA) * lines, squeeze=False)
    for i, data in enumerate(DATA):
        _show_data(grid[:, i * lines : (i + 1) * lines].T, df, data)
        for ax, name in zip(grid[0, i * lines :], _line_names("\n"), strict=False):
            ax.set_title(name.replace("density", "p(x)").replace("samples", "x"), fontsize=6, pad=3)
        heading = grid[0, i * lines].annotate(
            f"({'ab'[i]}) {data}", (0, 2.1), xycoords="axes fraction", fontsize=7, fontweight="bold"
        )
        heading.set_in_layout(False)
    # The empty lines are the headings', which are longer than their panels are wide.
    grid[0, 0].set_title("\n\nCNF\np(x)", fontsize=6, pad=3)
    look: dict[str, Any] = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 7}
    for ax, (_, title) in zip(grid[:, 0], SHOWN, strict=True):
        ax.set_ylabel(title, **look)


def _line_names(between: str) -> list[str]:
    return [f"{way}{between}{shown}" for way in WAYS.values() for shown in PICTURES]


def _legend() -> list[Line2D]:
    return [*marks.arms(LOOKS, NAMES), marks.dashed("entropy of the data", color="0.3")]


def _show_data(lines: Any, df: pd.DataFrame, data: str) -> None:
    """For each way a line of densities and one of samples; what is not in the rows stays empty.

    The densities share a scale; values above the data's largest are drawn like the largest.
    """
    rows = of(df, data=data)
    largest = max(float(read_picture(rows, "data", 1.0).max()), 1.0)
    for i, arm in enumerate(WAYS):
        for (share, _), pair in zip(SHOWN, lines[2 * i : 2 * i + 2].T, strict=True):
            of_data = ("data", 1.0)
            shown = (arm, share) if share else of_data
            _show(pair, rows, data, *shown, largest)


def _show(pair: Any, rows: pd.DataFrame, data: str, arm: str, share: float, largest: float) -> None:
    """A density and samples of it."""
    left, right, lower, upper = WINDOWS[data]
    density_ax, sample_ax = pair
    points = of(rows, kind="sample", arm=arm, share=share)
    for ax in pair:
        ax.set(xticks=[], yticks=[], xlim=(left, right), ylim=(lower, upper), aspect="equal")
        ax.grid(False)
        ax.spines[:].set_visible(len(points) > 0)
        ax.spines[:].set(linewidth=0.4, color="0.6")
    if not len(points):
        return
    density_ax.imshow(
        read_picture(rows, arm, share),
        origin="lower",
        extent=(left, right, lower, upper),
        vmin=0,
        vmax=largest,
        cmap="viridis",
    )
    sample_ax.plot(points["x"], points["y"], ".", markersize=0.6, color="0.15", rasterized=True)


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


def _leads(ax: Axes, df: pd.DataFrame) -> None:
    """By how much the planar flow's loss is the larger one, with equal iterations and time.

    A thin line for each seed, and their median. The iterations are the CNF's; the planar flow of
    equal time is taken where it had spent as many seconds.
    """
    for arm, values in (("nf", _equal_iterations(df)), ("nf_long", _equal_time(df))):
        leads = pd.DataFrame(dict(values)).T
        colour, marker = LOOKS[arm]
        ax.plot(leads.index, leads, color=colour, linewidth=0.5, alpha=0.5)
        middle = leads.median(axis=1)
        ax.plot(middle.index, middle, color=colour, marker=marker, markevery=(0.05, 0.2))
    ax.axhline(0, color="0.3", lw=1)
    marks.limit(ax, MARGIN)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=LINEAR_LEAD)
    ticks = (-1, -0.1, 0, 0.1, 1)
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.minorticks_off()
    ax.set(xlabel="iteration of the CNF", ylabel="lead of the CNF, nats")


def _looks(df: pd.DataFrame) -> pd.DataFrame:
    """The looks at the CNF's training, but the first few, before which nothing is averaged."""
    rows = ok(df, kind="training", arm="cnf", data="moons")
    looks = rows[rows["iteration"] > 0].drop_duplicates("iteration").sort_values("iteration")
    return looks[["iteration", "train_s"]]


def _equal_iterations(df: pd.DataFrame) -> Iterator[tuple[float, pd.Series]]:
    # One search among all rows, and not one for each look.
    training = ok(df, kind="training", data="moons")
    for iteration in _looks(df)["iteration"]:
        yield iteration, lead(training, "cnf", "nf", "moons", "iteration", iteration)


def _equal_time(df: pd.DataFrame) -> Iterator[tuple[float, pd.Series]]:
    longest = ok(df, kind="training", arm="nf_long")["train_s"].max()
    training = ok(df, kind="training", data="moons")
    for _, look in _looks(df).iterrows():
        leads = lead(training, "cnf", "nf_long", "moons", "train_s", look["train_s"])
        if len(leads) and look["train_s"] <= longest:
            yield look["iteration"], leads


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
                    "by quadrature": number(group["gap_by_quadrature"].median()),
                    "round trip, largest": number(group["reconstruction_error"].max(), 2),
                }
            )
    return pd.DataFrame(rows)
