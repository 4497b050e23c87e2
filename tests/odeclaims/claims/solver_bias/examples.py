"""Rows that nobody measured: nets that are off as predicted, and fits that end at roots."""

from collections.abc import Mapping

import pandas as pd

from odeclaims.claims.solver_bias import CLAIM
from odeclaims.claims.solver_bias.roots import STABILITY, roots
from odeclaims.claims.solver_bias.settings import FACTORS, RATES

STEPS = {"euler": (0.02, 0.04, 0.08, 0.16), "midpoint": (0.05, 0.08, 0.1), "rk4": ()}
ORDERS = {"euler": 1, "midpoint": 2, "rk4": 4}


def make_rows(
    *,
    seeds: int = 8,
    steps: Mapping[str, tuple[float, ...]] = STEPS,
    orders: Mapping[str, float] = ORDERS,
    predicted: float = 0.03,
    residual: float = 0.02,
    rise: float = 40.0,
    power: float = -1.0,
    starts: int = 12,
    off: float = 0.0,
    which: tuple[int, ...] = (0, 1, 2, 3),
    unsolved: int = 0,
    pairs: int = 400,
) -> pd.DataFrame:
    """The rows of a run.

    Args:
        seeds: of each net.
        steps: of each method.
        orders: with which the error to the true field rises.
        predicted: error to the predicted field over that to the true one.
        residual: of a net, over the leading term.
        rise: error in the finest steps over that in the steps as trained.
        power: mean power of a net.
        starts: fits of each linear field.
        off: distance of a fit from its root.
        which: the roots that fits end at, by their places from the largest real part.
        unsolved: how many of the starts of each field stop elsewhere.
        pairs: of states.
    """
    rows = []
    for method, sizes in steps.items():
        for step in sizes:
            for seed in range(seeds):
                error = (1 + 0.01 * seed) * step ** orders[method]
                size = {"problem": "pendulum", "method": method, "step": step, "pairs": pairs}
                common = {**size, "repetition": seed, "seed": seed, "status": "ok"}
                field = {"residual": residual * error, "leading": error, "error_true": error}
                field |= {"error_predicted": predicted * error, "energy_drift": 1e-12}
                rows.append({**common, "kind": "field", **field, "power": power})
                for factor in FACTORS:
                    ratio = rise if factor < 1 else factor
                    solve = {"factor": factor, "solve_error": 1e-3 * ratio}
                    solve["solve_error_true"] = 1e-2 * factor
                    rows.append({**common, "kind": "solve", **solve})
    for method in STABILITY:
        for real, imaginary in RATES:
            rate = {"rate_real": real, "rate_imaginary": imaginary}
            every = sorted(roots(method, 1.0, complex(real, imaginary)), key=lambda z: -z.real)
            for start in range(starts):
                root = every[which[start % len(which)] % len(every)] + off
                root += 0.5 if start < unsolved else 0
                learnt = {"learnt_real": root.real, "learnt_imaginary": root.imag}
                learnt["residual"] = 0.2 if start < unsolved else 1e-16
                fit = {"problem": "linear", "method": method, "step": 1.0, **rate, "kind": "fit"}
                common = {"repetition": 0, "seed": 7, "status": "ok", "start": start}
                rows.append({**fit, **common, **learnt})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
