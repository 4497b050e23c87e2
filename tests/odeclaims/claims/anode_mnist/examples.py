"""Budgets and made-up accuracies."""

import pandas as pd

from odeclaims.claims.anode_mnist import CLAIM
from odeclaims.claims.anode_mnist.settings import (
    ALL_IMAGES,
    ARMS,
    PUBLISHED_EPOCHS,
    TOLERANCES,
)

SMALL = {
    "images": 8,
    "test_images": 10,
    "batch_size": 4,
    "epochs": 2,
    "evaluated": 2,
    "reference_steps": 256,
}

TABLE_1 = {
    "node": (95.9, 96.1, 96.3, 96.5, 96.7, 96.9),
    "anode": (98.1, 98.15, 98.2, 98.2, 98.25, 98.3),
}
COUNTS = {
    ("node", False): 84_395,
    ("anode", False): 84_816,
    ("node", True): 85_316,
    ("anode", True): 85_462,
}


def make_rows(
    accuracies: dict[str, tuple[float, ...]] = TABLE_1,
    nfe: tuple[int, int] = (190, 100),
    invalid: tuple[tuple[str, int], ...] = (),
    variants: tuple[bool, ...] = (False, True),
    epochs: int = PUBLISHED_EPOCHS,
    images: int = ALL_IMAGES,
    side: int = 28,
) -> pd.DataFrame:
    """Rows of nets with these accuracies in percent, a seed each.

    Args:
        accuracies: after the last epoch; the one before was a point lower.
        nfe: checked, of NODE and ANODE.
        invalid: (arm, seed) whose checked flow fails a check.
        variants: which are not left out.
        epochs, images: the budget.
        side: pixels; fewer than published are those of the reduced arm.
    """
    rows = []
    for time_dependent in variants:
        for arm, evaluations in zip(ARMS, nfe, strict=True):
            for seed, accuracy in enumerate(accuracies[arm]):
                common = {
                    **SMALL,
                    "arm": arm,
                    "filters": ARMS[arm].filters,
                    "augment_dim": ARMS[arm].augment_dim,
                    "time_dependent": time_dependent,
                    "epochs": epochs,
                    "images": images,
                    "side": side,
                    "parameters": COUNTS[arm, time_dependent],
                    "repetition": seed,
                    "status": "ok",
                }
                rows += [
                    {
                        **common,
                        "kind": "training",
                        "epoch": epochs - before,
                        "loss": 0.1,
                        "test_accuracy": (accuracy - before) / 100,
                        "training_nfe_forward": 30.0,
                        "training_nfe_backward": 40.0,
                    }
                    for before in (1, 0)
                ]
                rows.append({**common, "kind": "network", "test_accuracy": accuracy / 100})
                rows += [
                    {
                        **common,
                        "kind": "result",
                        "role": role,
                        "tolerance": tolerance,
                        "nfe_forward": evaluations if role == "checked" else 30,
                        "valid": role == "checked" and (arm, seed) not in invalid,
                    }
                    for role, tolerance in TOLERANCES.items()
                ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def count_rows() -> pd.DataFrame:
    """Rows of nets that were counted and not trained."""
    rows = [
        {
            "kind": "count",
            "arm": arm,
            "filters": ARMS[arm].filters,
            "augment_dim": ARMS[arm].augment_dim,
            "time_dependent": time_dependent,
            "parameters": count,
            "repetition": 0,
            "status": "ok",
        }
        for (arm, time_dependent), count in COUNTS.items()
    ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
