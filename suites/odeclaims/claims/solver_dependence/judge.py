"""How the rows are judged."""

from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.solver_dependence.settings import COARSEST, FINEST, LEARNT
from odeclaims.kits import needs
from odeclaims.kits.rows import of, ok
from odeclaims.rules import Better, Bounds, Equal
from odeclaims.statement import Check, Need, Size, Statement

NAMES = {"mlp": "MLP", "conv": "conv net"}
# With three central statements the median of six seeds cannot be decided.
LEAST_SEEDS, LEAST_SHARE = 7, 0.8
# Of the released code.
PUBLISHED_UPDATES = 10_000
# A drop of the accuracy that counts as one, and one that does not.
DROPS, KEEPS, SMALL = 0.2, 0.03, 0.1
CRITICAL = Bounds(32, 256)
# Accuracies by the solver of the training are equal within this.
TREND = 0.03


def trained(df: pd.DataFrame, net: str, method: str = "euler") -> pd.DataFrame:
    """A row for each step and seed that has learnt the shells: its accuracy, and its drop.

    The drop is the accuracy by the solver of the training less the least by a more accurate one.
    """
    rows = ok(df, kind="test", net=net, method=method)
    keys = ["steps", "repetition"]
    own = of(rows, role="training").set_index(keys)["accuracy"].astype(float)
    others = of(rows, role=["finer", "flow"])
    least = others.groupby(keys)["accuracy"].min().astype(float)
    known = pd.DataFrame({"accuracy": own, "drop": own - least}).reset_index()
    return known[known["accuracy"] >= LEARNT]


def _drops(df: pd.DataFrame, net: str, steps: int) -> np.ndarray:
    return of(trained(df, net), steps=steps).sort_values("repetition")["drop"].to_numpy()


def critical_steps(df: pd.DataFrame, net: str, method: str = "euler") -> pd.Series:
    """For each seed the least number of steps from which on no drop counts.

    Twice the largest number where the last drop still counts. Seeds that lack a number of steps
    are left out.
    """
    drops = trained(df, net, method).pivot_table("drop", "repetition", "steps").dropna()
    large = drops > SMALL
    counts = [float(each) for each in drops.columns]

    def critical(row: pd.Series) -> float:
        last = max((i for i, each in enumerate(row) if each), default=-1)
        return [*counts, 2 * counts[-1]][last + 1]

    return large.apply(critical, axis=1) if len(drops) else pd.Series(dtype=float)


def _critical(df: pd.DataFrame, net: str) -> np.ndarray:
    return critical_steps(df, net).to_numpy(dtype=float)


def _trend(df: pd.DataFrame, net: str) -> np.ndarray:
    """For each seed, the training accuracy of the coarsest net less that of the finest."""
    rows = trained(df, net)
    ends = rows[rows["steps"].isin([COARSEST, rows["steps"].max()])]
    wide = ends.pivot_table("accuracy", "repetition", "steps").dropna()
    if wide.shape[1] < 2:
        return np.array([])
    return (wide.iloc[:, 0] - wide.iloc[:, 1]).to_numpy(dtype=float)


def _every(df: pd.DataFrame, net: str, steps: int | None = None) -> pd.DataFrame:
    """All seeds of an Euler net, learnt or not; a row for each number of steps."""
    rows = of(df, kind="test", role="training", net=net, method="euler")
    return rows if steps is None else of(rows, steps=steps)


def _has_steps(net: str, steps: int, df: pd.DataFrame) -> str:
    rows = _every(df, net)
    most = rows["steps"].max() if len(rows) else 0
    return "" if most >= steps else f"{most:g} of at least {steps} steps in training"


def _learnt(net: str, steps: int) -> tuple[Need, ...]:
    """Enough seeds were trained in so many steps, and most have learnt the shells."""

    def share(df: pd.DataFrame) -> str:
        every = len(_every(df, net, steps))
        learnt = len(of(trained(df, net), steps=steps))
        if learnt >= LEAST_SHARE * every:
            return ""
        return f"{learnt} of {every} nets with {steps} steps have an accuracy of {LEARNT:g}"

    return (
        needs.seeds(LEAST_SEEDS, partial(_every, net=net, steps=steps)),
        share,
    )


def _fine(net: str) -> tuple[Need, ...]:
    return (partial(_has_steps, net, FINEST), *_learnt(net, FINEST))


