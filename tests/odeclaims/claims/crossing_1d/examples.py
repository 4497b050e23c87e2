"""Small cells of this claim."""

from typing import Any

import pandas as pd

from odeclaims.cell import Cell
from odeclaims.claims.crossing_1d import CLAIM
from tests.odeclaims.claims.small_runs import measure_rows

SMALL: dict[str, Any] = {
    "augment_dim": 0,
    "points": 16,
    "epochs": 2,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "reference_steps": 8,
}
FLOW = {**SMALL, "training": "checked", "training_tolerance": 1e-3}


def measure(repetition: int = 0, **params) -> pd.DataFrame:
    return measure_rows(CLAIM, Cell(CLAIM.slug, params, repetition))
