"""Small measurements, which the tests of several rooms look at."""

from typing import Any

import pandas as pd

from odeclaims.cell import Cell, Context
from odeclaims.claims.density_matching import CLAIM

COMMON: dict[str, Any] = {
    "targets": "U1 U4",
    "repetitions": 2,
    "batch_size": 100,
    "evaluation_points": 2000,
    "learning_rate": 1e-3,
    "compiled": False,
}


def cell(arm: str, steps: int = 20, width: int = 2, **params) -> Cell:
    own = {"task": "training", "arm": arm, "width": width, "steps": steps}
    if arm == "nf":
        own["anneal_steps"] = 5
    return Cell(CLAIM.slug, {**own, **COMMON, **params})


def measured(chosen: Cell, context: Context | None = None) -> pd.DataFrame:
    rows = CLAIM.measure(chosen, context or Context())
    return pd.DataFrame([{**chosen.params, "status": "ok", "device": "cpu", **r} for r in rows])


def framed(*cells: Cell) -> pd.DataFrame:
    return pd.concat([measured(c) for c in cells]).reindex(columns=list(CLAIM.all_columns))


TARGET = Cell(CLAIM.slug, {"task": "target", "targets": "U1 U4"})
