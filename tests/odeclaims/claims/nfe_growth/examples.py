"""Sizes of small runs, and rows that nobody measured: of digits, and of the toy problems."""

from collections.abc import Sequence

import pandas as pd

from odeclaims.claims.nfe_growth import CLAIM
from odeclaims.claims.nfe_growth.settings import ARMS, TOLERANCES, TOY_TOLERANCES, looks

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


def whole_steps(nfe: float) -> int:
    """The count of evaluations of whole steps of dopri5 that is nearest."""
    return 2 + 6 * round((nfe - 2) / 6)


def curve(growth: float, epochs: int = 8) -> list[int]:
    """NFE of the untrained net and after each epoch, rising evenly."""
    after = (200 * growth ** (i / (epochs - 1)) for i in range(epochs))
    return [whole_steps(nfe) for nfe in (500, *after)]


def made_up(
    checked: list[list[int]], loose: list[list[int]] | None = None, test_error: float = 0.01
) -> pd.DataFrame:
    """Rows of nets with these NFE after each epoch, from 0 on, valid at the checked tolerance."""
    rows = [
        {
            **SMALL,
            "arm": "node",
            "images": 60_000,
            "epochs": len(nfe) - 1,
            "epoch": epoch,
            "test_error": test_error,
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
    node: Sequence[tuple[int, int]] = ((50, 104),),
    anode: Sequence[tuple[int, int]] = ((50, 56),),
    task: str = "spheres",
    seeds: int = 8,
    invalid: tuple[tuple[int, str, int], ...] = (),
    test_error: float = 0.01,
    **size: int,
) -> pd.DataFrame:
    """Rows of seeds with these NFE after the first and the last epoch, and between them.

    Args:
        node, anode: NFE after the first and the last epoch, which the seeds have in turn.
        test_error: of every net.
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
            "test_error": test_error,
            "role": role,
            "tolerance": tolerance,
            "nfe_forward": whole_steps(
                ends[0] + (ends[1] - ends[0]) * (epoch - 1) / (size["epochs"] - 1)
            ),
            "rejected": 0,
            "reconstruction_error": 1e-5 if role == "checked" else 2e-2,
            "gradient_error": 1e-3,
            "reference_error": 1e-4,
            "valid": role == "checked" and (seed, arm, epoch) not in invalid,
            "status": "ok",
            "repetition": seed,
        }
        for seed in range(seeds)
        for arm, of_arm in (("node", node), ("anode", anode))
        for ends in [of_arm[seed % len(of_arm)]]
        for role, tolerance in TOY_TOLERANCES.items()
        for epoch in (0, *looks(size["epochs"]))
    ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
