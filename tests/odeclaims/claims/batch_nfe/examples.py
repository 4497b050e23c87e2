"""Rows that nobody measured: ratios of oscillators, and of nets."""

import pandas as pd

from odeclaims.claims.batch_nfe import CLAIM
from odeclaims.claims.batch_nfe.settings import MUS, NET_SAMPLES, NORMS, SAMPLES, TOLERANCES

SINGLE = 200.0


def make_rows(
    largest: float = 4.3,
    nets: float = 1.1,
    untrained: float = 1.05,
    own: float = 1.05,
    *,
    joint_error: float = 3e-3,
    single_error: float = 1e-4,
    draws: int = 10,
    seeds: int = 8,
) -> pd.DataFrame:
    """Rows of a run.

    Args:
        largest: ratio of the largest batches at mu = 10; other batches have less.
        nets, untrained: ratios of the nets after and before their training.
        own: ratio of all batches whose samples have their own steps.
        joint_error, single_error: the worst errors.
        draws: batches.
        seeds: nets.
    """
    rows = []
    errors = {"error_joint": joint_error, "error_single": single_error}
    errors |= {"error_own": single_error, "nfe_own": own * SINGLE, "ratio_own": own}
    for mu in MUS:
        for role, tolerance in TOLERANCES["vdp"].items():
            for norm in NORMS:
                for draw in range(draws):
                    for count in SAMPLES:
                        ratio = largest if mu == 10 else largest / 2
                        ratio *= (count / SAMPLES[-1]) ** 0.3 * (1 + draw / 1000)
                        oscillator = {"task": "vdp", "mu": mu, "role": role, "norm": norm}
                        batch = {"tolerance": tolerance, "draw": draw, "samples": count}
                        rows.append({**oscillator, **batch, **errors, **_counts(ratio)})
    for trained, ratio in ((True, nets), (False, untrained)):
        for seed in range(seeds):
            for role, tolerance in TOLERANCES["net"].items():
                for draw in range(draws):
                    for count in NET_SAMPLES:
                        net = {"task": "net", "recipe": "reduced_ode_net", "net": "ode_net"}
                        which = {"trained": trained, "repetition": seed, "role": role}
                        batch = {"tolerance": tolerance, "draw": draw, "samples": count}
                        found = {**errors, **_counts(ratio + seed / 1000)}
                        rows.append({**net, **which, **batch, "norm": "rms", **found})
    df = pd.DataFrame(rows, columns=list(CLAIM.all_columns)).assign(status="ok")
    return df.assign(repetition=df["repetition"].fillna(0))


def _counts(ratio: float) -> dict[str, float]:
    """Counts of whole steps whose ratio is about this one."""
    joint = 2 + 6 * round((ratio * SINGLE - 2) / 6)
    single = {"nfe_single": SINGLE, "nfe_hardest": SINGLE}
    return {"nfe_joint": joint, "ratio": joint / SINGLE, **single}
