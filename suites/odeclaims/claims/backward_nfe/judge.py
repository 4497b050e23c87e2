"""How the rows are judged, and under which settings the verdict changes."""

import math
from functools import partial
from typing import Any

import pandas as pd

from odeclaims.claim import Bounds, Criterion, FlipMap
from odeclaims.claims.backward_nfe.settings import METHODS, PUBLISHED, Setting
from odeclaims.kits.rows import of, ok, valid

LEAST_SEEDS = 3
LEAST_TOLERANCES = 4
HALF = Bounds(at_least=0.4, at_most=0.6)
# Below one. Counts are whole numbers, so that a ratio below one is below this too, unless it is of
# a thousand evaluations or more.
BELOW_ONE = Bounds(at_most=0.999)
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
    rows = ok(df, **vars(setting))
    return rows[(rows["epochs"] > 0) == trained]


def compared(df: pd.DataFrame) -> pd.DataFrame:
    """The rows at the tolerances at which all settings exist."""
    return df[df["tolerance"] <= COMPARED_TOLERANCE]


def _ratios(
    df: pd.DataFrame, method: str, column: str = "ratio", *, valid_only: bool = False
) -> list[float]:
    """For each seed, the median over tolerances at the published setting."""
    rows = of(at_setting(df), method=method)
    if valid_only:
        rows = valid(rows)
    return [float(seed[column].median()) for _, seed in rows.groupby("repetition")]


def _path_of_tolerances(df: pd.DataFrame, method: str) -> str:
    """A median over tolerances needs several of them, on every seed."""
    rows = of(at_setting(df), method=method)
    tolerances = rows.groupby("repetition")["tolerance"].nunique()
    least = int(tolerances.min()) if len(tolerances) else 0
    if least < LEAST_TOLERANCES:
        return f"{least} tolerances solved by {method}, at least {LEAST_TOLERANCES} needed"
    return ""


def _criterion(
    name: str,
    method: str,
    reproduced: Bounds,
    because: str,
    *,
    column: str = "ratio",
    valid_only: bool = False,
    **rest: Any,
) -> Criterion:
    """A criterion on a median over tolerances; by default evaluations are counted apart."""
    return Criterion(
        f"{method}, {name}, median over tolerances",
        partial(_ratios, method=method, column=column, valid_only=valid_only),
        reproduced,
        because,
        least_seeds=LEAST_SEEDS,
        needs=[partial(_path_of_tolerances, method=method)],
        **rest,
    )


_APART = "NFE backward / NFE forward, counted apart"
_OTHER = (
    "the same range for {}; the paper's sentence names no solver, but its authors say that all"
    " of its results used Adams"
)
CRITERIA = [
    _criterion(
        _APART,
        "adams",
        HALF,
        "the paper says roughly half, of its implicit Adams from tolerance 1 to 1e-5, the adjoint"
        " at the forward tolerance; the mean loss is that of the released example. Below 1 the"
        " backward pass is still the cheaper one. All tolerances of the published figure enter,"
        " valid or not",
        partly=BELOW_ONE,
    ),
    *[
        _criterion(_APART, method, HALF, _OTHER.format(method), partly=BELOW_ONE, decides=False)
        for method in METHODS[1:]
    ],
    _criterion(
        f"{_APART}, rows that pass the validity checks",
        "adams",
        HALF,
        "the first criterion without the solves that are hardly a flow at all",
        partly=BELOW_ONE,
        valid_only=True,
        decides=False,
    ),
    _criterion(
        f"{_APART}, beside the authors' corrected logs",
        "adams",
        Bounds(at_least=0.78, at_most=0.86),
        "the range of the authors' own logs from 1e-1 to 1e-5 when what the counter held from the"
        " batch before is taken off",
        decides=False,
    ),
    _criterion(
        "NFE backward / logged forward, cumulative",
        "adams",
        HALF,
        "if the counting alone makes the half, it makes it here too",
        column="ratio_cumulative",
        decides=False,
    ),
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
    nets = df[df["test_error"].notna()].groupby(["epochs", "repetition"]).first().reset_index()
    trained, untrained = nets[nets["epochs"] > 0], nets[nets["epochs"] == 0]
    if trained.empty:
        return []
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
    middle = rows.assign(trained=rows["epochs"] > 0).groupby(keys)["ratio"].median()
    ends = [
        f"{middle[key]:.3g} ({_in_words(dict(zip(keys, key, strict=True)))})"
        for key in (middle.idxmin(), middle.idxmax())
        if isinstance(key, tuple)
    ]
    return [
        f"Over all {len(middle)} settings, medians at tolerances from {COMPARED_TOLERANCE:g} on,"
        f" the ratio counted apart goes from {' to '.join(ends)}: it is a property of the setting."
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
    """The deciding ratio by solver and tolerance, median of the seeds, under every setting."""
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
        "NFE backward / NFE forward, counted apart",
        pd.DataFrame(values),
        "solver",
        "forward tolerance",
        HALF,
        BELOW_ONE,
    )
