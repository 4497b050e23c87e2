"""How the rows are judged."""

import math
from functools import partial
from itertools import product
from typing import Any

import pandas as pd

from odeclaims.claim import FlipMap
from odeclaims.claims.adjoint_memory.settings import FIELDS
from odeclaims.kits import needs
from odeclaims.kits.constants import GRADIENT_LIMIT, REFERENCE_LIMIT
from odeclaims.kits.rows import of, ok
from odeclaims.rules import Bounds, Curve, Exact, Scales
from odeclaims.statement import Check, Size, Statement
from odeclaims.statistics import log_slope

NAMES = {"conv": "the conv field", "mlp": "the small MLP"}
SWEEPS = {"steps": "more steps", "tolerance": "tighter tolerance", "outputs": "more outputs"}
METERS = {"peak_saved_bytes": "bytes held", "peak_allocated_bytes": "allocator's peak"}
# A constant has slope 0; 0.05 is 19% more over a factor of 32.
FLAT = Bounds(-0.05, 0.05)
# A proportion has slope 1.
PROPORTIONAL = Bounds(0.8, 1.2)
# Evaluations of the replication, whose range counts as the published size.
REPLICATED = (14, 92)


def growth(df: pd.DataFrame, field: str, gradient: str, sweep: str, column: str) -> Curve:
    """A column over what a sweep raises, in units of its smallest value.

    That is over the forward evaluations, and in the sweep over outputs over their number.
    """
    rows = ok(df, field=field, gradient=gradient, sweep=sweep)
    over = rows["level" if sweep == "outputs" else "nfe_forward"].astype(float)
    height = rows[column].astype(float)
    return Curve(tuple(over), tuple(height / height.min()))


def _growth(column: str, gradient: str, sweep: str, field: str, df: pd.DataFrame) -> Curve:
    return growth(df, field, gradient, sweep, column)


def flips(df: pd.DataFrame) -> FlipMap:
    """How steeply the adjoint's memory grows with each thing that raises the cost.

    Over the evaluations, and in the last column over the number of output times. The other methods
    are not said to be constant, so they have no place here.
    """
    values = []
    for field, column, sweep in product(FIELDS, METERS, SWEEPS):
        curve = growth(df, field, "adjoint", sweep, column)
        slope = log_slope(curve.x, curve.y) if len(curve) else math.nan
        place = {"panel": field, "row": METERS[column], "column": SWEEPS[sweep]}
        values.append({**place, "value": slope})
    return FlipMap(
        "slope of the adjoint's log memory over log NFE, or over log number of outputs",
        pd.DataFrame(values),
        "meter",
        "what raises the cost",
        FLAT,
    )


def most_steps(df: pd.DataFrame, **equal: Any) -> pd.DataFrame:
    """Of rows of the sweep over steps, those with the most steps."""
    rows = ok(df, sweep="steps", **equal)
    return of(rows, level=rows["level"].max())


def _checkpointed_shares(df: pd.DataFrame) -> list[float]:
    """Checkpoints' bytes held over backprop's at the most steps, for each field and seed."""
    peaks = most_steps(df, gradient=["checkpointed", "backprop"]).pivot_table(
        "peak_saved_bytes", ["field", "repetition"], "gradient"
    )
    return list(peaks["checkpointed"] / peaks["backprop"])


def _symplectic_shares(df: pd.DataFrame) -> list[float]:
    """The allocator's peak stage by stage over that of checkpoints, at the fewest steps."""
    rows = ok(df, sweep="steps", field="conv", gradient=["symplectic", "checkpointed"])
    peaks = of(rows, level=rows["level"].min()).pivot_table(
        "peak_allocated_bytes", ["repetition"], "gradient"
    )
    if not {"symplectic", "checkpointed"} <= set(peaks.columns):
        return []
    return list(peaks["symplectic"] / peaks["checkpointed"])


