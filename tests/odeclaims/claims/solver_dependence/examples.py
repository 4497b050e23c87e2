"""Rows that nobody measured: nets whose accuracy falls to a level from some step on."""

import pandas as pd

from odeclaims.claims.solver_dependence import CLAIM

POWERS = tuple(2**i for i in range(8))


def make_rows(
    critical: int = 64,
    steps: tuple[int, ...] = POWERS,
    *,
    net: str = "conv",
    seeds: int = 8,
    large: float = 0.4,
    small: float = 0.0,
    accuracy: float = 0.97,
    unlearnt: tuple[int, ...] = (),
    updates: int = 10_000,
) -> pd.DataFrame:
    """Tests of the nets of every number of steps.

    Args:
        critical: from so many steps on a net loses ``small``, before that ``large``.
        steps: in training.
        net: the field.
        seeds: of each.
        large, small: losses of accuracy by finer solvers.
        accuracy: by the solver of the training.
        unlearnt: seeds that are at chance by the solver of their training.
        updates: of the weights.
    """
    rows = []
    size = {"net": net, "method": "euler", "updates": updates, "learning_rate": 1e-4}
    for count in steps:
        for seed in range(seeds):
            own = (0.5 if seed in unlearnt else accuracy) + 1e-4 * seed
            lost = small if count >= critical else large
            common = {**size, "steps": count, "repetition": seed, "seed": seed, "kind": "test"}
            tests = [
                ("training", None, None, own),
                ("finer", "euler", 2 * count, own - lost / 2),
                ("finer", "euler", 64 * count, own - lost),
                ("finer", "rk4", count, own),
                ("flow", "dopri5", None, own - lost),
            ]
            for role, method, test_steps, found in tests:
                test = {"role": role, "test_method": method, "test_steps": test_steps}
                rows.append({**common, **test, "accuracy": found, "margin": 1.0, "status": "ok"})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
