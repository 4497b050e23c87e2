"""The figure, its pictures and the table of small runs."""

import pytest
import torch

from odeclaims.cell import Cell
from odeclaims.claims.density_matching import CLAIM
from odeclaims.claims.density_matching.judge import NAMES, caveats
from odeclaims.claims.density_matching.show import read_picture
from tests.odeclaims.claims.density_matching.small import COMMON, TARGET, cell, framed


def test_pictures_are_densities():
    df = framed(TARGET, cell("nf"))
    for arm, width in (("target", None), ("nf", 2)):
        picture = read_picture(df, arm, "U1", width)
        assert picture.shape == (64, 64)
        assert float(picture.sum()) / 1000 / 8**2 == pytest.approx(1, abs=0.03)
    # The ring is symmetric, and empty in the middle.
    ring = read_picture(df, "target", "U1", None)
    assert (ring == ring[::-1]).all()
    assert (ring == ring[:, ::-1]).all()
    assert ring[31, 31] == 0
    # U4 branches downward on the right: the lines are counted from below.
    fork = read_picture(df, "target", "U4", None)
    assert fork[:20, 48:].sum() > 100
    assert fork[44:, 48:].sum() < 100
    logs = df[df["kind"] == "target"].set_index("target")["log_normaliser"]
    assert logs["U1"] == pytest.approx(1.8775, abs=1e-4)


@pytest.mark.slow(reason="every arm is trained and drawn")
def test_figure_and_table_show_every_arm(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
    params = {"task": "timing", "width": 2, **COMMON, "steps": 1, "compiled": True}
    timing = Cell(CLAIM.slug, params)
    df = framed(TARGET, *(cell(arm) for arm in NAMES), timing)
    assert (df[df["kind"] == "timing"]["step_s"] > 0).all()
    assert df[df["kind"] == "timing"]["together"].tolist() == [1, 4] * 4
    # Two lines of target, NF, CNF and curves, and the bar of colours.
    assert len(CLAIM.figure(df).axes) == 2 * 4 + 1
    table = CLAIM.table(df)
    assert table["model"].tolist() == list(NAMES.values())
    assert {"KL U1", "KL U4", "steps"} <= set(table.columns)
    (sentence,) = (c for c in caveats(df) if c.startswith("Milliseconds of a step: "))
    assert sentence.count(" for 1 and ") == sentence.count(" for 4") == 4
    assert sentence.count(", compiled, ") == 1


def test_without_the_published_recipe_the_figure_shows_the_other_nf():
    df = framed(TARGET, cell("cnf"), cell("nf_adam_long"))
    axes = CLAIM.figure(df).axes
    assert all(ax.has_data() for ax in axes[:8])
    assert axes[2].images[0].get_array().max() > 0  # pyright: ignore
