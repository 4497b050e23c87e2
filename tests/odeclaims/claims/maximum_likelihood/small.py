"""Small measurements, which the tests of several rooms look at."""

from typing import Any

import pandas as pd

from odeclaims.cell import Cell, Context
from odeclaims.claims.maximum_likelihood import CLAIM

COMMON: dict[str, Any] = {
    "repetitions": 1,
    "batch_size": 32,
    "evaluation_points": 1000,
    "drawn_points": 10,
    "compiled": False,
    "even_time": 0,
}


def cell(arm: str, iterations: int = 3, **params) -> Cell:
    return Cell(CLAIM.slug, {"arm": arm, "iterations": iterations, **COMMON, **params})


def measured(chosen: Cell, context: Context | None = None) -> pd.DataFrame:
    rows = CLAIM.measure(chosen, context or Context())
    common = {**chosen.params, "status": "ok", "device": "cpu", "solver": "ours"}
    return pd.DataFrame([{**common, **row} for row in rows])
