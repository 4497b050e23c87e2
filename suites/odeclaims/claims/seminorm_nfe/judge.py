"""How the rows are judged."""

from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.seminorm_nfe.settings import DIGITS, LOSSES, POOLED_POINTS, TASKS
from odeclaims.kits.quantities import WHOLE_STEPS, beyond_whole_steps
from odeclaims.kits.rows import of, ok, valid
from odeclaims.rules import Better, Bounds
from odeclaims.statement import Check, Need, Size, Statement

# What a net may get wrong whose counts are judged, in the units of its task.
FLOORS = {
    DIGITS: 0.02,
    "moons": 0.4,
    "pendulum": 0.15,
    "hamiltonian": 0.15,
    "spheres": 0.02,
    POOLED_POINTS: 0.02,
}
# With two central statements that chance enters the median of six seeds cannot be decided.
LEAST_SEEDS = 7
# Tasks with at least so many nets, and tasks behind the value of a seed.
LEAST_TASKS, LEAST_NETS, LEAST_TASKS_OF_SEED = 4, 3, 3
LEAST_POOLED = 6
SAVES, LEVEL, HALF = 0.25, Bounds(0.25, 0.55), 0.5
AS_GOOD = 2.0
# A gradient's error is known where it is so many times the uncertainty of the reference.
KNOWN = 2.0
PUBLISHED_WIDTH = 300
NET = ["task", "net", "repetition"]


def solved(df: pd.DataFrame) -> pd.DataFrame:
    """The solves that came to an end, whose nets have a name in each row."""
    return ok(df.assign(net=df["net"].astype(object).fillna("")))


def learnt(df: pd.DataFrame) -> pd.DataFrame:
    """The solves of the nets that have learnt their task."""
    rows = solved(df)
    return rows[rows["error"] <= rows["task"].map(FLOORS)]


def by_norm(df: pd.DataFrame, norm: str, loss: str = "mean") -> pd.DataFrame:
    """The solves of these nets with one norm and loss, by net and tolerance."""
    return of(learnt(df), norm=norm, loss=loss).set_index([*NET, "tolerance"])


def pairs(df: pd.DataFrame, against: str = "flat", loss: str = "mean") -> pd.DataFrame:
    """The seminorm beside another norm, by net and tolerance, where the other's solve is valid.

    Returns:
        ``saving``, the share of the other's backward evaluations that the seminorm spares;
        ``error`` and ``error_semi``, the gradients' errors; ``error_ratio``, the seminorm's over
        the other's, blank where the reference is too uncertain to tell.
    """
    base, semi = valid(by_norm(df, against, loss)), by_norm(df, "seminorm", loss)
    semi = semi.reindex(base.index)
    error, error_semi = (rows["gradient_error"].astype(float) for rows in (base, semi))
    smaller = error.where(error < error_semi, error_semi)
    known = smaller >= KNOWN * base["reference_error"].astype(float)
    return pd.DataFrame(
        {
            "saving": 1 - semi["nfe_backward"].astype(float) / base["nfe_backward"].astype(float),
            "error": error,
            "error_semi": error_semi,
            "error_ratio": (error_semi / error).where(known),
        }
    ).reset_index()


def by_net(table: pd.DataFrame, column: str) -> pd.Series:
    """For each net the median over its tolerances."""
    return table.dropna(subset=[column]).groupby(NET)[column].median()


def by_seed(table: pd.DataFrame, column: str) -> np.ndarray:
    """For each seed the median over its tasks, of the medians over tolerances."""
    nets = by_net(of(table, task=TASKS), column).groupby("repetition")
    return nets.median()[nets.count() >= LEAST_TASKS_OF_SEED].to_numpy(dtype=float)


def _savings(df: pd.DataFrame, against: str, loss: str) -> np.ndarray:
    return by_seed(pairs(df, against, loss), "saving")


def _error_ratios(df: pd.DataFrame) -> np.ndarray:
    return by_seed(pairs(df), "error_ratio")


def _pooled_savings(df: pd.DataFrame) -> np.ndarray:
    return by_net(of(pairs(df), task=POOLED_POINTS), "saving").to_numpy(dtype=float)


def _largest_savings(df: pd.DataFrame) -> np.ndarray:
    """For each seed the most that is saved, of its tasks and tolerances."""
    seeds = of(pairs(df), task=TASKS).dropna(subset=["saving"]).groupby("repetition")
    enough = seeds["task"].nunique() >= LEAST_TASKS_OF_SEED
    return seeds["saving"].max()[enough].to_numpy(dtype=float)


