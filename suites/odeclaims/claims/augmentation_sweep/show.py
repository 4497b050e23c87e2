"""The figure and the table, from the rows alone."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims.augmentation_sweep.judge import results
from odeclaims.claims.augmentation_sweep.settings import (
    INPUT_LAYER_DIM,
    SWEEP,
    TASKS,
    TOLERANCES,
)
from odeclaims.kits import marks
from odeclaims.kits.rows import of, ok
from odeclaims.record.wording import number
from odeclaims.report.style import (
    COLOURS,
    MARKERS,
    add_legend,
    in_column,
    label_panels,
    panels,
    plain_numbers,
)


class Look(NamedTuple):
    """How one model is named and drawn."""

    name: str
    tick: str
    colour: str
    marker: str


_NAMES = {
    ("node", 0): ("NODE", "0"),
    **{("anode", p): (f"ANODE, {p} zero{'s' * (p > 1)}", str(p)) for p in SWEEP},
    ("second_order", None): ("second order", "2nd"),
    ("input_layer", None): (f"input layer, {INPUT_LAYER_DIM} more", "in"),
}
LOOKS = {
    key: Look(name, tick, COLOURS[i], MARKERS[i])
    for i, (key, (name, tick)) in enumerate(_NAMES.items())
}


def _by_model(rows: pd.DataFrame) -> Iterator[tuple[Look, pd.DataFrame]]:
    """The rows of each model with its look, in the order of the legend."""
    for (arm, augment_dim), look in LOOKS.items():
        equal = {} if augment_dim is None else {"augment_dim": augment_dim}
        yield look, of(rows, arm=arm, **equal)


def figure(df: pd.DataFrame) -> Figure:
    """Loss, dense error and NFE on the spheres; the crossing; time and what it buys."""
    fig, axes = panels(2, 3, height=2.4)
    loss, error, nfe, crossed, duration, bought = axes.flat
    spheres = results(df, "spheres").assign(error=lambda r: 100 * (1 - r["dense_accuracy"]))
    _draw_losses(loss, df)
    _draw_seeds(error, spheres, "error")
    _draw_seeds(nfe, spheres, "nfe_forward")
    _draw_seeds(crossed, results(df, "crossing"), "mse")
    times = _with_times(df, spheres)
    _draw_seeds(duration, times, "update_ms")
    _draw_bought(bought, times)
    loss.set(title="Spheres: loss", xlabel="training epoch", ylabel="smooth L1 loss", yscale="log")
    error.set(title="Spheres: error", ylabel="wrong on dense grid (%)")
    nfe.set(
        title="Spheres: NFE", ylabel=f"NFE forward at {TOLERANCES['checked']:g}", ylim=(0, None)
    )
    marks.limit(crossed, 1)
    crossed.set(title="Crossing: error", ylabel="mean squared error", yscale="log")
    duration.set(title="Spheres: time", ylabel="time of an update (ms)", ylim=(0, None))
    bought.set(title="Spheres: loss for time", xlabel="time of an update (ms)", yscale="log")
    bought.set_ylabel("last smooth L1 loss")
    for ax in (loss, bought):
        plain_numbers(ax.yaxis)
    label_panels(axes.flat)
    add_legend(fig, _legend(), ncols=4)
    return fig


def _draw_losses(ax: Axes, df: pd.DataFrame) -> None:
    for look, rows in _by_model(of(df, kind="training", task="spheres")):
        every = max(1, rows["epoch"].nunique() // 8)
        line = {"color": look.colour, "marker": look.marker, "markevery": every}
        marks.median_line(ax, rows, "epoch", "loss", **line)


def _draw_seeds(ax: Axes, rows: pd.DataFrame, column: str) -> None:
    """A mark for each seed, hollow where a check fails, and a bar at their median."""
    for i, (look, seeds) in enumerate(_by_model(rows)):
        hollow = ~seeds["valid"].astype(bool)
        colour_and_marker = look.colour, look.marker
        marks.per_seed(ax, i, seeds[column], colour_and_marker, hollow=hollow, width=0.6, size=3.5)
        # Room above for the marks where the axis begins at 0.
        ax.margins(y=0.15)
        ax.hlines(seeds[column].median(), i - 0.38, i + 0.38, color=look.colour, linewidth=1.3)
    names = [look.tick for look in LOOKS.values()]
    ax.set_xticks(range(len(LOOKS)), names, rotation=90 if in_column() else 0)
    ax.set_xlabel("zeros, 2nd order, input layer")


def _with_times(df: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the time of an update in training: its evaluations by the time of one."""
    cost = ok(df, kind="cost")
    keys = ["task", "arm", "augment_dim"]
    per_evaluation = (cost["time_s"] / cost["nfe_forward"]).rename("evaluation_s")
    merged = rows.merge(cost[keys].join(per_evaluation), on=keys, how="left")
    return merged.assign(update_ms=1e3 * merged["evaluation_s"] * merged["training_nfe"])


def _draw_bought(ax: Axes, rows: pd.DataFrame) -> None:
    """The medians over seeds of time and loss, with the quartiles of both."""
    for look, seeds in _by_model(rows):
        x, y = (
            [float(seeds[column].quantile(q)) for q in (0.25, 0.5, 0.75)]
            for column in ("update_ms", "loss")
        )
        ax.errorbar(
            x[1],
            y[1],
            xerr=[[x[1] - x[0]], [x[2] - x[1]]],
            yerr=[[y[1] - y[0]], [y[2] - y[1]]],
            fmt=look.marker,
            color=look.colour,
            linewidth=1,
        )


def _legend() -> list[Line2D]:
    models = [
        marks.handle(look.name, color=look.colour, marker=look.marker) for look in LOOKS.values()
    ]
    return [*models, marks.hollow("fails a check"), marks.dotted("floor of a flow")]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """What each model reaches and what it costs, checked: medians over the seeds."""
    rows = []
    for task in TASKS:
        looser = dict(_by_model(results(df, task, "replication")))
        for look, seeds in _by_model(_with_times(df, results(df, task))):
            if seeds.empty:
                continue
            middle = seeds.median(numeric_only=True)
            rows.append(
                {
                    "task": task,
                    "model": look.name,
                    "parameters": f"{middle['parameters']:.0f}",
                    "training loss": number(middle["loss"]),
                    "dense accuracy": number(middle["dense_accuracy"], 4),
                    "least": number(seeds["dense_accuracy"].min(), 4),
                    "MSE": number(middle["mse"]),
                    "NFE": number(middle["nfe_forward"]),
                    "NFE at 1e-6": number(looser[look]["nfe_forward"].median()),
                    "NFE in training": number(middle["training_nfe"]),
                    "us an evaluation": number(1e6 * middle["evaluation_s"]),
                    "ms an update": number(middle["update_ms"]),
                    "reconstruction, largest": number(seeds["reconstruction_error"].max(), 2),
                    "valid": f"{int(seeds['valid'].sum())} of {len(seeds)}",
                }
            )
    return pd.DataFrame(rows)
