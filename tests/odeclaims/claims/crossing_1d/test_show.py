"""The figure and the table of small runs."""

import pandas as pd

from odeclaims.claims.crossing_1d import CLAIM
from odeclaims.claims.crossing_1d.settings import CONFIRMING, REFINEMENTS, TOLERANCES
from tests.odeclaims.claims.crossing_1d.examples import FLOW, SMALL, measure


def test_figure_and_table_show_every_arm():
    parts = [
        measure(arm="node", **FLOW),
        measure(arm="anode", **{**FLOW, "augment_dim": 1}),
        measure(arm="euler", steps=1, **SMALL),
        measure(arm="resnet", **SMALL),
        measure(arm="linear", steps=1),
    ]
    df = pd.concat(parts).reindex(columns=list(CLAIM.all_columns))
    assert len(CLAIM.figure(df).axes) == 6
    table = CLAIM.table(df)
    assert table["model"].drop_duplicates().tolist() == [
        "NODE",
        "ANODE",
        "Euler",
        "ResNet",
        "y' = -2y",
    ]
    assert len(table) == 2 * len(TOLERANCES | CONFIRMING) + 3 * len(REFINEMENTS)
