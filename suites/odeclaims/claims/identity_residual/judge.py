"""How the rows are judged."""

import math
from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.identity_residual.settings import DEEP, PLAIN, SHALLOW
from odeclaims.kits import needs
from odeclaims.kits.quantities import log_ratios
from odeclaims.kits.rows import of, ok
from odeclaims.rules import Better, Bounds
from odeclaims.statement import Check, Size, Statement

NAMES = {"residual": "residual", "plain": "plain", "plain_he": "plain, He's initialisation"}
LAYERS = {SHALLOW: f"{2 * SHALLOW} layers", DEEP: f"{2 * DEEP} layers"}
TARGET_NAMES = {
    "identity": "the identity",
    "near_identity": "a map near the identity",
    "near_zero": "a map near zero",
}
# A network has learned its target where its error is a small part of the target's mean square, and
# of the part that sets it apart from the identity or from zero, which is a fifth or all of it.
LEARNED = {"identity": 0.01, "near_identity": 0.05, "near_zero": 0.1}
KINDS = {"residual": ("residual",), "plain": PLAIN}
# What is pushed to zero ends at this part of its size before, or less.
TO_ZERO = 0.1


def at_end(df: pd.DataFrame, target: str, blocks: int) -> pd.DataFrame:
    """The rows of a target and a depth at the end of training."""
    rows = ok(df, target=target, blocks=blocks)
    return rows[rows["iteration"] == rows["iterations"]]


def best(df: pd.DataFrame, kind: str, target: str, blocks: int) -> pd.DataFrame:
    """For each seed the best network of a kind: over learning rates, and over initialisations."""
    rows = of(at_end(df, target, blocks), arm=list(KINDS[kind])).reset_index(drop=True)
    finite = rows[np.isfinite(rows["error"])]
    return rows.loc[finite.groupby("repetition")["error"].idxmin()]


def lead(kind: str, other: str, target: str, blocks: int, df: pd.DataFrame) -> np.ndarray:
    """For each seed, the log of the other kind's error over that of this kind."""
    return log_ratios(best(df, other, target, blocks), best(df, kind, target, blocks), "error")


def _branch_growth(df: pd.DataFrame) -> np.ndarray:
    """For each seed, the log of the branches' size after training over that before."""
    end = best(df, "residual", "identity", DEEP)
    keys = ["repetition", "learning_rate"]
    start = ok(df, target="identity", blocks=DEEP, arm="residual", iteration=0)
    return log_ratios(end, start.merge(end[keys], on=keys), "branch")


def _degradation(df: pd.DataFrame) -> np.ndarray:
    """For each seed, the log of a deep plain network's error over that of a shallow one."""
    deep, shallow = (best(df, "plain", "identity", blocks) for blocks in (DEEP, SHALLOW))
    return log_ratios(deep, shallow, "error")


def _distances(target: str, df: pd.DataFrame) -> list[float]:
    return list(ok(df, target=target)["distance"].dropna())


def _whole(df: pd.DataFrame) -> float:
    return 1.0


def _learned(kind: str, target: str, blocks: int) -> needs.Need:
    """The kind of network that is said to be better has learned its target."""
    what = f"the {kind} networks' error on {TARGET_NAMES[target]}"
    among = partial(best, kind=kind, target=target, blocks=blocks)
    return needs.floor("error", LEARNED[target], what, among)


SIZE = Size(
    "a hypothesis of the paper, which has no experiment of its own there",
    _whole,
)

CHECKS = [
    Check(
        "near_identity_is_near",
        "The map near the identity is nearer to it than to zero",
        partial(_distances, "near_identity"),
        Bounds(at_most=0.5),
        "the distance to zero is 1 in these units",
    ),
    Check(
        "near_zero_is_near",
        "The map near zero is nearer to it than to the identity",
        partial(_distances, "near_zero"),
        Bounds(at_least=1),
        "the distance to zero is 1 in these units",
    ),
]

_SEEDS = needs.seeds(8)
_RULE = (
    "log of the plain network's error over the residual one's, paired by seed, best learning rate"
    " of each, and of two initialisations for the plain one"
)


def _residual_leads(target: str, blocks: int, rests_on: tuple[str, ...] = ()) -> Statement:
    depth = "shallow" if blocks == SHALLOW else "deep"
    return Statement(
        f"{target}_{depth}",
        f"With {LAYERS[blocks]} a residual network learns {TARGET_NAMES[target]} better than a"
        " plain one",
        partial(lead, "residual", "plain", target, blocks),
        Better(Bounds(at_least=0)),
        f"{_RULE}; no margin is published",
        needs=(_SEEDS, _learned("residual", target, blocks)),
        central=True,
        rests_on=rests_on,
    )


def _plain_leads(blocks: int) -> Statement:
    depth = "shallow" if blocks == SHALLOW else "deep"
    return Statement(
        f"near_zero_{depth}",
        f"With {LAYERS[blocks]} a plain network learns a map near zero better than a residual one",
        partial(lead, "plain", "residual", "near_zero", blocks),
        Better(Bounds(at_least=0)),
        "the reason turned around: here the plain network's weights are the ones to be pushed to"
        " zero. Log of the residual network's error over the plain one's, as above",
        needs=(_SEEDS,),
        rests_on=("near_zero_is_near",),
    )


STATEMENTS = [
    _residual_leads("identity", SHALLOW),
    _residual_leads("identity", DEEP),
    _residual_leads("near_identity", SHALLOW, ("near_identity_is_near",)),
    _residual_leads("near_identity", DEEP, ("near_identity_is_near",)),
    Statement(
        "identity_means_zero",
        f"With {LAYERS[DEEP]} a residual network learns the identity by pushing its branches to"
        " zero",
        _branch_growth,
        Better(Bounds(at_most=math.log(TO_ZERO))),
        "log of the mean size of F_n(x_n) beside x_n after training over that before; to zero is to"
        f" {TO_ZERO:g} of it or less. Branches that cancel each other would be as good, and need"
        " not shrink",
        needs=(_SEEDS, _learned("residual", "identity", DEEP)),
        central=True,
    ),
    Statement(
        "identity_shrinks_branches",
        f"With {LAYERS[DEEP]} the branches of a residual network shrink while it learns the"
        " identity",
        _branch_growth,
        Better(Bounds(at_most=0)),
        "the same number: what is left of the sentence where they do not go to zero",
        needs=(_SEEDS, _learned("residual", "identity", DEEP)),
    ),
    _plain_leads(SHALLOW),
    _plain_leads(DEEP),
    Statement(
        "plain_degrades",
        f"A plain network learns the identity worse with {LAYERS[DEEP]} than with"
        f" {LAYERS[SHALLOW]}",
        _degradation,
        Better(Bounds(at_least=0)),
        "log of the deep network's error over the shallow one's: more layers could be identities,"
        " and the paper finds that they are not learned",
        needs=(_SEEDS,),
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The reach of the claim, and what the lead is near zero."""
    sentences = [
        "Random maps of eight numbers and networks without normalisation say what is easy to learn"
        " in principle, and not how much of a residual network's lead on images this explains."
    ]
    leads = lead("plain", "residual", "near_zero", DEEP, df)
    if len(leads) and np.median(leads) < 0:
        sentences.append(
            f"With {LAYERS[DEEP]} the residual network leads on a map near zero as well: a plain"
            " one so deep is hard to train on anything, so its lag is not the identity's alone."
        )
    return sentences
