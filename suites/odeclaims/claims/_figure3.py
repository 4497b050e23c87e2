"""Figure 3 of Chen et al. 2018 as one picture, out of the rows of the claims behind its panels."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims import backward_nfe, nfe_growth, tolerance_tradeoff
from odeclaims.report.style import (
    COLUMN_WIDTH,
    add_legend,
    label_panels,
    panels,
    save,
    solver_look,
    style,
)
from odeclaims.store import Results

CLAIMS = (tolerance_tradeoff.CLAIM, backward_nfe.CLAIM, nfe_growth.CLAIM)
NAME = "figure3"
# Of four panels abreast, in inches: more than a page's, as the paper has it.
WIDTH = 9.2


def draw_figure3(out: Path, profile: str) -> list[Path]:
    """Draw it into the profile's folder, wide and for a column.

    No path where a claim has no rows under that profile.

    Raises:
        CorruptFile: where the rows of a claim are not what was written.
    """
    results = [Results(out, profile, claim) for claim in CLAIMS]
    if not all(r.data.exists() for r in results):
        return []
    rows, folder = [r.read() for r in results], out / profile
    with style(WIDTH):
        paths = save(figure3(*rows), folder, NAME)
    with style(COLUMN_WIDTH):
        return paths + save(figure3(*rows), folder, f"{NAME}-column", ["pdf"])


def figure3(tradeoff: pd.DataFrame, backward: pd.DataFrame, growth: pd.DataFrame) -> Figure:
    """The four panels side by side, as in the paper: error, time, backward NFE, NFE in training."""
    fig, axes = panels(1, 4, height=2.75)
    error, duration, counts, training = axes[0]
    tolerance_tradeoff.draw_error(error, tradeoff)
    tolerance_tradeoff.draw_time(duration, tradeoff)
    backward_nfe.draw_apart(counts, backward)
    nfe_growth.draw_evaluations(training, growth)
    label_panels(axes[0])
    add_legend(fig, _legend(), ncols=5)
    return fig


def _legend() -> list[Line2D]:
    """Solvers of (a) to (c), and the tolerances of (d)."""
    adams = Line2D([], [], label="adams, in (c)", **solver_look("adams"))
    logs = Line2D([], [], color="0.15", marker="x", linestyle="", label="authors' logs, in (c)")
    return [*tolerance_tradeoff.legend(), adams, logs, *nfe_growth.tolerance_legend()]
