"""The figure and the table, from the rows alone."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from odeclaims.claims.nfe_growth.judge import NAMES, solves
from odeclaims.claims.nfe_growth.settings import ARMS, TOLERANCES, TOY_TOLERANCES, TOYS
from odeclaims.kits import marks
from odeclaims.kits.constants import RECONSTRUCTION_LIMIT
from odeclaims.kits.rows import of, repetitions, valid
from odeclaims.record.wording import number
from odeclaims.report.style import COLOURS, add_legend, label_panels, panels, plain_numbers
from odeclaims.statistics import spearman

# The tolerances look like no solver, since they stand beside solvers in Fig. 3.
LOOKS = {
    "loose": (COLOURS[7], "*"),
    "checked": (COLOURS[5], "P"),
    "net": ("0.25", "o"),
    "node": (COLOURS[2], "^"),
    "anode": (COLOURS[4], "D"),
}
DASHES: dict[str, Any] = {"loose": "--", "checked": "-"}


def figure(df: pd.DataFrame) -> Figure:
    """NFE forward over the epochs: of digits with their checks (3d), and of NODE and ANODE."""
    has_digits = len(of(df, task="mnist")) > 0
    fig, axes = panels(2 if has_digits else 1, 3, height=2.3)
    if has_digits:
        _draw_digits(axes[0], df)
    spheres, sines, check = axes[-1]
    _draw_arms(spheres, df, "spheres", "nfe_forward")
    _draw_arms(sines, df, "sines", "nfe_forward")
    _draw_arms(check, df, "spheres", "reconstruction_error")
    check.set(title="Spheres: check")
    for ax, title in ((spheres, "Spheres: NFE"), (sines, "Sines: NFE")):
        ax.set(title=title, ylabel="NFE forward", yscale="log")
        plain_numbers(ax.yaxis)
    _limit_reconstruction(check)
    for ax in axes.flat:
        ax.set_xlabel("training epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_panels(axes.flat)
    add_legend(fig, _legend(has_digits), ncols=5)
    return fig


def _draw_digits(axes: Iterable[Axes], df: pd.DataFrame) -> None:
    """The evaluations, the check and the error rate of the nets that are trained on digits."""
    evaluations, reconstruction, error = axes
    draw_evaluations(evaluations, df)
    for role in TOLERANCES:
        _lines(reconstruction, solves(df, role), "reconstruction_error", LOOKS[role])
    net = solves(df, "checked").assign(percent=lambda rows: 100 * rows["test_error"], valid=True)
    _lines(error, net, "percent", LOOKS["net"])
    _limit_reconstruction(reconstruction)
    evaluations.set(title="MNIST: NFE")
    reconstruction.set(title="MNIST: check")
    error.set(title="MNIST: learning", ylabel="test error (%)", ylim=(0, None))


def _limit_reconstruction(ax: Axes) -> None:
    marks.limit(ax, RECONSTRUCTION_LIMIT)
    ax.set(ylabel="error after 0 to 1 to 0", yscale="log")


def draw_evaluations(ax: Axes, df: pd.DataFrame) -> None:
    """The panel of Fig. 3d: evaluations over the epochs, at both tolerances."""
    ax.set(title="NFE over training", xlabel="training epoch", ylabel="NFE forward")
    if of(df, task="mnist").empty:
        ax.text(
            0.5, 0.5, "no net that learnt\ndigits is published", transform=ax.transAxes, ha="center"
        )
        ax.set(xticks=[], yticks=[])
        return
    for role in TOLERANCES:
        _lines(ax, solves(df, role), "nfe_forward", LOOKS[role])
    ax.set(yscale="log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_numbers(ax.yaxis)


def _draw_arms(ax: Axes, df: pd.DataFrame, task: str, column: str) -> None:
    """NODE and ANODE over the epochs: solid at the checked tolerance, dashed at the loose."""
    for role, dash in DASHES.items():
        rows = solves(df, role, task)
        for arm in ARMS:
            _lines(ax, of(rows, arm=arm), column, LOOKS[arm], dash)


def _lines(
    ax: Axes, rows: pd.DataFrame, column: str, look: tuple[str, str], dash: str = "-"
) -> None:
    """Each seed thin and their median thick, hollow where a seed fails a validity check."""
    colour, marker = look
    marks.seed_lines(ax, rows, "epoch", column, dash, color=colour)
    by_epoch = rows.groupby("epoch")
    middle, passes = by_epoch[column].median(), by_epoch["valid"].all().astype(bool)
    ax.plot(middle.index, middle, dash, color=colour, linewidth=1.8)
    ax.plot(middle.index[passes], middle[passes], marker, color=colour)
    ax.plot(middle.index[~passes], middle[~passes], marker, color=colour, mfc="white")


def tolerance_legend() -> list[Line2D]:
    """Colour and marker say the tolerance."""
    meanings = {"loose": "as trained", "checked": "checked"}
    return [
        marks.handle(f"{TOLERANCES[role]:.0e}, {meaning}", color=colour, marker=marker)
        for role, meaning in meanings.items()
        for colour, marker in [LOOKS[role]]
    ]


def _legend(has_digits: bool) -> list[Line2D]:
    """A hollow mark fails a check."""
    digits = tolerance_legend() if has_digits else []
    for handle in digits:
        handle.set_label(f"MNIST at {handle.get_label()}")
    dashes = [
        marks.handle(f"points at {tolerance:.0e}", color=marks.NEUTRAL, linestyle=DASHES[role])
        for role, tolerance in TOY_TOLERANCES.items()
        if role in DASHES
    ]
    return [
        *digits,
        *marks.arms(LOOKS, NAMES),
        *dashes,
        marks.thin(),
        marks.hollow("fails a check"),
        marks.dotted("reconstruction limit"),
    ]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """NFE at the ends of training, growth and checks: of each net of digits, medians for points."""
    rows = []
    for role, tolerance in TOLERANCES.items():
        for repetition, net in solves(df, role).groupby("repetition"):
            rows.append(_table_row(net, "mnist", "NODE", tolerance, str(repetition)))
    for task in TOYS:
        for arm, name in NAMES.items():
            for role, tolerance in TOY_TOLERANCES.items():
                nets = of(solves(df, role, task), arm=arm)
                if len(nets):
                    seeds = f"median of {repetitions(nets)}"
                    rows.append(_table_row(nets, task, name, tolerance, seeds))
    return pd.DataFrame(rows)


def _table_row(
    nets: pd.DataFrame, task: str, name: str, tolerance: float, seed: str
) -> dict[str, str]:
    """A row for one net, or for the nets of several seeds."""
    epochs = nets["epochs"].iloc[0]
    nfe = nets.pivot_table("nfe_forward", "repetition", "epoch").reindex(columns=[0, 1, epochs])
    trained = nets[nets["epoch"] >= 1].groupby("repetition")
    correlations = [spearman(net["epoch"], net["nfe_forward"]) for _, net in trained]
    last = nets[nets["epoch"] == epochs]
    return {
        "task": task,
        "model": name,
        "tolerance": f"{tolerance:.0e}",
        "seed": seed,
        "NFE untrained": number(nfe[0].median()),
        "after the first epoch": number(nfe[1].median()),
        "after the last": number(nfe[epochs].median()),
        "last / first": number((nfe[epochs] / nfe[1]).median()),
        "Spearman": number(float(np.median(correlations))),
        "reconstruction, largest": number(nets["reconstruction_error"].max(), 2),
        "gradient error, median": number(nets["gradient_error"].median(), 2),
        "valid": f"{len(valid(nets))} of {len(nets)}",
        "test error (%)": number(100 * last["test_error"].median()),
    }
