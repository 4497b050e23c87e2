"""Rows of the speed suite for tests, without a measurement."""

import math

import pandas as pd

from odeclaims.speed.cases import FIELD, Case
from odeclaims.speed.rows import COLUMNS, sort_rows


def make_frame(rows: list[dict]) -> pd.DataFrame:
    return sort_rows(pd.DataFrame(rows, columns=list(COLUMNS)))


def make_row(
    backend: str, tol: float, time_s: float, error: float, number: int = 0, **more
) -> dict:
    case = Case("mlp_forward", backend, None, tol)
    common = {
        **{"pass": number, "workload": "mlp_forward", "backend": backend, "gradient": "none"},
        **{"tol": tol, "own": case.at_own_tolerance, "time_s": time_s, "iqr_s": 0.0, "rounds": 1},
    }
    return common | {"error": error, "nfe_forward": 20} | more


def make_toy() -> pd.DataFrame:
    """Three passes of a machine that becomes slower; ours takes half the time and is less exact."""
    rows = []
    for number, drift in enumerate((1.0, 2.0, 10.0)):
        rows += [
            make_row("torchdiffeq", 1e-2, 4 * drift, 1e-2, number),
            make_row("torchdiffeq", 1e-3, 8 * drift, 1e-3, number),
            make_row("ours", 1e-2, 2 * drift, 1e-1, number),
            make_row("ours", 1e-3, 4 * drift, 1e-2, number),
            make_row("ours", 1e-4, 16 * drift, 1e-4, number),
            make_row(FIELD, 1e-3, 0.1 * drift, math.nan, number, nfe_forward=None),
        ]
    return make_frame(rows)
