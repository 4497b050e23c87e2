"""Rows that nobody measured, for the tests of judging and showing."""

import pandas as pd

from odeclaims.claims.backward_nfe import CLAIM
from odeclaims.claims.backward_nfe.measure import both_counts
from odeclaims.claims.backward_nfe.settings import METHODS

TOLERANCES = [10.0**-i for i in range(8)]


def made_up(
    ratio: float | dict = 0.5, *, seeds=8, tolerances=TOLERANCES, **changed
) -> pd.DataFrame:
    """Rows of the trained net at the published setting, with one ratio for each solver."""
    size = {"epochs": 5, "images": 60_000, "batch_size": 128, "channels": 8, "test_error": 0.01}
    size["trained"] = True
    checks = {"reconstruction_error": 1e-3, "gradient_error": 1e-3, "valid": True, "status": "ok"}
    setting = {"adjoint_factor": 1, "norm": "rms", "loss": "mean"}
    rows = []
    for method in METHODS:
        of_method = ratio[method] if isinstance(ratio, dict) else ratio
        counts = both_counts(200, round(200 * of_method))
        counts |= {"calls_forward": 200, "calls_backward": round(200 * of_method)}
        for repetition in range(seeds):
            for tolerance in tolerances:
                which = {"method": method, "repetition": repetition, "tolerance": tolerance}
                rows.append({**size, **checks, **setting, **counts, **which, **changed})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
