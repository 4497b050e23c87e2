"""Solves that are handed to another solver.

Models, flows and experiments call ``solve`` deep inside. ``solve_with`` runs all of them on another
solver while its block lasts, as ``scipy.fft.set_backend`` does for transforms. ``solve`` still
reads and checks every argument, so that the other solver gets them in one form.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from neural_ode.failures import SolverFailure
from neural_ode.field import Field
from neural_ode.gradients import Gradient
from neural_ode.settings import Settings
from neural_ode.solution import Stats


@runtime_checkable
class Delegate(Protocol):
    """Another solver, as ``solve`` calls it."""

    def __call__(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
        gradient: Gradient,
        /,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """The solution at ``ts``, which autograd can differentiate, and what it has cost.

        Args:
            field: the derivative of the state.
            y0: the initial state.
            ts: the output times.
            settings: everything else that ``solve`` was given, checked.
            gradient: the way to the gradient that was asked for.

        Raises:
            NotOffered: for what this solver does not offer.
            SolverFailure: where the solve cannot reach its last output time.
        """
        ...


_DELEGATE: ContextVar[Delegate | None] = ContextVar("delegate", default=None)


def failure_of(error: Exception) -> SolverFailure | None:
    """The failure for which an exception of the solver that is chosen here stands, if for any.

    On a way back a delegate cannot name its failures, so it may have a function ``failure_of``.
    """
    if isinstance(error, SolverFailure):
        return error
    name_failure = getattr(_DELEGATE.get(), "failure_of", None)
    return name_failure(error) if name_failure else None


@contextmanager
def solve_with(delegate: Delegate | None) -> Iterator[None]:
    """Hand every call of ``solve`` in this block to another solver; ``None`` stands for this one.

    It holds for the thread, or the asynchronous task, that enters the block.
    """
    token = _DELEGATE.set(delegate)
    try:
        yield
    finally:
        _DELEGATE.reset(token)


def is_delegated() -> bool:
    """Whether another solver solves here."""
    return _DELEGATE.get() is not None


def hand_over(
    field: Field,
    y0: Float[Tensor, "*state"],
    ts: Float[Tensor, " time"],
    settings: Settings,
    gradient: Gradient,
) -> tuple[Float[Tensor, "time *state"], Stats]:
    """The solution by the solver that is chosen here."""
    delegate = _DELEGATE.get()
    if delegate is None:
        return gradient.solve(field, y0, ts, settings)
    return delegate(field, y0, ts, settings, gradient)
