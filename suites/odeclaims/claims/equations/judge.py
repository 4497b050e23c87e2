"""How the residuals are judged."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from odeclaims.claims.equations.catalogue import BY_KEY, EQUATIONS, SECTION_NAMES, Equation
from odeclaims.kits import needs
from odeclaims.kits.quantities import MATHEMATICS
from odeclaims.kits.rows import of, ok
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Check, Statement

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


def _section(section: str, df: pd.DataFrame) -> list[float]:
    """The residuals of a section's equations: as printed, or as corrected where a slip is known."""
    best = residuals(df)
    equations = [BY_KEY[key] for key in best["equation"]]
    inside = np.array([equation.section == section for equation in equations], dtype=bool)
    slips = np.array([bool(equation.kind) for equation in equations], dtype=bool)
    return list(best["corrected"].where(slips, best["printed"])[inside])


def _as_printed(key: str, df: pd.DataFrame) -> list[float]:
    """The residuals of an equation as printed."""
    return list(of(residuals(df), equation=key)["printed"])


def _corrected(df: pd.DataFrame) -> list[float]:
    return list(residuals(df)["corrected"])


def _between(df: pd.DataFrame) -> list[float]:
    """For each printed form, 1 if its residual is neither small nor clearly too large, else 0."""
    printed = residuals(df)["printed"]
    return list(((printed > TOLERANCE) & (printed < CLEAR)).astype(float))


def _missing_equations(df: pd.DataFrame) -> str:
    """A repetition that lacks equations would be judged by a part of the tutorial."""
    measured = ok(df)
    for repetition in sorted(df["repetition"].unique()):
        keys = set(of(measured, repetition=repetition)["equation"])
        if missing := [e.key for e in EQUATIONS if e.key not in keys]:
            return f"no rows of {', '.join(missing)} in repetition {repetition}"
    return ""


# Of these slips a reader reads past; the others change what is computed.
NOTATION = {"index", "argument order", "partial for total", "integral signs"}
_NEEDS = (needs.seeds(3), _missing_equations)
_ACCURACY = (
    "the solves are accurate to 1e-12 and the differences to about 1e-10, amplified by less than"
    " 1e3; a wrong sign, factor or transpose is an error of order one"
)

SIZE = MATHEMATICS

CHECKS = [
    Check(
        "clear_residuals",
        f"No residual of a printed equation lies between {TOLERANCE:g} and {CLEAR:g}",
        _between,
        Bounds(at_most=0),
        "a verdict must not hang on the choice of the tolerance",
    ),
    Check(
        "corrected_hold",
        "Every corrected equation holds",
        _corrected,
        Bounds(at_most=TOLERANCE),
        "where even the corrected form fails, the problem or the solver is at fault",
    ),
]


def _of_section(section: str) -> Statement:
    return Statement(
        f"section_{section}",
        f'The mathematics of the section "{SECTION_NAMES[section]}" holds',
        partial(_section, section),
        Exact(Bounds(at_most=TOLERANCE)),
        "each equation as printed, or as corrected where a slip of it is a statement of its own;"
        f" {_ACCURACY}. The range is over equations and random problems",
        needs=_NEEDS,
        central=True,
        rests_on=("clear_residuals",),
    )


def _of_print(equation: Equation) -> Statement:
    return Statement(
        f"printed_{equation.key}",
        f'"{equation.name}" holds as printed: {equation.printed}',
        partial(_as_printed, equation.key),
        Exact(Bounds(at_most=TOLERANCE)),
        f"expected to fail ({equation.kind}); corrected: {equation.corrected}. The range is over"
        " random problems",
        needs=_NEEDS,
        central=equation.kind not in NOTATION,
        rests_on=("clear_residuals", "corrected_hold"),
    )


STATEMENTS = [
    *map(_of_section, SECTION_NAMES),
    *(_of_print(e) for e in EQUATIONS if e.kind and e.role != "example"),
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
    """How many hold, which slips are of notation alone, which are not, and the example."""
    counted = [w for w in worst_residuals(df) if w.equation.role != "example"]
    asserting = [w for w in counted if w.equation.role == "result"]
    slips = [w.equation for w in counted if w.slips]
    sound = sum(not w.slips for w in asserting)
    light = [e.name for e in slips if e.kind in NOTATION]
    heavy = [f"{e.name} ({e.kind or 'not expected'})" for e in slips if e.kind not in NOTATION]
    sentences = [
        f"Of {len(counted)} displayed equations {len(counted) - len(slips)} hold as printed; of the"
        f" {len(asserting)} that assert and do not only define, {sound} do."
    ]
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