def _gradient_errors(df: pd.DataFrame) -> list[float]:
    return list(most_steps(df, gradient="adjoint")["gradient_error"])


def _unequal_work(df: pd.DataFrame) -> list[float]:
    """The adjoint's forward evaluations less backprop's, in each place of the sweep over steps."""
    counts = ok(df, sweep="steps", gradient=["adjoint", "backprop"]).pivot_table(
        "nfe_forward", ["field", "level", "repetition"], "gradient"
    )
    return list((counts["adjoint"] - counts["backprop"]).dropna())


def _reference_errors(df: pd.DataFrame) -> list[float]:
    return list(ok(df)["reference_error"].dropna())


def _share_of_replicated(df: pd.DataFrame) -> float:
    """How wide the sweep over steps is beside the replication's, both as logarithms."""
    counts = ok(df, sweep="steps", gradient="adjoint")["nfe_forward"]
    low, high = REPLICATED
    return math.log(counts.max() / counts.min()) / math.log(high / low) if len(counts) else 0.0


SIZE = Size(
    f"the replication's range of evaluations, {REPLICATED[0]} to {REPLICATED[1]} on a log scale"
    " (the paper prints an order and no size)",
    _share_of_replicated,
)

CHECKS = [
    Check(
        "same_work",
        "Adjoint and backprop take equal numbers of forward evaluations in the sweep over steps",
        _unequal_work,
        Bounds(0, 0),
        "fixed steps of one method fix the number, so that only the memory differs",
    ),
    Check(
        "reference_converged",
        "The reference gradient has converged",
        _reference_errors,
        Bounds(at_most=REFERENCE_LIMIT),
        "half as many steps must give the same reference, or an error beside it says nothing",
    ),
]


def _wide(field: str, sweep: str, factor: float) -> needs.Need:
    """A slope means something only over a wide enough range of evaluations."""
    among = partial(ok, sweep=sweep, field=field, gradient="adjoint")
    return needs.span("nfe_forward", factor, "NFE spans", among)


def _accurate(field: str) -> needs.Need:
    """Little memory is worth nothing with a wrong gradient."""
    among = partial(most_steps, gradient="adjoint", field=field)
    what = "the adjoint's gradient error at the most steps"
    return needs.floor("gradient_error", GRADIENT_LIMIT, what, among)


def _over_steps(field: str) -> list[Statement]:
    """The statements on one field in the sweep over fixed steps."""
    wide, accurate, name = _wide(field, "steps", 16), _accurate(field), NAMES[field]
    return [
        Statement(
            f"adjoint_constant_{field}",
            f"Over fixed steps the adjoint's memory is constant in the evaluations: {name}",
            partial(_growth, "peak_allocated_bytes", "adjoint", "steps", field),
            Scales(FLAT),
            "a constant has slope 0; 0.05 is 19% more over a factor of 32. The allocator counts"
            " everything, so that nothing hides",
            needs=(wide, accurate),
            central=True,
            rests_on=("same_work", "reference_converged"),
        ),
        Statement(
            f"backprop_grows_{field}",
            f"Over fixed steps backprop's memory grows in proportion to the evaluations: {name}",
            partial(_growth, "peak_saved_bytes", "backprop", "steps", field),
            Scales(PROPORTIONAL),
            "growth in proportion has slope 1; a constant part lowers it a little",
            needs=(wide,),
            central=True,
            rests_on=("same_work",),
        ),
        Statement(
            f"adjoint_holds_no_more_{field}",
            f"Over fixed steps the bytes that autograd holds for the adjoint are constant: {name}",
            partial(_growth, "peak_saved_bytes", "adjoint", "steps", field),
            Scales(FLAT),
            "what is saved for the way back is the part that the method decides",
            needs=(wide,),
            rests_on=("same_work",),
        ),
        Statement(
            f"reversible_constant_{field}",
            f"Over fixed steps a reversible solver's memory is constant too: {name}",
            partial(_growth, "peak_allocated_bytes", "reversible", "steps", field),
            Scales(FLAT),
            "steps that are taken back are not kept",
            needs=(wide,),
        ),
        Statement(
            f"coupled_constant_{field}",
            f"Over fixed steps the memory of rk4 coupled with a second state is constant: {name}",
            partial(_growth, "peak_allocated_bytes", "coupled", "steps", field),
            Scales(FLAT),
            "any explicit method becomes reversible so (McCallum and Foster 2024)",
            needs=(wide,),
        ),
    ]


