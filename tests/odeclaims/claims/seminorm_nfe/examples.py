"""Rows that nobody measured: nets whose way back one norm makes cheaper than another."""

import pandas as pd

from odeclaims.claims.seminorm_nfe import CLAIM
from odeclaims.claims.seminorm_nfe.settings import (
    LOSSES,
    NORMS,
    POOLED_POINTS,
    TASKS,
    TOLERANCES,
)

FLAT = 1002


def make_rows(
    saving: float = 0.4,
    *,
    of_sum: float = 0.4,
    on_mixed: float = 0.3,
    pooled: float = 0.4,
    best: float = 0.6,
    error_ratio: float = 1.0,
    seeds: int = 8,
    digits: int = 4,
    untaught: tuple[str, ...] = (),
    reference_error: float = 1e-9,
    width: int = 64,
) -> pd.DataFrame:
    """Rows of a run.

    Args:
        saving: of the seminorm against the flat norm, with the mean loss.
        of_sum: with the summed loss.
        on_mixed: against the mixed norm, with either.
        pooled: of the nets of the pool.
        best: of the moons at the tightest tolerance, against the flat norm.
        error_ratio: error of the seminorm's gradient over that of the flat norm's.
        seeds, digits: nets of a task that is trained here, and of digits.
        untaught: tasks that have not been learnt.
        reference_error: the uncertainty of the gradients' reference.
        width: units of a hidden layer.
    """
    rows = []
    nets = [(task, "", i) for task in TASKS for i in range(digits if task == "digits" else seeds)]
    nets += [(POOLED_POINTS, net, i) for net in ("spheres_node", "spheres_anode") for i in range(3)]
    for task, net, seed in nets:
        common = {"task": task, "net": net or None, "repetition": seed, "width": width}
        common |= {"error": 10.0 if task in untaught else 0.01, "intervals": 1}
        for tolerance in TOLERANCES:
            for loss in LOSSES:
                spared = pooled if task == POOLED_POINTS else saving if loss == "mean" else of_sum
                if (task, tolerance, loss) == ("moons", TOLERANCES[-1], "mean"):
                    spared = best
                # A flat solve that is a decade tighter takes twice the evaluations.
                flat = FLAT * 2 ** TOLERANCES.index(tolerance)
                semi = _whole(flat * (1 - spared) * (1 + seed / 1000))
                counts = {"flat": _whole(flat), "mixed": _whole(semi / (1 - on_mixed))}
                counts["seminorm"] = semi
                for norm in NORMS:
                    error = tolerance * (error_ratio if norm == "seminorm" else 1.0)
                    rows.append(
                        {
                            **common,
                            "tolerance": tolerance,
                            "norm": norm,
                            "loss": loss,
                            "nfe_forward": 62,
                            "nfe_backward": counts[norm],
                            "state_error": tolerance,
                            "gradient_error": error,
                            "reference_error": reference_error,
                            "valid": error < 1e-2 and reference_error < 5e-3,
                        }
                    )
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns)).assign(status="ok")


def _whole(count: float) -> int:
    """The count of whole steps that is the nearest."""
    return 2 + 6 * round((count - 2) / 6)
