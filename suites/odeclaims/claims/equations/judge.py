"""How the residuals are judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from odeclaims.claim import Bounds, Criterion
from odeclaims.claims.equations.catalogue import BY_KEY, EQUATIONS, Equation
from odeclaims.kits.rows import of, ok

# The solves are accurate to about 1e-12 and the differences in time to about 1e-10; the problems
# amplify either by less than 1e3. A wrong sign, factor or transpose of order-one terms is far off.
TOLERANCE = 1e-6
# Between the tolerance and this a verdict would hang on the choice of the tolerance.
CLEAR = 1e-4


def residuals(df: pd.DataFrame) -> pd.DataFrame:
    """The residual of each equation and repetition, columns printed and corrected.

    Of several readings of a printed form the best counts. Worked examples are left out.
    """
    examples = [e.key for e in EQUATIONS if e.role == "example"]
    measured = ok(df)
    counted = measured.loc[~measured["equation"].isin(examples)]
    best = counted.pivot_table(
        index=["equation", "repetition"], columns="form", values="residual", aggfunc="min"
    )
    return best.reset_index()


def _by_repetition(
    rows: pd.DataFrame, values: Sequence[float] | np.ndarray, combine: Callable
) -> list[float]:
    """For each repetition, its equations' values combined to one."""
    values, repetitions = np.asarray(values), rows["repetition"].to_numpy()
    return [float(combine(values[repetitions == r])) for r in np.unique(repetitions)]


def _slip(best: pd.DataFrame) -> np.ndarray:
    """Whether each equation fails to hold as printed."""
    return best["printed"].to_numpy() > TOLERANCE


def _share(roles: set[str]) -> Callable[[pd.DataFrame], list[float]]:
    """For each repetition, the share of the equations of these roles that hold as printed."""

    def share(df: pd.DataFrame) -> list[float]:
        best = residuals(df)
        best = best.loc[[BY_KEY[key].role in roles for key in best["equation"]]]
        return _by_repetition(best, ~_slip(best), np.mean)

    return share


def _worst_corrected(df: pd.DataFrame) -> list[float]:
    best = residuals(df)
    return _by_repetition(best, best["corrected"].to_numpy(), np.max)


def _surprises(df: pd.DataFrame) -> list[float]:
    """For each repetition, how many verdicts differ from what the catalogue expects."""
    best = residuals(df)
    expected = np.array([bool(BY_KEY[key].kind) for key in best["equation"]])
    return _by_repetition(best, _slip(best) != expected, np.sum)


def _undecided(df: pd.DataFrame) -> list[float]:
    best = residuals(df)
    return _by_repetition(best, _slip(best) & (best["printed"].to_numpy() < CLEAR), np.sum)


def _missing_equations(df: pd.DataFrame) -> str:
    """A repetition that lacks equations would be judged by a part of the tutorial."""
    measured = ok(df)
    for repetition in sorted(df["repetition"].unique()):
        keys = set(of(measured, repetition=repetition)["equation"])
        if missing := [e.key for e in EQUATIONS if e.key not in keys]:
            return f"no rows of {', '.join(missing)} in repetition {repetition}"
    return ""


CRITERIA = [
    Criterion(
        "share of the displayed equations that hold as printed",
        _share({"result", "definition"}),
        Bounds(at_least=1),
        partly=Bounds(at_least=0.5),
        because="the claim is about every equation; below a half the text would mislead more often"
        " than not",
        statistic="min",
        least_seeds=3,
        needs=(_missing_equations,),
    ),
    Criterion(
        "share of those that assert, and do not only define, that hold as printed",
        _share({"result"}),
        Bounds(at_least=1),
        partly=Bounds(at_least=0.5),
        because="a definition can hardly be wrong and must not raise the share",
        statistic="min",
        least_seeds=3,
        needs=(_missing_equations,),
    ),
    Criterion(
        "largest residual of a corrected equation",
        _worst_corrected,
        Bounds(at_most=TOLERANCE),
        because="the solves are accurate to 1e-12 and the differences to about 1e-10, amplified by"
        " less than 1e3",
        statistic="max",
        least_seeds=3,
        needs=(_missing_equations,),
    ),
    Criterion(
        "verdicts that differ from those expected of the fact sheet",
        _surprises,
        Bounds(at_most=0),
        because="the list of slips was fixed before the run and is meant to be complete",
        statistic="max",
        least_seeds=3,
        needs=(_missing_equations,),
    ),
    Criterion(
        f"equations with a residual between {TOLERANCE:g} and {CLEAR:g}",
        _undecided,
        Bounds(at_most=0),
        because="a verdict must not hang on the choice of the tolerance",
        statistic="max",
        least_seeds=3,
        needs=(_missing_equations,),
    ),
]


@dataclass(frozen=True)
class WorstResiduals:
    """An equation with the largest residuals of its two forms over the repetitions."""

    equation: Equation
    printed: float
    corrected: float

    @property
    def slips(self) -> bool:
        """Whether it fails to hold as printed."""
        return self.printed > TOLERANCE


def worst_residuals(df: pd.DataFrame) -> list[WorstResiduals]:
    """Every equation that was measured, in the order of the tutorial."""
    worst: dict[tuple[str, str], float] = {}
    for names, rows in ok(df).groupby(["equation", "form", "repetition"]):
        key, form, _ = (str(name) for name in names)
        best = float(np.min(rows["residual"]))
        worst[key, form] = max(best, worst.get((key, form), 0.0))
    return [
        WorstResiduals(e, worst[e.key, "printed"], worst[e.key, "corrected"])
        for e in EQUATIONS
        if (e.key, "printed") in worst
    ]


def caveats(df: pd.DataFrame) -> list[str]:
    """Which slips are of notation only, which change what a reader computes, and the example."""
    slips = [w.equation for w in worst_residuals(df) if w.slips and w.equation.role != "example"]
    notation = {"index", "argument order", "partial for total", "integral signs"}
    light = [e.name for e in slips if e.kind in notation]
    heavy = [f"{e.name} ({e.kind or 'not expected'})" for e in slips if e.kind not in notation]
    sentences = []
    if light:
        sentences.append(f"{len(light)} slips are of notation: {', '.join(light)}.")
    if heavy:
        sentences.append(f"{len(heavy)} give wrong numbers: {', '.join(heavy)}.")
    example = df[(df["equation"] == "backward_example") & (df["form"] == "printed")]
    if len(example):
        left, right = example.iloc[0][["left", "right"]]
        sentences.append(
            f"For f = theta z, L = z(T), theta T = 1 the gradient is {left:.3f};"
            f" the printed backward pass gives {right:.3f}."
        )
    return sentences
