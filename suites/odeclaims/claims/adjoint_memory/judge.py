"""How the rows are judged."""

import math
from functools import partial
from itertools import product

import pandas as pd

from odeclaims.claim import Bounds, Criterion, FlipMap
from odeclaims.claims.adjoint_memory.settings import ARMS, FIELDS
from odeclaims.kits import needs
from odeclaims.kits.rows import of, ok
from odeclaims.statistics import log_slope

SWEEPS = {"steps": "more steps", "tolerance": "tighter tolerance", "outputs": "more outputs"}
# A slope that is nearly 0, and one of a memory that grows much more slowly than the evaluations.
FLAT, NEARLY_FLAT = Bounds(at_most=0.05), Bounds(at_most=0.2)


def _slopes(df: pd.DataFrame, gradient: str, column: str, sweep: str = "steps") -> list[float]:
    """The log-log slope of a column over forward NFE in a sweep, for each field and repetition.

    In the sweep over outputs the slope is that over their number.
    """
    rows = ok(df, sweep=sweep, gradient=gradient)
    over = "level" if sweep == "outputs" else "nfe_forward"
    groups = rows.groupby(["field", "repetition"])
    return [log_slope(group[over], group[column]) for _, group in groups]


def flips(df: pd.DataFrame) -> FlipMap:
    """How steeply each method's memory grows with each thing that raises the cost.

    Over the evaluations, and in the last column over the number of output times.
    """
    values = []
    for field, gradient, (sweep, label) in product(FIELDS, ARMS, SWEEPS.items()):
        slopes = _slopes(of(df, field=field), gradient, "peak_saved_bytes", sweep)
        steepest = max(map(abs, slopes), default=math.nan)
        values.append({"panel": field, "row": gradient, "column": label, "value": steepest})
    return FlipMap(
        "|slope| of log peak saved bytes over log NFE, or over log number of outputs",
        pd.DataFrame(values),
        "gradient method",
        "what raises the cost",
        FLAT,
        NEARLY_FLAT,
    )


def _shares(df: pd.DataFrame, gradient: str) -> list[float]:
    """A method's peak saved bytes over backprop's at the most steps, for each field."""
    peaks = _at_most_steps(ok(df, sweep="steps")).pivot_table(
        "peak_saved_bytes", ["field", "repetition"], "gradient"
    )
    return list(peaks[gradient] / peaks["backprop"])


def _gradient_errors(df: pd.DataFrame) -> list[float]:
    """The adjoint's gradient error at the most steps, for each field and repetition."""
    return list(_at_most_steps(ok(df, sweep="steps", gradient="adjoint"))["gradient_error"])


def _at_most_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows of the sweep over steps, those with the most steps."""
    return of(rows, level=rows["level"].max())


# A slope means something only over a wide enough range of evaluations.
WIDE_SPAN = [needs.span("nfe_forward", 16, "NFE spans", partial(ok, sweep="steps"))]


CRITERIA = [
    Criterion(
        "adjoint, |slope| of log peak saved bytes over log NFE",
        lambda df: [abs(s) for s in _slopes(df, "adjoint", "peak_saved_bytes")],
        FLAT,
        "a constant has slope 0; 0.05 is 19% more over a factor of 32",
        partly=NEARLY_FLAT,
        statistic="max",
        needs=WIDE_SPAN,
    ),
    Criterion(
        "adjoint, |slope| of log allocator peak over log NFE",
        lambda df: [abs(s) for s in _slopes(df, "adjoint", "peak_allocated_bytes")],
        FLAT,
        "the same for everything allocated, so that nothing hides from the first meter",
        partly=NEARLY_FLAT,
        statistic="max",
        needs=WIDE_SPAN,
    ),
    Criterion(
        "backprop, slope of log peak saved bytes over log NFE",
        lambda df: _slopes(df, "backprop", "peak_saved_bytes"),
        Bounds(at_least=0.8),
        "growth in proportion has slope 1; a constant part lowers it a little",
        statistic="min",
        needs=WIDE_SPAN,
    ),
    Criterion(
        "adjoint, gradient error at the most steps",
        _gradient_errors,
        Bounds(at_most=1e-2),
        "little memory is worth nothing with a wrong gradient; 1% is the stamp's limit",
        statistic="max",
        needs=WIDE_SPAN,
    ),
    Criterion(
        "reversible, |slope| of log peak saved bytes over log NFE",
        lambda df: [abs(s) for s in _slopes(df, "reversible", "peak_saved_bytes")],
        FLAT,
        "steps that are taken back are not kept, so this is a constant as well",
        partly=NEARLY_FLAT,
        statistic="max",
        needs=WIDE_SPAN,
        decides=False,
    ),
    Criterion(
        "checkpointed, share of backprop's peak saved bytes at the most steps",
        lambda df: _shares(df, "checkpointed"),
        Bounds(at_most=0.25),
        "one state a step against the graph of four evaluations, each of which holds at least one"
        " tensor of the state's size; the graph of a single step comes on top",
        statistic="max",
        needs=WIDE_SPAN,
        decides=False,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """What the headline does not say: memory over outputs, and the rows that fail their checks."""
    caveats = []
    rows = ok(df, sweep="outputs", gradient="adjoint")
    for field, group in rows.groupby("field"):
        ordered = group.sort_values("level")
        first, last = ordered.iloc[0], ordered.iloc[-1]
        growth = last["held_bytes"] / first["held_bytes"]
        cost = last["nfe_backward"] / first["nfe_backward"]
        caveats.append(
            f"The adjoint is not constant over output times ({field}): from {first['level']:g} to"
            f" {last['level']:g} of them it holds {growth:.3g} times the bytes and evaluates the"
            f" field {cost:.3g} times as often on its way back."
        )
    solved = ok(df)
    bad = solved[~solved["valid"].astype(bool)]
    if len(bad):
        caveats.append(
            f"{len(bad)} of {len(df)} rows fail a validity check (mostly coarse steps or loose"
            " tolerances); they are drawn hollow."
        )
    return caveats
