"""The rows of the smoke run, which several tests look at."""

import pandas as pd
import pytest

from odeclaims.cell import Context, Profile
from odeclaims.claims.backward_nfe import CLAIM


@pytest.fixture(scope="session")
def smoke() -> pd.DataFrame:
    rows = []
    for cell in CLAIM.cells(Profile("smoke")):
        common = {"status": "ok", "repetition": cell.repetition, "device": "cpu"}
        rows += [{**cell.params, **common, **row} for row in CLAIM.measure(cell, Context())]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
