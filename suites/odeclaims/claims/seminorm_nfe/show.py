"""The figure and the table, from the rows alone."""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from odeclaims.claims.seminorm_nfe.judge import (
    AS_GOOD,
    SAVES,
    by_net,
    learnt,
    pairs,
    solved,
)
from odeclaims.claims.seminorm_nfe.settings import (
    LOSSES,
    NORMS,
    POOLED_POINTS,
    TASKS,
    TOLERANCES,
)
from odeclaims.kits import marks
from odeclaims.kits.rows import of, valid
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, MARKERS, add_legend, label_panels, panels

NAMES = {
    "digits": "digits",
    "moons": "moons",
    "pendulum": "pendulum",
    "hamiltonian": "Hamiltonian",
    "spheres": "spheres",
    POOLED_POINTS: "spheres, pool",
}
LOOKS = {task: (COLOURS[i], MARKERS[i]) for i, task in enumerate(TASKS)}
BASELINE_LOOKS = {"flat": ("0.1", "o"), "mixed": ("0.6", "s")}
DASHES = {"mean": "-", "sum": "--"}
PUBLISHED = 0.40


def figure(df: pd.DataFrame) -> Figure:
    """What the seminorm saves by task and by tolerance, and the errors of its gradient.

    Only tolerances at which the compared solve passes the checks. In (a) a mark is the median over
    the tolerances of one net, with the mean loss; in (b) lines are medians over nets, against the
    flat norm; in (c) a mark is the relative error of one net at one tolerance.
    """
    fig, axes = panels(1, 3, height=2.6, width_ratios=(1.1, 1, 1))
    tasks, tolerances, errors = axes[0]
    _draw_tasks(tasks, df)
    _draw_tolerances(tolerances, df)
    _draw_errors(errors, df)
    label_panels(axes[0])
    baselines = [
        marks.handle(f"against {norm} norm", color=colour, marker=marker, linestyle="")
        for norm, (colour, marker) in BASELINE_LOOKS.items()
    ]
    lines = [
        marks.handle(f"{loss} of the losses", color="0.4", linestyle=DASHES[loss])
        for loss in LOSSES
    ]
    add_legend(
        fig,
        [
            *baselines,
            *marks.arms(LOOKS, {task: NAMES[task] for task in TASKS}, linestyle=""),
            *lines,
            marks.dotted("bounds of the statements"),
            marks.handle("published median, 40%", color="0.4", linestyle="-.", linewidth=1),
        ],
        ncols=5,
    )
    return fig


def _draw_tasks(ax: Axes, df: pd.DataFrame) -> None:
    for k, (norm, look) in enumerate(BASELINE_LOOKS.items()):
        nets = by_net(pairs(df, norm), "saving").reset_index()
        for i, task in enumerate(NAMES):
            values = of(nets, task=task)["saving"]
            marks.per_seed(ax, marks.abreast(i, k, 2, 0.8), values, look, width=0.3, size=3)
    ax.set_xticks(range(len(NAMES)), list(NAMES.values()), rotation=35, ha="right")
    ax.set(title="By task", ylabel="backward NFE saved", xlim=(-0.6, len(NAMES) - 0.4))
    _draw_bounds(ax)


def _draw_tolerances(ax: Axes, df: pd.DataFrame) -> None:
    for loss in LOSSES:
        table = pairs(df, loss=loss)
        for task, (colour, marker) in LOOKS.items():
            middle = of(table, task=task).groupby("tolerance")["saving"].median()
            ax.plot(middle.index, middle, DASHES[loss], color=colour, marker=marker, ms=3.5)
    ax.set(title="By tolerance", ylabel="backward NFE saved", xlabel="tolerance, forward and back")
    ax.set(xscale="log", xlim=(3 * max(TOLERANCES), min(TOLERANCES) / 3))
    ax.xaxis.set_major_locator(FixedLocator(TOLERANCES))
    ax.xaxis.set_minor_locator(NullLocator())
    _draw_bounds(ax)


def _draw_bounds(ax: Axes) -> None:
    """The bound on a saving, the published one, and an axis in percent."""
    marks.limit(ax, SAVES)
    ax.axhline(PUBLISHED, color=marks.NEUTRAL, linestyle="-.", linewidth=1)
    ax.axhline(0, color=marks.NEUTRAL, linewidth=0.8)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _draw_errors(ax: Axes, df: pd.DataFrame) -> None:
    table = pairs(df).dropna(subset=["error_ratio"])
    for task, (colour, marker) in LOOKS.items():
        rows = of(table, task=task)
        ax.plot(rows["error"], rows["error_semi"], marker, color=colour, ms=3)
    drawn = [table["error"].min(), table["error"].max()] if len(table) else [1e-7, 1e-2]
    ends = np.array(drawn, dtype=float)
    ax.plot(ends, ends, color=marks.NEUTRAL, linewidth=0.9)
    ax.plot(ends, AS_GOOD * ends, color=marks.NEUTRAL, linestyle=":", linewidth=1)
    ax.set(title="Gradient errors", xscale="log", yscale="log")
    ax.set(xlabel="error by the flat norm", ylabel="error by the seminorm")


def table(df: pd.DataFrame) -> pd.DataFrame:
    """A line for each task, loss and tolerance: medians over the nets.

    What is saved is that of the nets that have learnt their task and whose solve is valid.
    """
    keys = ["task", "loss", "tolerance"]
    saved = {
        norm: pd.concat([pairs(df, norm, loss).assign(loss=loss) for loss in LOSSES])
        .groupby(keys)["saving"]
        .median()
        for norm in BASELINE_LOOKS
    }
    solves = dict(list(solved(df).groupby(keys)))
    lines = []
    for key in product(NAMES, LOSSES, TOLERANCES):
        if key in solves:
            savings = {norm: _percent(medians, key) for norm, medians in saved.items()}
            lines.append({**_named(*key), **_line(solves[key], savings)})
    return pd.DataFrame(lines)


def _named(task: str, loss: str, tolerance: float) -> dict[str, str]:
    return {"task": NAMES[task], "loss": loss, "tolerance": f"{tolerance:.0e}"}


def _line(rows: pd.DataFrame, savings: dict[str, str]) -> dict[str, str]:
    by = {norm: of(rows, norm=norm) for norm in NORMS}
    flat = by["flat"]
    return {
        "NFE forward": number(flat["nfe_forward"].median()),
        **{f"backward, {norm}": number(by[norm]["nfe_backward"].median()) for norm in NORMS},
        **{f"saved, {norm} (%)": saving for norm, saving in savings.items()},
        "gradient error, flat": number(flat["gradient_error"].median(), 2),
        "seminorm": number(by["seminorm"]["gradient_error"].median(), 2),
        "learnt and valid": f"{len(valid(learnt(flat)))} of {len(flat)}",
    }


def _percent(medians: pd.Series, key: tuple[str, str, float]) -> str:
    """The median saving in percent; blank where no solve is valid."""
    return number(100 * float(medians[key])) if key in medians.index else ""
