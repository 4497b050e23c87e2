"""Figure 3 of Chen et al. 2018 as one picture, from the rows of the claims behind its panels."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from odeclaims.claims import backward_nfe, nfe_growth, tolerance_tradeoff
from odeclaims.claims.backward_nfe.show import draw_apart, ratio_legend
from odeclaims.claims.nfe_growth.show import draw_evaluations, tolerance_legend
from odeclaims.claims.tolerance_tradeoff.show import draw_error, draw_time, method_legend
from odeclaims.kits import marks
from odeclaims.record.results import Results
from odeclaims.report.pictures import Picture
from odeclaims.report.reuse import formulas_parsed_once
from odeclaims.report.style import (
    COLUMN_WIDTH,
    add_legend,
    label_panels,
    panels,
    save,
    style,
)

CLAIMS = (tolerance_tradeoff.CLAIM, backward_nfe.CLAIM, nfe_growth.CLAIM)
NAME = "figure3"
# Of four panels abreast, in inches: more than a page's, as the paper has it.
WIDTH = 9.2


def draw_figure3(read: Path, profile: str, out: Path) -> tuple[list[Path], list[Picture]]:
    """Draw it into the profile's folder, wide and for a column.

    Args:
        read: the folder of the results.
        profile: whose results are drawn.
        out: the results folder that is written.

    Returns:
        The files, none where a claim has no rows under that profile; and no picture, since the page
        has the panels with their claims.

    Raises:
        CorruptFile: where the rows of a claim are not what was written.
    """
    results = [Results(read, profile, claim) for claim in CLAIMS]
    if not all(r.data.exists() for r in results):
        return [], []
    rows, folder = [r.read() for r in results], out / profile
    with formulas_parsed_once():
        with style(WIDTH):
            paths = save(figure3(*rows), folder, NAME)
        with style(COLUMN_WIDTH):
            return paths + save(figure3(*rows), folder, f"{NAME}-column", ["pdf"]), []


def figure3(tradeoff: pd.DataFrame, backward: pd.DataFrame, growth: pd.DataFrame) -> Figure:
    """The four panels side by side, as in the paper: error, time, backward NFE, NFE in training.

    Args:
        tradeoff: the rows of ``tolerance_tradeoff``.
        backward: those of ``backward_nfe``.
        growth: those of ``nfe_growth``.
    """
    fig, axes = panels(1, 4, height=2.75)
    error, duration, counts, training = axes[0]
    draw_error(error, tradeoff)
    draw_time(duration, tradeoff)
    draw_apart(counts, backward)
    draw_evaluations(training, growth)
    label_panels(axes[0])
    add_legend(fig, _legend(), ncols=5)
    return fig


def _legend() -> list[Line2D]:
    """Solvers of (a) to (c), the logs and lines of (c) alone, and the tolerances of (d)."""
    tolerances = tolerance_legend()
    for handle in tolerances:
        handle.set_label(f"(d) at {handle.get_label()}")
    return [
        *method_legend(),
        marks.handle("(c) authors' logs", color="0.15", marker="x", linestyle=""),
        *ratio_legend("(c) backward / forward"),
        *tolerances,
    ]
