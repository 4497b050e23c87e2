"""Sizes of small runs, and rows that nobody measured: of digits, and of the toy problems."""

import pandas as pd

from odeclaims.claims.nfe_growth import CLAIM
from odeclaims.claims.nfe_growth.settings import ARMS, TOLERANCES, TOY_TOLERANCES

SMALL = {
    "task": "mnist",
    "channels": 4,
    "images": 8,
    "test_images": 10,
    "batch_size": 4,
    "epochs": 2,
    "evaluated": 2,
    "reference_steps": 8,
}
POINTS = {
    "points": 3000,
    "batch_size": 64,
    "epochs": 12,
    "evaluated": 64,
    "reference_steps": 128,
}


def curve(growth: float, epochs: int = 8) -> list[float]:
    """NFE of the untrained net and after each epoch, rising evenly."""
    return [500, *(200 * growth ** (i / (epochs - 1)) for i in range(epochs))]


def made_up(checked: list[list[float]], loose: list[list[float]] | None = None) -> pd.DataFrame:
    """Rows of nets with these NFE after each epoch, from 0 on, valid at the checked tolerance."""
    rows = [
        {
            **SMALL,
            "epochs": len(nfe) - 1,
            "epoch": epoch,
            "test_error": 0.5 / (1 + epoch),
            "role": role,
            "tolerance": TOLERANCES[role],
            "nfe_forward": value,
            "rejected": 0,
            "reconstruction_error": 1e-5 if role == "checked" else 2e-2,
            "gradient_error": 1e-3 if role == "checked" else 1e-1,
            "reference_error": 1e-4,
            "valid": role == "checked",
            "status": "ok",
            "repetition": seed,
        }
        for role, curves in (("checked", checked), ("loose", loose or checked))
        for seed, nfe in enumerate(curves)
        for epoch, value in enumerate(nfe)
    ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def toys(
    node: tuple[float, float] = (100, 200),
    anode: tuple[float, float] = (100, 110),
    task: str = "spheres",
    seeds: int = 5,
    invalid: tuple[tuple[int, str, int], ...] = (),
    **size: int,
) -> pd.DataFrame:
    """Rows of seeds with these NFE after the first and the last epoch, and between them.

    Args:
        node, anode: NFE after the first and the last epoch.
        invalid: (seed, arm, epoch) that fail a check.
    """
    size = {**POINTS, **size}
    rows = [
        {
            **size,
            "task": task,
            "arm": arm,
            "augment_dim": ARMS[arm],
            "epoch": epoch,
            "test_error": 0.1,
            "role": role,
            "tolerance": tolerance,
            "nfe_forward": first + (last - first) * (epoch - 1) / (size["epochs"] - 1),
            "rejected": 0,
            "reconstruction_error": 1e-5 if role == "checked" else 2e-2,
            "gradient_error": 1e-3,
            "reference_error": 1e-4,
            "valid": role == "checked" and (seed, arm, epoch) not in invalid,
            "status": "ok",
            "repetition": seed,
        }
        for seed in range(seeds)
        for arm, (first, last) in (("node", node), ("anode", anode))
        for role, tolerance in TOY_TOLERANCES.items()
        for epoch in range(size["epochs"] + 1)
    ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
