"""How the rows are judged."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from odeclaims.claims.solver_bias.roots import nearest
from odeclaims.claims.solver_bias.settings import RATES, SOLVED
from odeclaims.kits import needs
from odeclaims.kits.rows import of, ok
from odeclaims.rules import Attempts, Better, Bounds, Possible, Scales, Share
from odeclaims.statement import Check, Size, Statement
from odeclaims.statistics import log_slope

NAMES = {"euler": "Euler's method", "midpoint": "the explicit midpoint method", "rk4": "rk4"}
SLOPES = {"euler": Bounds(0.8, 1.2), "midpoint": Bounds(1.8, 2.2)}
# With four central statements over seeds, seven cannot be decided.
LEAST_SEEDS, LEAST_STEPS, LEAST_SHARE = 8, 3, 0.8
# What is left of the loss hides a bias that is not ten times as large.
FLOOR = 0.1
# A net is what was predicted where it is ten times nearer to that than to the true field, in most
# cells of its seed.
NEARER, MOST = 0.1, 0.8
# Of linear fits to a root, and how many of each field must have ended at one.
MATCH = 1e-6
# An error that rises when the step is refined.
RISES = 2.0
DAMPED, COARSE = RATES[1], 1.0
PUBLISHED_PAIRS = 10_000
# Of a flow that is exact but for rounding.
DRIFT = 1e-9


def nets(df: pd.DataFrame, method: str) -> pd.DataFrame:
    """The nets that were trained through a method, a row for each step and seed."""
    return ok(df, kind="field", method=method)


def trained(df: pd.DataFrame, method: str) -> pd.DataFrame:
    """Those whose residual per unit of time is small beside the leading term of the bias."""
    rows = nets(df, method)
    return rows[rows["residual"] <= FLOOR * rows["leading"]]


def slopes(df: pd.DataFrame, method: str) -> pd.Series:
    """For each seed, the slope of log error to the true field over log step."""
    found = {
        repetition: log_slope(rows["step"].to_numpy(float), rows["error_true"].to_numpy(float))
        for repetition, rows in trained(df, method).groupby("repetition")
        if len(rows) >= LEAST_STEPS
    }
    return pd.Series(found, dtype=float)


def _slopes(df: pd.DataFrame, method: str) -> np.ndarray:
    return slopes(df, method).to_numpy()


def _nearness(df: pd.DataFrame, method: str) -> np.ndarray:
    """For each seed, the ratio of both errors that most of its cells do not exceed."""
    rows = trained(df, method)
    ratios = (rows["error_predicted"] / rows["error_true"]).groupby(rows["repetition"])
    return np.array([np.quantile(each, MOST, method="inverted_cdf") for _, each in ratios])


def refined(df: pd.DataFrame, method: str) -> pd.DataFrame:
    """For each trained net: its error in the finest steps over that in the steps as trained."""
    keys = ["step", "repetition"]
    rows = ok(df, kind="solve", method=method).merge(trained(df, method)[keys], on=keys)
    errors = rows.pivot_table("solve_error", keys, "factor")
    if 1.0 not in errors:
        return pd.DataFrame({"step": [], "repetition": [], "ratio": []}, dtype=float)
    return (errors[errors.columns.min()] / errors[1.0]).rename("ratio").reset_index()


def _rises(df: pd.DataFrame, method: str) -> np.ndarray:
    return refined(df, method).groupby("repetition")["ratio"].min().to_numpy(float)


def _powers(df: pd.DataFrame) -> np.ndarray:
    """For each seed, the power of the net that loses least."""
    return trained(df, "euler").groupby("repetition")["power"].max().to_numpy(float)


def fits(df: pd.DataFrame) -> pd.DataFrame:
    """All fits of linear fields."""
    return ok(df, kind="fit")


def solved(df: pd.DataFrame) -> pd.DataFrame:
    """The fits of linear fields that ended at a solution."""
    rows = fits(df)
    return rows[rows["residual"] <= SOLVED]


def at_rk4(df: pd.DataFrame) -> pd.DataFrame:
    """Those through rk4 of the damped field, at the step of the published example."""
    real, imaginary = DAMPED
    rows = of(solved(df), method="rk4", rate_real=real, rate_imaginary=imaginary)
    return of(rows, step=COARSE)


def _misses(rows: pd.DataFrame) -> list[float]:
    """How far each fit is from the nearest root of its stability polynomial."""
    misses = []
    for row in rows.to_dict("records"):
        learnt = complex(row["learnt_real"], row["learnt_imaginary"])
        rate = complex(row["rate_real"], row["rate_imaginary"])
        misses.append(abs(learnt - nearest(learnt, row["method"], row["step"], rate)))
    return misses


def _misses_of_solutions(df: pd.DataFrame) -> list[float]:
    return _misses(solved(df))


def _end_at_roots(df: pd.DataFrame) -> list[bool]:
    return [miss <= MATCH for miss in _misses(fits(df))]


def _grows(df: pd.DataFrame) -> Attempts:
    return Attempts(tuple(bool(each > 0) for each in at_rk4(df)["learnt_real"]))


def _turns_back(df: pd.DataFrame) -> Attempts:
    return Attempts(tuple(bool(each < 0) for each in at_rk4(df)["learnt_imaginary"]))


def _enough_trained(method: str, df: pd.DataFrame) -> str:
    every, good = len(nets(df, method)), len(trained(df, method))
    if good >= LEAST_SHARE * every:
        return ""
    return f"{good} of {every} nets have a residual of {FLOOR:g} of the bias or less"


def _of_nets(method: str) -> dict[str, Any]:
    """What every statement on the nets of a method needs, and rests on."""
    return {
        "needs": (
            needs.seeds(LEAST_SEEDS, partial(trained, method=method)),
            partial(_enough_trained, method),
        ),
        "rests_on": ("same_pairs", "true_flow"),
    }


def _seeds_of_repetitions(df: pd.DataFrame) -> list[float]:
    """For each seed of the nets, how many seeds of the generator they have."""
    return list(of(df, kind="field").groupby("repetition")["seed"].nunique())


def _drifts(df: pd.DataFrame) -> list[float]:
    return list(of(df, kind="field")["energy_drift"])


CHECKS = [
    Check(
        "solutions_are_roots",
        "A linear fit without an error has an eigenvalue that the stability polynomial predicts",
        _misses_of_solutions,
        Bounds(at_most=MATCH),
        "a field with R(h lambda) = exp(h rate) fits without an error, and no other does",
    ),
    Check(
        "same_pairs",
        "All nets of a repetition start from one set of weights and of states",
        _seeds_of_repetitions,
        Bounds(1, 1),
        "only the method and the step may differ",
    ),
    Check(
        "true_flow",
        "The flow that the nets are fitted to keeps the energy",
        _drifts,
        Bounds(at_most=DRIFT),
        "a bias of the data would be learnt too",
    ),
]


def _statements(method: str) -> list[Statement]:
    """What is said of the nets of a method."""
    name, order = NAMES[method], {"euler": 1, "midpoint": 2}[method]
    written = "exact" if method == "euler" else "the series to h^3"
    return [
        Statement(
            f"{method}_order",
            f"A field that was learnt through {name} is off by a term of order {order}",
            partial(_slopes, method=method),
            Scales(SLOPES[method]),
            "the theorem bounds the distance to the true field by O(h^p) and the loss; slope over"
            " the steps of a seed, with 0.2 for higher orders",
            central=True,
            **_of_nets(method),
        ),
        Statement(
            f"{method}_predicted",
            f"A field that was learnt through {name} is ten times nearer to its inverse modified"
            " equation than to the true field",
            partial(_nearness, method=method),
            Better(Bounds(at_most=NEARER), of="median"),
            "the paper says that training returns this field up to the loss; ratio of both errors"
            f" that {100 * MOST:g}% of the cells of a seed do not exceed, of the field that is"
            f" predicted ({written})",
            central=True,
            **_of_nets(method),
        ),
        Statement(
            f"{method}_fails_refinement",
            f"A net that was trained through {name} errs more when it is solved in finer steps",
            partial(_rises, method=method),
            Better(Bounds(at_least=RISES), of="median"),
            "the error of a model that is continuous does not rise when the step is refined"
            " (Krishnapriyan et al. 2023); error in the finest steps over that in the steps as"
            " trained, the least over the steps of a seed",
            **_of_nets(method),
        ),
    ]


STATEMENTS = [
    Statement(
        "linear_fits_end_at_roots",
        f"{100 * MOST:g}% of the linear fits or more end at an eigenvalue that the stability"
        " polynomial predicts",
        _end_at_roots,
        Share(Bounds(at_least=MOST)),
        "published of every fit; all fits from random starts count, and one may stop at a local"
        f" minimum, where no root is; within {MATCH:g} of a root",
        central=True,
        rests_on=("solutions_are_roots",),
    ),
    Statement(
        "rk4_antidamped",
        "A damped oscillation is identified as anti-damped through rk4",
        _grows,
        Possible(),
        "one of the four roots for -0.1 + 2i at a step of 1 is 0.105 + 1.927i; fits from random"
        " starts",
        central=True,
    ),
    *_statements("euler"),
    *_statements("midpoint"),
    Statement(
        "euler_loses_energy",
        f"A pendulum that was learnt through {NAMES['euler']} loses energy",
        _powers,
        Better(Bounds(at_most=0)),
        "methods that are not symplectic cannot learn a conservation law; the first term of the"
        " bias takes energy from every state of the domain but rest. Mean power over states, the"
        " largest over the steps of a seed",
        **_of_nets("euler"),
    ),
    Statement(
        "rk4_turns_back",
        "A damped oscillation is identified as turning backwards through rk4",
        _turns_back,
        Possible(),
        "two of the four roots for -0.1 + 2i at a step of 1 have a negative imaginary part",
    ),
]


def _share_of_published(df: pd.DataFrame) -> float:
    return float(of(df, kind="field")["pairs"].median()) / PUBLISHED_PAIRS


SIZE = Size("10,000 pairs of states", _share_of_published)


def caveats(df: pd.DataFrame) -> list[str]:
    """What was left out, which roots were found, and what else the nets show."""
    sentences = []
    every, stopped = len(fits(df)), len(fits(df)) - len(solved(df))
    if stopped:
        sentences.append(
            f"{stopped} of {every} linear fits stopped where a step misses the flow by more than"
            f" {SOLVED:g}. They count against the roots, and are left out of what is said of rk4."
        )
    rows = at_rk4(df)
    if len(rows):
        growing, back = sum(_grows(df).done), sum(_turns_back(df).done)
        sentences.append(
            f"Of {len(rows)} fits through rk4 of -0.1 + 2i at a step of {COARSE:g}, {growing} are"
            f" anti-damped and {back} turn backwards. The shares depend on where fits start:"
            " entries of the step size times the matrix are standard normal."
        )
    total, good = (sum(len(which(df, method)) for method in NAMES) for which in (nets, trained))
    if good < total:
        sentences.append(
            f"{total - good} of {total} nets have a residual above {FLOOR:g} of the bias. They are"
            " left out."
        )
    through_rk4 = slopes(df, "rk4")
    if len(through_rk4):
        sentences.append(
            f"Through rk4 the error of a net rises with a slope of {through_rk4.median():.2f}"
            " (median)."
        )
    return sentences
