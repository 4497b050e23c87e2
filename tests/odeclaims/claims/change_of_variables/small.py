"""Small measurements of every part, which the tests of several rooms look at."""

from typing import Any

import pandas as pd
import torch

from odeclaims.cell import Cell, Context
from odeclaims.claims.change_of_variables import CLAIM

SMALL: dict[str, dict[str, Any]] = {
    "determinant": {"field": "planar", "dim": 2},
    "mass": {"field": "linear", "dim": 2, "most_intervals": 32},
    "printed": {"field": "planar", "dim": 2},
    "cost": {"field": "constant", "dim": 4},
    "estimate": {"field": "concatsquash", "dim": 3, "draws": 4000},
    "noise": {"field": "concatsquash", "dim": 2},
}
UNIT = {"field": "unit", "dim": 2, "most_intervals": 32}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def measured(part: str, **params: Any) -> pd.DataFrame:
    params = {"part": part, **(params or SMALL[part])}
    rows = CLAIM.measure(Cell(CLAIM.slug, params), Context())
    df = pd.DataFrame([{**params, "repetition": 0, "status": "ok", **row} for row in rows])
    assert set(df.columns) <= set(CLAIM.all_columns)
    return df.reindex(columns=list(CLAIM.all_columns))


def column(df: pd.DataFrame, name: str, by: str) -> dict[Any, Any]:
    return dict(zip(df[by], df[name], strict=True))
