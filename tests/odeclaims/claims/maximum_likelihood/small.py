"""Small measurements, which the tests of several rooms look at."""

from typing import Any

import pandas as pd

from odeclaims.cell import Cell, Context
from odeclaims.claims.maximum_likelihood import CLAIM
from odeclaims.trained.recipes.likelihood_flows import SIZE

COMMON: dict[str, Any] = {
    **SIZE,
    "repetitions": 1,
    "batch_size": 32,
    "even_time": 1,
    "compiled": False,
    "judged": 1,
    "evaluation_points": 1000,
    "drawn_points": 10,
}


def cell(net: str, iterations: int = 3, **params) -> Cell:
    """A cell that trains its flows, and judges all of them."""
    both = {"judged": params["repetitions"]} if "repetitions" in params else {}
    own = {"net": net, "weights": "", **COMMON, "iterations": iterations}
    return Cell(CLAIM.slug, {**own, **both, **params})


def measured(chosen: Cell, context: Context | None = None) -> pd.DataFrame:
    rows = CLAIM.measure(chosen, context or Context())
    common = {**chosen.params, "status": "ok", "device": "cpu", "solver": "ours"}
    return pd.DataFrame([{**common, **row} for row in rows])
