"""What a solve can die of. Each failure has a ``status``, the word that a table of results uses."""

import math

import torch


class SolverFailure(RuntimeError, AssertionError):
    """A solve that could not reach its last output time.

    It is an ``AssertionError`` too, since that is how torchdiffeq fails and what scripts written
    for it catch.

    Attributes:
        status: one word for tables of results.
        t: the time at which the solve stopped.
    """

    status = "failed"

    def __init__(self, message: str, t: float):
        super().__init__(message)
        self.t = t


class StepUnderflow(SolverFailure):
    """The step that the tolerance asks for is too small to move the time on."""

    status = "underflow"


class ToleranceUnderflow(StepUnderflow):
    """The tolerance is far below the rounding of the state, so that its steps do not get on."""


class StepLimit(SolverFailure):
    """More steps than ``max_num_steps`` between two output times."""

    status = "max_steps"


class NonFinite(SolverFailure):
    """The field, and so the state, took a value that is not finite."""

    status = "nonfinite"


class NotOffered(SolverFailure):
    """The solver of ``solve_with`` does not offer what is asked for, such as a method."""

    status = "not_offered"

    def __init__(self, message: str):
        super().__init__(message, math.nan)


def step_limit(attempts: int, goal: float, t: float) -> StepLimit:
    """The failure of a solve that took so many steps on the way to an output or an event."""
    what = "an event" if math.isinf(goal) else f"t={goal:.9g}"
    return StepLimit(f"{attempts} steps taken without reaching {what}", t)


def step_underflow(h: float, t: float) -> StepUnderflow:
    """The failure of a step that rounding swallows."""
    return StepUnderflow(f"the step {h:.3g} at t={t:.9g} is too small to move the time", t)


def too_tight(t: float, h: float, dtype: torch.dtype) -> ToleranceUnderflow:
    """The failure of a solve whose tolerance is out of reach for numbers of this dtype."""
    wider = "" if dtype == torch.float64 else ", or float64 for the state"
    return ToleranceUnderflow(
        f"the tolerance is far below the rounding of the state in {dtype}, so that the steps near"
        f" t={t:.9g}, of {h:.3g}, are too short to reach the end: take a larger rtol or"
        f" atol{wider}",
        t,
    )


def not_finite(t: float, where: str = "just after") -> NonFinite:
    """The failure of a field or state with NaN or infinity at a time, or ``where`` beside it."""
    return NonFinite(f"the field or the state is not finite {where} t={t:.9g}", t)


def overflow(t: float, largest: float, dtype: torch.dtype) -> NonFinite:
    """The failure of a state that grows beyond the largest number of its dtype."""
    return NonFinite(
        f"the state overflows {dtype} just after t={t:.9g}, where its largest entry is"
        f" {largest:.3g}, so that only ever shorter steps are finite",
        t,
    )


def stagnation(t: float, *, nonfinite: bool) -> SolverFailure:
    """The failure of a solve whose steps pass only where they are too short to bring anything."""
    if nonfinite:
        return NonFinite(
            f"the field or the state is not finite just after t={t:.9g}, except over steps too"
            " short to get on",
            t,
        )
    return StepUnderflow(
        f"the steps just after t={t:.9g} meet the tolerance only where they are too small to move"
        " the state",
        t,
    )
