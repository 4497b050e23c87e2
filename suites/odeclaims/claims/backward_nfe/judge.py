"""How the rows are judged, and under which settings the verdict changes."""

import math
from functools import partial
from typing import Any

import pandas as pd

from odeclaims.claim import FlipMap
from odeclaims.claims.backward_nfe.settings import METHODS, PUBLISHED, TIGHTEST_CHANGED, Setting
from odeclaims.kits import needs
from odeclaims.kits.quantities import WHOLE_STEPS, beyond_whole_steps
from odeclaims.kits.rows import of, ok, valid
from odeclaims.rules import Better, Bounds
from odeclaims.statement import Check, Need, Size, Statement

# The ends of the tolerances of the authors' logs, without 1, which asks for no accuracy.
THEIR_TOLERANCES = (1e-5, 1e-1)
# What a net has learnt whose counts are judged, as an error rate on the test images.
LEARNT = 0.02
# A net is judged that has a valid solve at so many tolerances.
LEAST_SEEDS, LEAST_SHARE, LEAST_TOLERANCES = 6, 0.8, 3
HALF = Bounds(at_least=0.4, at_most=0.6)
FEWER = Bounds(at_most=1)
# Up to here an adjoint tolerance a hundred times looser exists as well.
COMPARED_TOLERANCE = 1e-2

# One thing at a time is changed: a name for readers, the setting, and whether the net is trained.
VARIANTS = {
    "published setting": (PUBLISHED, True),
    "adjoint tol. × 10": (Setting(adjoint_factor=10), True),
    "adjoint tol. × 100": (Setting(adjoint_factor=100), True),
    "seminorm": (Setting(norm="seminorm"), True),
    "untrained net": (PUBLISHED, False),
    "summed loss": (Setting(loss="sum"), True),
    "summed squares": (Setting(loss="squares"), True),
}


def at_setting(
    df: pd.DataFrame, setting: Setting = PUBLISHED, *, trained: bool = True
) -> pd.DataFrame:
    """The solved rows of the trained or untrained nets at one setting."""
    return ok(df, trained=trained, **vars(setting))


def compared(df: pd.DataFrame) -> pd.DataFrame:
    """The rows at the tolerances at which all settings exist."""
    return df[df["tolerance"].between(TIGHTEST_CHANGED, COMPARED_TOLERANCE)]


def _judged(df: pd.DataFrame, method: str) -> pd.DataFrame:
    """The valid rows at the published setting of the trained nets that have enough of them."""
    rows = valid(of(at_setting(df), method=method))
    count = rows.groupby("repetition")["tolerance"].nunique()
    return of(rows, repetition=list(count.index[count >= LEAST_TOLERANCES]))


def _ratios(df: pd.DataFrame, method: str, column: str = "ratio") -> list[float]:
    """For each seed, the median of a ratio over the tolerances whose solve is valid."""
    return [float(seed[column].median()) for _, seed in _judged(df, method).groupby("repetition")]


def _logged_at_their_tolerances(df: pd.DataFrame) -> list[float]:
    """For each seed, the median of what was logged by Adams over the authors' tolerances."""
    rows = of(at_setting(df), method=METHODS[0])
    rows = rows[rows["tolerance"].between(*THEIR_TOLERANCES)]
    return [float(seed["ratio_cumulative"].median()) for _, seed in rows.groupby("repetition")]


def _trained(df: pd.DataFrame) -> pd.DataFrame:
    """The rows of the trained nets."""
    return of(df, trained=True)


def _judged_seeds(df: pd.DataFrame, method: str) -> pd.DataFrame:
    """One row for each seed that has enough valid solves."""
    return _judged(df, method).drop_duplicates("repetition")


def _ready(method: str) -> tuple[Need, ...]:
    """Enough nets that have learnt the digits, most with enough valid solves."""
    return (
        needs.seeds(LEAST_SEEDS, _trained),
        _LEARNT,
        needs.share(
            partial(_judged_seeds, method=method),
            _trained,
            f"have valid solves by {method} at {LEAST_TOLERANCES} tolerances of the published"
            " setting",
            least_share=LEAST_SHARE,
        ),
    )


def _uncounted(df: pd.DataFrame) -> list[float]:
    """How many calls of the field each solve has not counted, on the way there and back."""
    rows = ok(df)
    ways = ("forward", "backward")
    missed = [rows[f"calls_{way}"] - rows[f"nfe_{way}"].astype(float) for way in ways]
    return [float(each) for column in missed for each in column]


