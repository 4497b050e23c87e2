"""The figure and the table of small runs."""

import pandas as pd

from odeclaims.claims.annulus_generalisation import CLAIM
from odeclaims.claims.annulus_generalisation.settings import (
    AUGMENT_DIMS,
    CITED,
    COMPARED,
    TOLERANCES,
    WEDGES,
)
from odeclaims.claims.annulus_generalisation.show import _typical
from tests.odeclaims.claims.annulus_generalisation.examples import cell, measure
from tests.odeclaims.claims.annulus_generalisation.test_judge import make_rows


def test_figure_and_table_show_every_model_and_width():
    cells = [cell(p) for p in AUGMENT_DIMS]
    cells += [cell(p, w) for w in WEDGES if w != CITED for p in COMPARED]
    df = pd.concat([measure(one) for one in cells]).reindex(columns=list(CLAIM.all_columns))
    fig = CLAIM.figure(df)
    assert len(fig.axes) == 2 * len(COMPARED) + 3
    # Trained for two epochs the only seed is wrong, and there is none that is right.
    titles = [ax.get_title() or ax.get_title(loc="left") for ax in fig.axes[:2]]
    assert "NODE: 1 wrong" in titles[0]
    assert "NODE: 0 right" in titles[1]
    table = CLAIM.table(df)
    assert table["model"].drop_duplicates().tolist() == ["NODE", "ANODE, 5", "ANODE, 1"]
    assert table["wedge"].drop_duplicates().tolist() == list(WEDGES)
    assert len(table) == len(cells) * len(TOLERANCES)


def test_the_seed_that_is_drawn_is_the_median_of_its_group():
    df = make_rows({0: 0.0})
    for seed, accuracy in enumerate((0.2, 0.9, 1.0, 0.4)):
        one = (df["augment_dim"] == 0) & (df["repetition"] == seed) & (df["kind"] == "result")
        df.loc[one, "held_out_accuracy"] = accuracy
    drawn = df[df["repetition"] < 4]
    assert (_typical(drawn, "wrong"), _typical(drawn, "right")) == (3, 2)
    assert _typical(df[df["repetition"] >= 4], "right") is None
