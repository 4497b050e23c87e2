"""The figure and the table of small runs."""

import pandas as pd
import pytest

from odeclaims.claims.change_of_variables import CLAIM, estimates
from odeclaims.claims.change_of_variables.measure import FIELDS as MEASURED
from odeclaims.claims.change_of_variables.show import FIELDS, SUMMARIES
from tests.odeclaims.claims.change_of_variables.small import SMALL, UNIT, measured


def test_every_field_has_a_name():
    assert tuple(FIELDS) == MEASURED


@pytest.mark.slow(reason="every part is measured and drawn")
def test_figure_and_table_show_every_part(monkeypatch):
    monkeypatch.setattr(estimates, "STEP_LIMIT", 60)
    parts = [measured(part) for part in SMALL] + [measured("printed", **UNIT)]
    df = pd.concat(parts)
    assert len(CLAIM.figure(df).axes) == 6
    table = CLAIM.table(df)
    assert table["what"].nunique() == len(SUMMARIES)
    failed = table[table["setting"] == "renewed, tolerance 1e-07"]["failed"]
    assert failed.tolist() == ["1 of 1"]
