"""Rows of every arm, which the tests of several rooms look at."""

import pandas as pd
import pytest

from odeclaims.cell import Cell
from odeclaims.claims.maximum_likelihood import CLAIM
from odeclaims.trained.recipes.likelihood_flows import NETS
from tests.odeclaims.claims.maximum_likelihood.small import cell, measured


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """Every arm after few iterations, and the data."""
    data = Cell(CLAIM.slug, {"arm": "data", "drawn_points": 10})
    parts = [measured(chosen) for chosen in (*map(cell, NETS), data)]
    return pd.concat(parts).reindex(columns=list(CLAIM.all_columns))
