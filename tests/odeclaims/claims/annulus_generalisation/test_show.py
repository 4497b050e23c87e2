"""The figure and the table of small runs."""

import pandas as pd

from odeclaims.claims.annulus_generalisation import CLAIM
from odeclaims.claims.annulus_generalisation.settings import (
    AUGMENT_DIMS,
    CITED,
    TOLERANCES,
    WEDGES,
)
from tests.odeclaims.claims.annulus_generalisation.examples import cell, measure


def test_figure_and_table_show_every_model_and_width():
    cells = [cell(p) for p in AUGMENT_DIMS] + [cell(0, w) for w in WEDGES if w != CITED]
    parts = [measure(one) for one in cells]
    df = pd.concat(parts).reindex(columns=list(CLAIM.all_columns))
    assert len(CLAIM.figure(df).axes) == len(AUGMENT_DIMS) + 3
    table = CLAIM.table(df)
    assert table["model"].drop_duplicates().tolist() == ["NODE", "ANODE, 1", "ANODE, 2", "ANODE, 5"]
    assert table["wedge"].drop_duplicates().tolist() == list(WEDGES)
    assert len(table) == len(cells) * len(TOLERANCES)
