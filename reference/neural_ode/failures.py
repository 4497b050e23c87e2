"""What a solve can die of. Each failure has a ``status``, the word that a table of results uses."""


class SolverFailure(RuntimeError):
    """A solve that could not reach its last output time.

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


class StepLimit(SolverFailure):
    """More steps than ``max_num_steps`` between two output times."""

    status = "max_steps"


class NonFinite(SolverFailure):
    """The field, and so the state, took a value that is not finite."""

    status = "nonfinite"


def step_limit(attempts: int, goal: float, t: float) -> StepLimit:
    """The failure of a solve that took so many steps on the way to one output time."""
    return StepLimit(f"{attempts} steps taken without reaching t={goal:.9g}", t)


def step_underflow(h: float, t: float) -> StepUnderflow:
    """The failure of a step that rounding swallows."""
    return StepUnderflow(f"the step {h:.3g} at t={t:.9g} is too small to move the time", t)


def not_finite(t: float, where: str = "just after") -> NonFinite:
    """The failure of a field or state with NaN or infinity at a time, or ``where`` beside it."""
    return NonFinite(f"the field or the state is not finite {where} t={t:.9g}", t)