def _share_of_published(df: pd.DataFrame) -> float:
    return float(of(df, kind="test")["updates"].median()) / PUBLISHED_UPDATES


SIZE = Size("10,000 updates of batches of 128", _share_of_published)


def _seeds_of_repetitions(df: pd.DataFrame) -> list[float]:
    """For each seed, how many seeds of the generator the trainings have."""
    return list(of(df, kind="test").groupby("repetition")["seed"].nunique())


CHECKS = [
    Check(
        "same_points",
        "All nets of a repetition are trained on one sample",
        _seeds_of_repetitions,
        Bounds(1, 1),
        "only the solver may differ",
    )
]
_PAIRED = ("same_points",)


def _statements(net: str, *, central: bool) -> list[Statement]:
    name = NAMES[net]
    return [
        Statement(
            f"coarse_{net}_drops",
            f"The {name} that was trained in {COARSEST} Euler steps loses {100 * DROPS:g} points of"
            " accuracy or more by a more accurate solver",
            partial(_drops, net=net, steps=COARSEST),
            Better(Bounds(at_least=DROPS), of="median"),
            "the published figure falls from 0.97 to 0.47; accuracy by the solver of the training"
            " less the least by a more accurate one, of seeds that have learnt the shells",
            needs=_learnt(net, COARSEST),
            central=central,
            rests_on=_PAIRED,
        ),
        Statement(
            f"fine_{net}_keeps",
            f"The {name} that was trained in {FINEST} Euler steps loses {100 * KEEPS:g} points or"
            " less",
            partial(_drops, net=net, steps=FINEST),
            Better(Bounds(at_most=KEEPS), of="median"),
            "the published figure is flat from 64 steps on for a training in 256",
            needs=_fine(net),
            central=central,
            rests_on=_PAIRED,
        ),
        Statement(
            f"critical_steps_{net}",
            f"From 32 to 256 steps on, the accuracy of the {name} no longer drops",
            partial(_critical, net=net),
            Better(CRITICAL, of="median"),
            "a grid search puts the critical number at 65 to 129; the least number of steps from"
            f" which on no drop is above {100 * SMALL:g} points, by seed, and twice the largest"
            " number where the last still is",
            needs=_fine(net),
            central=central,
            rests_on=_PAIRED,
        ),
        Statement(
            f"training_hides_it_{net}",
            f"The accuracy by the solver of the training does not show it: the {name} of"
            f" {COARSEST} steps is as accurate as that of the most steps",
            partial(_trend, net=net),
            Equal(TREND),
            "the paper sees no trend over the step; difference of paired seeds",
            needs=_learnt(net, COARSEST),
            rests_on=_PAIRED,
        ),
    ]


STATEMENTS = [
    *_statements("conv", central=True),
    # The steps between are measured for the paper's net alone.
    *(s for s in _statements("mlp", central=False) if not s.name.startswith("critical")),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, which nets did not learn, and what adaptive solvers do."""
    rows = of(df, kind="test", role="training")
    size = rows.iloc[0]
    sentences = [
        f"{size['updates']:,.0f} updates at a learning rate of {size['learning_rate']:g}. The"
        " released code has 10,000 at 1e-4. The learning rate is the same for every step."
    ]
    failed = rows[~(rows["accuracy"] >= LEARNT)]
    if len(failed):
        sentences.append(
            f"{len(failed)} of {len(rows)} nets have an accuracy below {LEARNT:g} by the solver of"
            " their training. They are left out, as the paper leaves out runs that did not train."
        )
    sentences += _adaptive(df)
    return sentences


def _adaptive(df: pd.DataFrame) -> list[str]:
    """What nets lose that were trained by steps that adapt."""
    rows = ok(df, kind="test", method="dopri5")
    keys = ["net", "tolerance", "repetition"]
    own, flow = (
        of(rows, role=role).set_index(keys)["accuracy"].astype(float)
        for role in ("training", "flow")
    )
    drops = (own - flow)[own >= LEARNT]
    drops = drops.groupby(["net", "tolerance"]).median().rename("drop").reset_index()
    return [
        f"The {NAMES[row['net']]} that was trained by dopri5 at {row['tolerance']:g} loses"
        f" {100 * row['drop']:.1f} points by the flow itself (median of the nets that learnt)."
        for row in drops.to_dict("records")
    ]
