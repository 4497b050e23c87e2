"""Small cells of this claim."""

from typing import Any

import pandas as pd

from odeclaims.cell import Cell
from odeclaims.claims.annulus_generalisation import CLAIM
from odeclaims.claims.annulus_generalisation.settings import CITED, WEDGES
from tests.odeclaims.claims.small_runs import measure_rows

SMALL: dict[str, Any] = {
    "points": 48,
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 5e-3,
    "training_tolerance": 1e-3,
    "directions": 12,
    "reference_steps": 8,
}


def cell(augment_dim: int, wedge: str = CITED, repetition: int = 0, **changed) -> Cell:
    params = {"augment_dim": augment_dim, "wedge": wedge, "wedge_rad": WEDGES[wedge]}
    return Cell(CLAIM.slug, {**params, **SMALL, **changed}, repetition, paired=tuple(params))


def measure(one: Cell) -> pd.DataFrame:
    return measure_rows(CLAIM, one)
