"""Small cells of this claim."""

from functools import cache
from typing import Any

import pandas as pd

from odeclaims.cell import Cell
from odeclaims.claims.annulus import CLAIM
from tests.odeclaims.claims.small_runs import measure_rows

SMALL: dict[str, Any] = {
    "points": 48,
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 5e-3,
    "fineness": 24,
    "reference_steps": 8,
}
FLOW = {**SMALL, "training": "checked", "training_tolerance": 1e-3, "augment_dim": 0}
ARMS = {
    "node": FLOW,
    "anode": {**FLOW, "augment_dim": 5},
    "resnet": SMALL,
    "resnet_relu": SMALL,
}


def measure(repetition: int = 0, **params) -> pd.DataFrame:
    return measure_rows(CLAIM, Cell(CLAIM.slug, params, repetition))


@cache
def measured(repetition: int = 0, **params) -> pd.DataFrame:
    """The same rows, measured once for all tests that only read them."""
    return measure(repetition, **params)