def at_equal_error(df: pd.DataFrame) -> pd.DataFrame:
    """What the seminorm saves against a flat solve whose gradient errs as much, for each valid one.

    The evaluations of that solve are read off the line through the flat solves of the net, log over
    log. Errors that none of them reaches are left out, and so are those that are not known.
    """
    flat, semi = (_with_known_error(by_norm(df, norm)) for norm in ("flat", "seminorm"))
    semi = valid(semi)
    curves = dict(list(flat.groupby(NET)))
    savings = [
        pd.Series(_saved(curves[net], solves), solves.index)
        for net, solves in semi.groupby(NET)
        if net in curves
    ]
    table = pd.concat(savings) if savings else pd.Series(index=semi.index[:0], dtype=float)
    return table.rename("saving").reset_index()


def _with_known_error(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["gradient_error"] >= KNOWN * rows["reference_error"]]


def _saved(flat: pd.DataFrame, semi: pd.DataFrame) -> np.ndarray:
    curve = flat.astype({"nfe_backward": float}).sort_values("gradient_error")
    errors, counts = np.log(curve["gradient_error"]), np.log(curve["nfe_backward"])
    wanted = np.log(semi["gradient_error"].astype(float))
    same = np.interp(wanted, errors, counts, left=np.nan, right=np.nan)
    return 1 - semi["nfe_backward"].to_numpy(dtype=float) / np.exp(same)


def _savings_at_equal_error(df: pd.DataFrame) -> np.ndarray:
    return by_seed(at_equal_error(df), "saving")


def _enough_tasks(df: pd.DataFrame, against: str, loss: str) -> str:
    nets = by_net(of(pairs(df, against, loss), task=TASKS), "saving").groupby("task").count()
    count = int((nets >= LEAST_NETS).sum())
    if count >= LEAST_TASKS:
        return ""
    return f"{count} tasks have {LEAST_NETS} valid nets, at least {LEAST_TASKS} needed"


def _enough_seeds(df: pd.DataFrame, against: str, loss: str) -> str:
    count = len(_savings(df, against, loss))
    if count >= LEAST_SEEDS:
        return ""
    return f"{count} seeds have {LEAST_TASKS_OF_SEED} valid tasks, at least {LEAST_SEEDS} needed"


def _ready(against: str = "flat", loss: str = "mean") -> tuple[Need, ...]:
    named = {"against": against, "loss": loss}
    return (partial(_enough_tasks, **named), partial(_enough_seeds, **named))


def _unanswered(df: pd.DataFrame) -> list[float]:
    """How many solves of the seminorm failed where that of another norm is valid, for each pair."""
    return [
        float(pairs(df, against, loss)["saving"].isna().sum())
        for against in ("flat", "mixed")
        for loss in LOSSES
    ]


def _forward_counts(df: pd.DataFrame) -> list[float]:
    """How many forward counts a net has at a tolerance."""
    return list(solved(df).groupby([*NET, "tolerance"])["nfe_forward"].nunique().astype(float))


def _beyond_whole_steps(df: pd.DataFrame) -> list[float]:
    return beyond_whole_steps(ok(df), "nfe_backward", starts="intervals")


def _share_of_published(df: pd.DataFrame) -> float:
    return float(of(df, task="hamiltonian")["width"].median()) / PUBLISHED_WIDTH


SIZE = Size("the 300 units of a hidden layer of SymODEN", _share_of_published)

CHECKS = [
    Check(
        "same_forward",
        "All norms and losses of a net and tolerance have one forward count",
        _forward_counts,
        Bounds(1, 1),
        "only the way back may differ",
    ),
    Check(
        "whole_steps",
        "Every backward count is that of whole steps",
        _beyond_whole_steps,
        Bounds(0, 0),
        f"{WHOLE_STEPS}; the way back starts anew at each output time",
    ),
    Check(
        "seminorm_solves",
        "Where the solve with another norm is valid, that with the seminorm comes to an end",
        _unanswered,
        Bounds(0, 0),
        "a failure would be left out of the savings",
    ),
]
_RESTS = tuple(check.name for check in CHECKS)
_VALUE = "; median over the tolerances that pass, over tasks, and over seeds"