STATEMENTS = [
    *_over_steps("conv"),
    *_over_steps("mlp"),
    Statement(
        "adjoint_constant_adaptive",
        "Over tolerances of an adaptive solver the adjoint's memory is constant in the evaluations:"
        f" {NAMES['conv']}",
        partial(_growth, "peak_allocated_bytes", "adjoint", "tolerance", "conv"),
        Scales(FLAT),
        "the paper's solver is adaptive, and its depth is what the tolerance asks for; the small"
        " MLP is too smooth to need many evaluations at any tolerance",
        needs=(_wide("conv", "tolerance", 4), _accurate("conv")),
        central=True,
    ),
    Statement(
        "backprop_grows_adaptive",
        "Over tolerances of an adaptive solver backprop's memory grows in proportion to the"
        f" evaluations: {NAMES['conv']}",
        partial(_growth, "peak_saved_bytes", "backprop", "tolerance", "conv"),
        Scales(PROPORTIONAL),
        "the same bounds as over fixed steps",
        needs=(_wide("conv", "tolerance", 4),),
    ),
    Statement(
        "outputs_are_stored",
        "Over output times the adjoint's memory is not constant but in proportion to their number:"
        f" {NAMES['mlp']}",
        partial(_growth, "held_bytes", "adjoint", "outputs", "mlp"),
        Scales(PROPORTIONAL),
        "the state at every output is stored, which users met who asked for 1,000 of them"
        " (torchdiffeq issue 259); bytes held between the two passes",
    ),
    Statement(
        "adjoint_is_right",
        "At the most steps the adjoint's gradient is right to 1%",
        _gradient_errors,
        Exact(Bounds(at_most=GRADIENT_LIMIT)),
        "little memory is worth nothing with a wrong gradient; 1% is the limit of the validity"
        " stamp. The range is over fields and seeds",
        rests_on=("reference_converged",),
    ),
    Statement(
        "checkpoints_hold_little",
        "At the most steps checkpoints hold at most a quarter of backprop's bytes",
        _checkpointed_shares,
        Exact(Bounds(at_most=0.25)),
        "one state a step against the graph of four evaluations, each of which holds at least one"
        " tensor of the state's size; the graph of a single step comes on top. The range is over"
        " fields and seeds",
        needs=(_wide("conv", "steps", 16),),
    ),
    Statement(
        "stages_hold_less",
        "With few steps going back stage by stage needs at most three quarters of the memory of"
        f" checkpoints: {NAMES['conv']}",
        _symplectic_shares,
        Exact(Bounds(at_most=0.75)),
        "the graph of one evaluation against that of the four of rk4; the points and the slopes of"
        " four stages come on top, some ten tensors of the state's size. The allocator counts"
        " everything",
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """What the headline does not say: memory over outputs, and the rows that fail their checks."""
    caveats = []
    rows = ok(df, sweep="outputs", gradient="adjoint")
    for field, group in rows.groupby("field"):
        ordered = group.sort_values("level")
        first, last = ordered.iloc[0], ordered.iloc[-1]
        times = last["held_bytes"] / first["held_bytes"]
        cost = last["nfe_backward"] / first["nfe_backward"]
        caveats.append(
            f"The adjoint is not constant over output times ({field}): from {first['level']:g} to"
            f" {last['level']:g} of them it holds {times:.3g} times the bytes and evaluates the"
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
