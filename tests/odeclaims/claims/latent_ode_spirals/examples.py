"""Rows that nobody measured: models of any error, whose trainings have come to their end."""

import math
from collections.abc import Mapping
from itertools import product

import pandas as pd

from odeclaims.claims.latent_ode_spirals import CLAIM
from odeclaims.claims.latent_ode_spirals.settings import COUNTS, LATENT, NOISE, WINDOW

# Errors by model and number of observed points; the ratios of the first two are published ones.
ERRORS = {
    "latent_ode": dict(zip(COUNTS, (0.1642, 0.1502, 0.1346), strict=True)),
    "rnn": dict(zip(COUNTS, (0.3937, 0.3202, 0.1813), strict=True)),
    "rnn_dt": dict.fromkeys(COUNTS, 0.3),
    "lookup": dict.fromkeys(COUNTS, 0.2),
}
Place = tuple[str, int]


def make_rows(
    *,
    seeds: int = 10,
    counts: tuple[int, ...] = COUNTS,
    errors: Mapping[Place, float] | None = None,
    spread: float = 0.01,
    gains: Mapping[Place, float] | None = None,
    solver_difference: float = 1e-4,
    updates: int = 2000,
    half_errors: Mapping[Place, float] | None = None,
) -> pd.DataFrame:
    """The rows of a run.

    Args:
        seeds: of every model.
        counts: numbers of observed points.
        errors: by model and number of observed points, where they are not as published.
        spread: by how much the log error of a latent ODE differs between neighbouring seeds.
        gains: of the loss in the last tenth, by model and number of observed points.
        solver_difference: of the latent ODEs.
        updates: of the weights, in batches of 100.
        half_errors: after half of the updates, where they are not those after all.
    """
    rows = []
    for points, share in product(counts, (1, 2)):
        changed = {**(errors or {}), **((half_errors or {}) if share == 2 else {})}
        for arm, usual in ERRORS.items():
            if arm == "lookup" and share == 2:
                continue
            error = changed.get((arm, points), usual[points])
            size = {"arm": arm, "points": points, "noise": NOISE, "updates": updates // share}
            for seed in range(seeds):
                off = spread * (seed - (seeds - 1) / 2) if arm == "latent_ode" else 0
                common = {**size, "batch": 100, "repetition": seed, "seed": 100 * points + seed}
                result = _errors(error * math.exp(off))
                if arm != "lookup":
                    result |= {"late_gain": (gains or {}).get((arm, points), 0.004), "loss": 50}
                    result |= {"parameters": 800}
                    rows += _losses(common) if points == COUNTS[0] else []
                if arm in LATENT:
                    result |= {"solver_difference": solver_difference, "training_nfe": 56.0}
                rows.append({**common, "kind": "result", **result})
            rows += _points(size) if points == COUNTS[0] else []
    return pd.DataFrame([{"status": "ok", **row} for row in rows], columns=list(CLAIM.all_columns))


def _losses(common: dict) -> list[dict]:
    return [{**common, "kind": "loss", "part": part, "loss": 500 / part} for part in (1, 5, 10)]


def _errors(error: float) -> dict[str, float]:
    return {
        "rmse": error,
        "rmse_noisy": math.hypot(error, NOISE),
        "rmse_clockwise": 1.2 * error,
        "rmse_counter": 0.8 * error,
        "rmse_seen": 0.5 * error,
        "rmse_unseen": 2 * error,
        "rmse_median": 0.7 * error,
    }


def _points(size: dict) -> list[dict]:
    """Circles in the place of the windows."""
    rows = []
    for window in range(2):
        for place in range(0, 2 * WINDOW, 10):
            x, y = math.cos(place / 50), math.sin(place / 50)
            row = {"kind": "point", "repetition": 0, "seed": 1, "window": window, "place": place}
            row |= {"curve": window, "true_x": x, "true_y": y}
            if place < WINDOW:
                row |= {"observed_x": x + 0.05, "observed_y": y}
            if place >= WINDOW or size["arm"] == "latent_ode":
                row |= {"predicted_x": x, "predicted_y": y + 0.02}
            if size["arm"] == "latent_ode":
                row |= {"latent_x": x, "latent_y": -y}
            rows.append({**size, **row})
    return rows
