"""Rows that nobody measured, for the tests of judging and showing."""

import pandas as pd

from odeclaims.claims.tolerance_tradeoff import CLAIM
from odeclaims.claims.tolerance_tradeoff.settings import CLASSIFIER, METHODS

TOLERANCES = [10.0**-i for i in range(6)]


def made_up(
    *,
    slope: float = 0.9,
    time_slope: float = 1.0,
    order: float = 5.0,
    seeds: int = 8,
    lost: float = 0.01,
    test_error: float | None = 0.01,
    tolerances: list[float] = TOLERANCES,
) -> pd.DataFrame:
    """Rows of nets whose errors and times follow power laws, all alike but for a little.

    Args:
        slope: of log error over log tolerance.
        time_slope: of log time over log NFE.
        order: of the error over the evaluations, which are a power of the error.
        seeds: nets.
        lost: how much more is wrong at tolerance 1, as a fraction.
        test_error: at every other tolerance; ``None`` for nets that do not classify.
        tolerances: of the solves.
    """
    size = {"channels": 8, "batch_size": 8, "images": 100, "epochs": 2, "tightest": 5}
    rows = []
    for seed in range(seeds):
        common = {**size, "repetition": seed, "status": "ok", "test_error": test_error or 0.6}
        for tolerance in tolerances:
            where = {**common, "tolerance": tolerance}
            error = (0.1 + seed / 1000) * tolerance**slope
            nfe = 2 + 6 * round(error ** (-1 / order))
            for method in METHODS:
                measured = {
                    "method": method,
                    "nfe_forward": nfe,
                    "error": error,
                    "time_s": 1e-3 * nfe**time_slope,
                    "field_time_s": 1e-3,
                    "valid": tolerance < 1e-3,
                }
                rows.append({**where, **measured})
            if test_error is not None:
                more = lost if tolerance == 1 else 0.0
                rows.append({**where, "method": CLASSIFIER, "test_error": test_error + more})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