STATEMENTS = [
    Statement(
        "saves_a_quarter",
        f"The seminorm saves {100 * SAVES:g}% or more of the backward evaluations of the flat norm",
        partial(_savings, against="flat", loss="mean"),
        Better(Bounds(at_least=SAVES), of="median"),
        "published: a median of 40% over the tasks of the paper; other tasks, so that much less is"
        f" still a reproduction{_VALUE}; the mean loss, as in the released code",
        needs=_ready(),
        central=True,
        rests_on=_RESTS,
    ),
    Statement(
        "gradient_as_good",
        f"The gradient by the seminorm errs at most {AS_GOOD:g} times as much as by the flat norm",
        _error_ratios,
        Better(Bounds(at_most=AS_GOOD), of="median"),
        "fewer evaluations with a worse gradient are no saving; a factor of two is a third of a"
        f" decade of the tolerance{_VALUE}; where both errors are known",
        needs=_ready(),
        central=True,
        rests_on=_RESTS,
    ),
    Statement(
        "can_save_half",
        f"On some task, at some tolerance, it saves {100 * HALF:g}% or more",
        _largest_savings,
        Better(Bounds(at_least=HALF), of="median"),
        "published: as much as 62%; the largest saving of a seed over its tasks and tolerances,"
        " median over the seeds, so that one net is no witness",
        needs=_ready(),
        central=True,
        rests_on=_RESTS,
    ),
    Statement(
        "saves_as_published",
        "The saving is about the published 40%",
        partial(_savings, against="flat", loss="mean"),
        Better(LEVEL, of="median"),
        "of other tasks 25% to 55% count as the level",
        needs=_ready(),
        rests_on=_RESTS,
    ),
    Statement(
        "saves_on_a_sum",
        "With a summed loss, too, it saves a quarter or more against the flat norm",
        partial(_savings, against="flat", loss="sum"),
        Better(Bounds(at_least=SAVES), of="median"),
        "a sum is larger than a mean, and its gradient with it, so that the absolute tolerance"
        f" weighs less{_VALUE}",
        needs=_ready(loss="sum"),
        rests_on=_RESTS,
    ),
    Statement(
        "saves_on_the_mixed_norm",
        "Against torchdiffeq's default, the mixed norm, it saves a quarter or more",
        partial(_savings, against="mixed", loss="mean"),
        Better(Bounds(at_least=SAVES), of="median"),
        f"what a user of today saves; the baseline of the paper is another{_VALUE}",
        needs=_ready(against="mixed"),
        rests_on=_RESTS,
    ),
    Statement(
        "saves_at_equal_error",
        "It saves evaluations against a flat solve whose gradient errs as much",
        _savings_at_equal_error,
        Better(Bounds(at_least=0), of="median"),
        "work over precision, which no choice of tolerances favours; the flat solve is read off the"
        f" line through the tolerances{_VALUE}",
        needs=_ready(),
        rests_on=_RESTS,
    ),
    Statement(
        "pooled_nets_save",
        "On the spheres' nets of the pool it saves a quarter or more against the flat norm",
        _pooled_savings,
        Better(Bounds(at_least=SAVES), of="median", least=LEAST_POOLED),
        "a NODE and an ANODE after 50 epochs, where the other nets have had a short training;"
        " median over the nets",
        rests_on=_RESTS,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """What each task saves, at how many tolerances, and which nets are left out."""
    sentences = [
        "Evaluations are counted, not seconds. The nets are small, and each count is that of one"
        " batch of a finished training."
    ]
    for loss in LOSSES:
        table = pairs(df, loss=loss)
        if len(table):
            saved = by_net(table, "saving").groupby("task").median()
            parts = [f"{task} {100 * each:.0f}%" for task, each in saved.items()]
            sentences.append(
                f"With the {loss} of the losses it saves, against the flat norm:"
                f" {', '.join(parts)} (medians)."
            )
    nets = df.drop_duplicates(NET)
    ratios = (nets["parameters"] / (2 * nets["state_size"])).dropna().groupby(nets["task"]).median()
    if len(ratios):
        sentences.append(
            "The flat norm is a mean over all entries, so that many gradients of small error hide"
            " the errors of state and adjoint, and its steps are the larger ones. Parameters for"
            " each entry of these:"
            f" {', '.join(f'{task} {ratio:.2g}' for task, ratio in ratios.items())}. A larger batch"
            " has fewer, and was not measured."
        )
    left_out = nets[~(nets["error"] <= nets["task"].map(FLOORS))]
    if len(left_out):
        counts = ", ".join(
            f"{count} of {task}" for task, count in left_out["task"].value_counts().items()
        )
        sentences.append(f"Nets that have not learnt their task are left out: {counts}.")
    return sentences