def _beyond_whole_steps(df: pd.DataFrame) -> list[float]:
    return beyond_whole_steps(ok(df, method="dopri5"))


def _share_of_published(df: pd.DataFrame) -> float:
    rows = _trained(df)
    return float((rows["images"] * rows["epochs"]).median()) / (60_000 * 120)


_LEARNT = needs.floor("test_error", LEARNT, "the median test error of the trained nets", _trained)

SIZE = Size(
    "60,000 images x 120 epochs, as the authors' logs have it", _share_of_published, _LEARNT
)

CHECKS = [
    Check(
        "every_call_is_counted",
        "The field is called as often as the solver counts, there and back",
        _uncounted,
        Bounds(0, 0),
        "a hook on the field counts beside the solver",
    ),
    Check(
        "whole_steps",
        "Forward counts of dopri5 are those of whole steps",
        _beyond_whole_steps,
        Bounds(0, 0),
        WHOLE_STEPS,
    ),
]


_RESTS = tuple(check.name for check in CHECKS)


def _statement(
    name: str,
    text: str,
    bounds: Bounds,
    because: str,
    *,
    method: str = "adams",
    column: str = "ratio",
    central: bool = False,
) -> Statement:
    """A statement on the median over valid tolerances at the published setting, seed by seed."""
    return Statement(
        name,
        text,
        partial(_ratios, method=method, column=column),
        Better(bounds, of="median"),
        because,
        needs=_ready(method),
        central=central,
        rests_on=_RESTS,
    )


STATEMENTS = [
    _statement(
        "half_counted_apart",
        "The backward pass takes roughly half the evaluations of the forward pass, counted apart",
        HALF,
        "the paper says roughly half, of its implicit Adams with the adjoint at the forward"
        f" tolerance; trained nets with valid solves at {LEAST_TOLERANCES} tolerances or more,"
        " median over these",
        central=True,
    ),
    _statement(
        "half_as_logged",
        "The backward pass takes roughly half of what the authors' counter logs as forward",
        HALF,
        "the counter was not set back between a backward pass and the next forward one: where both"
        " take equally many, this ratio is just below a half",
        column="ratio_cumulative",
        central=True,
    ),
    _statement(
        "fewer_counted_apart",
        "The backward pass takes fewer evaluations than the forward pass, counted apart",
        FEWER,
        "what is left of the sentence where it is not half; an author says that in larger networks"
        " there are usually more",
    ),
    _statement(
        "as_in_corrected_logs",
        "Counted apart, the ratio is that of the authors' corrected logs",
        Bounds(at_least=0.78, at_most=0.86),
        "their range from 1e-1 to 1e-5 when what the counter held from the batch before is taken"
        " off; quotients of the table's medians reach down to 0.75",
    ),
    Statement(
        "half_as_logged_at_their_tolerances",
        "The same half as logged, at the authors' own tolerances from 1e-1 to 1e-5",
        _logged_at_their_tolerances,
        Better(HALF, of="median"),
        "what they looked at, whether a solve there passes the checks or not; median over these"
        " tolerances",
        needs=(needs.seeds(LEAST_SEEDS, _trained), _LEARNT),
        rests_on=_RESTS,
    ),
    *[
        _statement(
            f"half_counted_apart_{method}",
            f"The same half with {method}, counted apart",
            HALF,
            "the paper's sentence names no solver, but its authors say that all of its results used"
            " Adams",
            method=method,
        )
        for method in METHODS[1:]
    ],
]


def caveats(df: pd.DataFrame) -> list[str]:
    """The budget, where the ratio is below one, what it spans, and which rows are valid."""
    return [
        *_budget(df),
        *(sentence for method in METHODS for sentence in _below_one(df, method)),
        *_span(df),
        *_of_losses(df),
        *(sentence for method in METHODS for sentence in _validity(df, method)),
    ]


def _budget(df: pd.DataFrame) -> list[str]:
    nets = df[df["test_error"].notna()].groupby(["trained", "repetition"]).first().reset_index()
    trained, untrained = of(nets, trained=True), of(nets, trained=False)
    if trained.empty:
        return ["No trained net is published."]
    size = trained.iloc[0]
    text = (
        f"Trained for {size['epochs']:g} epochs of {size['images']:,} images in batches of"
        f" {size['batch_size']:g} at {size['channels']:g} channels, not for the published 160 of"
        f" 60,000 in batches of 128 at 64: test error {100 * trained['test_error'].median():.1f}%"
        f" (median of {len(trained)} nets)"
    )
    if len(untrained):
        text += f", {100 * untrained['test_error'].median():.1f}% untrained"
    return [f"{text}."]


