"""What a run asks of the solver around a claim that solves nothing; see ``torch``."""


class SolverFailure(RuntimeError):
    """Raised by nothing here."""
