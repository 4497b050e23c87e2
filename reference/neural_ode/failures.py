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