def _below_one(df: pd.DataFrame, method: str) -> list[str]:
    """At which tolerances of the published setting the way back is the cheaper one."""
    middle = of(at_setting(df), method=method).groupby("tolerance")["ratio"].median()
    if middle.empty:
        return []
    below, above = middle[middle < 1].index, middle[middle >= 1].index
    parts = [
        f"{words} 1 at {_listing(at)}"
        for words, at in (("below", below), ("not below", above))
        if len(at)
    ]
    return [f"{method}, trained, published setting: the ratio is {' and '.join(parts)}."]


def _validity(df: pd.DataFrame, method: str) -> list[str]:
    """At which tolerances of the published setting the solves mean anything."""
    by_tolerance = of(at_setting(df), method=method).groupby("tolerance")
    passes = by_tolerance["valid"].all().astype(bool)
    if passes.empty:
        return []
    passing = passes[passes].index
    which = f"at {_listing(passing)}" if len(passing) else "at no tolerance"
    return [f"{method}, trained, published setting: every net passes the validity checks {which}."]


def _listing(tolerances: pd.Index) -> str:
    """Tolerances in words, the loosest first."""
    return ", ".join(f"{tolerance:g}" for tolerance in sorted(tolerances, reverse=True))


def _span(df: pd.DataFrame) -> list[str]:
    """Between which settings the ratio spans how much."""
    rows = compared(ok(df))
    if rows.empty:
        return []
    keys = ["method", "trained", "adjoint_factor", "norm", "loss"]
    middle = rows.groupby(keys)["ratio"].median()
    ends = [
        f"{middle[key]:.3g} ({_in_words(dict(zip(keys, key, strict=True)))})"
        for key in (middle.idxmin(), middle.idxmax())
        if isinstance(key, tuple)
    ]
    return [
        f"Over all {len(middle)} settings, medians at tolerances from {COMPARED_TOLERANCE:g} to"
        f" {TIGHTEST_CHANGED:g}, the ratio counted apart goes from {' to '.join(ends)}: it is a"
        " property of the setting."
    ]


def _of_losses(df: pd.DataFrame) -> list[str]:
    """What the loss alone changes, at the tolerances at which all of them were measured."""
    losses = ("mean", "sum", "squares")
    rows = pd.concat([at_setting(df, Setting(loss=loss)) for loss in losses])
    rows = of(compared(rows), method=METHODS[0])
    if rows.empty:
        return []
    middle = rows.pivot_table("ratio", "tolerance", "loss", aggfunc="median").dropna()
    if middle.empty or set(losses) - set(middle):
        return []
    ratios = [f"{middle[loss].median():.3g} with {loss}" for loss in losses]
    return [
        f"What the loss alone does, {METHODS[0]}, medians at {_listing(middle.index)}:"
        f" {', '.join(ratios)}. The adjoint is proportional to the loss, and its error is held"
        " against an absolute tolerance too."
    ]


def _in_words(setting: dict[str, Any]) -> str:
    looser = setting["adjoint_factor"]
    return ", ".join(
        [
            str(setting["method"]),
            "trained" if setting["trained"] else "untrained",
            "adjoint at the forward tolerance" if looser == 1 else f"adjoint {looser}x looser",
            f"norm {setting['norm']}",
            f"loss {setting['loss']}",
        ]
    )


def flips(df: pd.DataFrame) -> FlipMap:
    """The ratio counted apart by solver and tolerance, median of the seeds, for every setting.

    All solves are in it, valid or not; the statements judge the valid ones.
    """
    values = []
    for name, (setting, trained) in VARIANTS.items():
        rows = at_setting(df, setting, trained=trained)
        medians = rows.groupby(["tolerance", "method"])["ratio"].median()
        values += [
            {
                "panel": name,
                "row": method,
                "column": f"1e{math.log10(tolerance):.0f}",
                "value": medians[tolerance, method],
            }
            for tolerance in sorted(rows["tolerance"].unique(), reverse=True)
            for method in METHODS
            if (tolerance, method) in medians.index
        ]
    return FlipMap(
        "NFE backward / NFE forward, counted apart, of all solves",
        pd.DataFrame(values),
        "solver",
        "forward tolerance",
        HALF,
    )
