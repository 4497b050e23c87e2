"""Cells of claims, measured as a run would, so small that a test can wait for them."""

import pandas as pd

from odeclaims.cell import Cell, Context
from odeclaims.claim import Claim


def measure_rows(claim: Claim, cell: Cell, context: Context | None = None) -> pd.DataFrame:
    """The rows of one cell, with what a run adds to them; they have no column that is not told."""
    common = {**cell.params, "repetition": cell.repetition, "status": "ok"}
    rows = claim.measure(cell, context or Context())
    df = pd.DataFrame([{**common, **row} for row in rows])
    assert set(df.columns) <= set(claim.all_columns)
    return df
