"""Invented rows of a run, in which every network does what theory says."""

from typing import Any

import numpy as np
import pandas as pd

from odeclaims.claims.universal_approximation import CLAIM
from odeclaims.claims.universal_approximation.settings import ABLE, FINE_GRID, GRID, NETWORKS

ERRORS = {"few_tanh": 0.4, "linear": 0.74, "square": 0.56, "relu_n": 0.74} | dict.fromkeys(
    ("tanh", "relu_n4", "relu_n1"), 0.1
)


def make_rows(
    coarse: dict[str, float] | None = None,
    fine: dict[str, float] | None = None,
    unexplained: float = 1.0,
    seeds: int = 10,
    able_from: int = 0,
    narrow: float = 0.6,
) -> pd.DataFrame:
    """Rows of every network: the last seed's errors may be given, on either grid.

    Of the networks that can, those before the seed ``able_from`` do not learn it; ``narrow`` is
    what those of width n leave unexplained.
    """
    rows: list[dict[str, Any]] = []
    for network in NETWORKS:
        for seed in range(seeds):
            common = {"network": network, "iterations": 400, "repetition": seed, "status": "ok"}
            error = ERRORS[network] if network not in ABLE or seed >= able_from else 0.74
            last = seed == seeds - 1
            for grid, changes in ((GRID, coarse), (FINE_GRID, fine)):
                found = (changes or {}).get(network, error) if last else error
                result = {"kind": "result", "grid": grid, "largest_error": found}
                part = unexplained if network != "relu_n" else narrow
                rest = {"mean_error": error / 5, "unexplained": part}
                rows.append({**common, **result, **rest})
            for x in np.linspace(-1, 1, 5):
                rows.append({**common, "kind": "section", "x": float(x), "value": float(x)})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
