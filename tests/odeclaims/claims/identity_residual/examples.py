"""Invented rows of a run, in which the residual networks are as good as they are said to be."""

import numpy as np
import pandas as pd

from odeclaims.claims.identity_residual import CLAIM
from odeclaims.claims.identity_residual.settings import ARMS, DEEP, SHALLOW, TARGETS

Key = tuple[str, int, str]
ERRORS: dict[Key, float] = {
    **{("identity", SHALLOW, arm): 5e-3 for arm in ("plain", "plain_he")},
    **{("identity", DEEP, arm): 0.5 for arm in ("plain", "plain_he")},
    **{("near_identity", blocks, arm): 0.3 for blocks in (SHALLOW, DEEP) for arm in ARMS[1:]},
    **{("near_zero", blocks, arm): 0.01 for blocks in (SHALLOW, DEEP) for arm in ARMS[1:]},
    **{("identity", blocks, "residual"): 1e-3 for blocks in (SHALLOW, DEEP)},
    **{("near_identity", blocks, "residual"): 0.01 for blocks in (SHALLOW, DEEP)},
    **{("near_zero", blocks, "residual"): 0.05 for blocks in (SHALLOW, DEEP)},
}
DISTANCES = {"identity": 0.0, "near_identity": 0.2, "near_zero": 5.0}


def make_rows(
    changes: dict[Key, float] | None = None,
    seeds: int = 9,
    branch: float = 0.02,
    distances: dict[str, float] | None = None,
    scatter: float = 0.1,
) -> pd.DataFrame:
    """Rows at the start and at the end; at the second learning rate errors are twice as large."""
    generator = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for (target, blocks, arm), error in {**ERRORS, **(changes or {})}.items():
            for rate, factor in ((0.01, 1.0), (0.03, 2.0)):
                common = {
                    "target": target,
                    "blocks": blocks,
                    "iterations": 250,
                    "arm": arm,
                    "learning_rate": rate,
                    "distance": {**DISTANCES, **(distances or {})}[target],
                    "repetition": seed,
                    "status": "ok",
                }
                last = error * factor * np.exp(scatter * generator.standard_normal())
                rows.append({**common, "iteration": 0, "error": 1.0, "branch": 0.3})
                rows.append({**common, "iteration": 250, "error": last, "branch": branch})
    assert {row["target"] for row in rows} == set(TARGETS)
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
