"""Rows as a run would give them, from a measurement or invented."""

from typing import Any

import pandas as pd

from odeclaims.cell import Cell, Context
from odeclaims.claims.euler_resnet import CLAIM
from odeclaims.claims.euler_resnet.settings import SLUG


def frame(rows: list[dict]) -> pd.DataFrame:
    """These rows with the columns of the claim."""
    common = {"status": "ok", "repetition": 0}
    return pd.DataFrame([common | row for row in rows], columns=list(CLAIM.all_columns))


def measure(**params: Any) -> pd.DataFrame:
    """The rows of a cell with these parameters."""
    cell = Cell(SLUG, params, paired=("arm", "depth"))
    return frame([{**params, **row} for row in CLAIM.measure(cell, Context())])
