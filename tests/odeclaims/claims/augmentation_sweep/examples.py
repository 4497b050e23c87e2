"""Made-up sweeps."""

import pandas as pd

from odeclaims.claims.augmentation_sweep import CLAIM
from odeclaims.claims.augmentation_sweep.judge import PARAMETERS
from odeclaims.claims.augmentation_sweep.measure import models
from odeclaims.claims.augmentation_sweep.settings import TASKS, TOLERANCES

TASK_NAMES = list(TASKS)
MODELS = [(task, model) for task in TASKS for model in models(task)]

GOOD = {
    "node": {"loss": 0.02, "dense_accuracy": 0.99, "nfe_forward": 200, "mse": 1.0},
    "anode": {"loss": 0.01, "dense_accuracy": 1.0, "nfe_forward": 100, "mse": 1e-4},
    "second_order": {"loss": 0.01, "dense_accuracy": 1.0, "nfe_forward": 100, "mse": 1e-4},
    "input_layer": {"loss": 0.01, "dense_accuracy": 1.0, "nfe_forward": 100, "mse": 1e-4},
}
BUDGET = {"points": 3000, "epochs": 50, "batch_size": 64, "learning_rate": 1e-3}


def make_rows(
    seeds: int = 10,
    changed: dict[tuple[str, int | None], dict[str, float]] | None = None,
    invalid: tuple[tuple[str, int], ...] = (),
    **budget: int,
) -> pd.DataFrame:
    """Rows of every seed alike.

    Args:
        seeds: how many.
        changed: other values for an arm and an ``augment_dim``, or all of the arm for ``None``.
        invalid: (arm, seed) whose checked flow fails a check.
    """
    rows = []
    for seed in range(seeds):
        for task, model in MODELS:
            arm, p = model["arm"], model["augment_dim"]
            values = {**GOOD[arm]}
            for key in ((arm, None), (arm, p)):
                values |= (changed or {}).get(key, {})
            quality = "mse" if task == "crossing" else "dense_accuracy"
            common = {**model, **BUDGET, **budget, "task": task, "repetition": seed, "status": "ok"}
            common |= {"seed": 100 * seed + TASK_NAMES.index(task)}
            rows.append(
                {**common, "kind": "training", "epoch": 1, "loss": 1.0, "training_nfe": 20.0}
            )
            rows += [
                {
                    **common,
                    "kind": "result",
                    "role": role,
                    "tolerance": tolerance,
                    "loss": values["loss"],
                    "training_nfe": 30.0,
                    "parameters": PARAMETERS.get(f"{arm} {p}", 1400),
                    "nfe_forward": values["nfe_forward"],
                    quality: values[quality],
                    "reconstruction_error": 1e-4,
                    "valid": role == "checked" and (arm, seed) not in invalid,
                }
                for role, tolerance in TOLERANCES.items()
            ]
    for task, model in MODELS:
        rows.append(
            {
                "kind": "cost",
                "task": task,
                **model,
                "batch_size": 64,
                "nfe_forward": 40,
                "time_s": 4e-3,
                "status": "ok",
                "repetition": 0,
            }
        )
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
