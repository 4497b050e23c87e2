"""Figure 3 as one picture: four panels in the paper's order, and nothing where rows are missing."""

import pandas as pd
import pytest

from odeclaims.claim import Claim
from odeclaims.claims._figure3 import CLAIMS, draw_figure3, figure3
from odeclaims.claims.nfe_growth.settings import TOLERANCES


def frame(claim: Claim, rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(claim.all_columns))


@pytest.fixture
def rows() -> list[pd.DataFrame]:
    common = {"status": "ok", "valid": True, "repetition": 0}
    tradeoff = [
        {**common, "method": "dopri5", "tolerance": tol, "nfe_forward": nfe, "error": tol}
        | {"time_s": nfe / 1e3}
        for tol, nfe in ((1e-2, 20), (1e-3, 26))
    ]
    backward = [
        {**common, "method": "adams", "tolerance": tol, "nfe_forward": nfe, "nfe_backward": nfe}
        | {"epochs": 1, "adjoint_factor": 1, "norm": "rms", "loss": "mean", "ratio": 1.0}
        for tol, nfe in ((1e-2, 20), (1e-3, 26))
    ]
    growth = [
        {**common, "task": "mnist", "role": role, "epoch": epoch, "nfe_forward": 20 + 6 * epoch}
        for role in TOLERANCES
        for epoch in (0, 1, 2)
    ]
    pairs = zip(CLAIMS, (tradeoff, backward, growth), strict=True)
    return [frame(claim, its_rows) for claim, its_rows in pairs]


def test_the_panels_stand_in_the_papers_order(rows):
    fig = figure3(*rows)
    labels = [(ax.get_xlabel(), ax.get_ylabel().split(" (")[0]) for ax in fig.axes]
    assert labels == [
        ("NFE forward", "relative error of the state"),
        ("NFE forward", "forward time"),
        ("NFE forward", "NFE backward"),
        ("training epoch", "NFE forward"),
    ]
    assert [ax.get_title(loc="left")[:3] for ax in fig.axes] == ["(a)", "(b)", "(c)", "(d)"]
    assert all(ax.lines for ax in fig.axes)


def test_nothing_is_drawn_without_the_rows_of_all_three(tmp_path):
    assert draw_figure3(tmp_path, "quick", tmp_path) == ([], [])


def test_every_look_in_the_legend_stands_for_one_thing(rows):
    (legend,) = figure3(*rows).legends
    entries = [
        (line.get_color(), line.get_marker(), line.get_linestyle(), line.get_markerfacecolor())
        for line in legend.get_lines()
    ]
    assert len(set(entries)) == len(entries)
    marked = [(colour, marker) for colour, marker, *_ in entries if marker not in ("None", None)]
    assert len(set(marked)) == len(marked)
    labels = [text.get_text() for text in legend.get_texts()]
    assert {"(c) backward / forward 1", "(c) backward / forward 0.5"} <= set(labels)


def test_a_panel_without_digits_says_so(rows):
    tradeoff, backward, growth = rows
    panel = figure3(tradeoff, backward, growth.iloc[:0]).axes[3]
    assert "no net that learnt" in panel.texts[0].get_text()
