"""A backend: a solver behind one interface, which does a given piece of work and reports on it."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Complex, Float, Float64

# Only for the annotations: these import torch, and the names of backends need none of it.
if TYPE_CHECKING:
    from torch import Tensor, nn

    from neural_ode import SolverFailure
    from neural_ode.field import Field
    from neural_ode.gradients import Gradient
    from neural_ode.settings import Settings
    from neural_ode.solution import Stats
    from odeclaims.workloads import Problem


@dataclass(frozen=True)
class Way:
    """What is expected of a way to the gradient, whatever solver it is that of.

    Attributes:
        of_steps: whether it differentiates the computed steps; otherwise the flow.
        flat: whether a longer solve needs no more memory.
    """

    of_steps: bool
    flat: bool


# The ways to a gradient that the suite compares; a backend offers some of them.
GRADIENTS = {
    "backprop": Way(of_steps=True, flat=False),
    "checkpointed": Way(of_steps=True, flat=False),
    "symplectic": Way(of_steps=True, flat=False),
    "reversible": Way(of_steps=True, flat=True),
    "adjoint": Way(of_steps=False, flat=True),
    "seminorm": Way(of_steps=False, flat=True),
    "interpolated": Way(of_steps=False, flat=False),
}


@dataclass(frozen=True)
class Answer:
    """The result of a piece of work, as plain numbers.

    Attributes:
        states: the states at every output time after the first; of ``solve_dense``, those at every
            time that it was asked for.
        gradient: the gradient of ``loss_of`` as one vector: that of the initial states, then that
            of each parameter in the order of ``field.parameters()``; where a net is trained, those
            of the parameters of stem, field and head; ``None`` if the work has no gradient.
        nfe_forward: field evaluations of the forward solve, on the whole batch each; ``None`` where
            the backend does not know.
        nfe_backward: evaluations of the field with its vector-Jacobian product in the backward
            pass; ``None`` where the backend does not know, where it evaluates nothing again, and
            without a gradient.
        compile_s: seconds that this call spent compiling; ``None`` where nothing is compiled.
    """

    states: Float64[np.ndarray, "time batch *features"]
    gradient: Float64[np.ndarray, " inputs"] | None
    nfe_forward: int | None
    nfe_backward: int | None
    compile_s: float | None = None


@dataclass(frozen=True)
class Crossing:
    """An event: a feature of the only sample meets a line in time.

    Attributes:
        feature: its index.
        level: the line at time 0, in units of the state.
        slope: how much it rises in a unit of time.
    """

    feature: int
    level: float
    slope: float

    def value(self, t: Any, y: Any) -> Any:
        """The event function, which is zero at the event.

        Args:
            t: the time, 0-dimensional.
            y: the state, shape [1, features], an array of torch, JAX or NumPy.

        Returns:
            A 0-dimensional number.
        """
        return y[0, self.feature] - self.level - self.slope * t


@dataclass(frozen=True)
class Ending:
    """The end of a solve at an event, as plain numbers.

    Attributes:
        t: the time of the event.
        state: the state there, shape [1, features].
        gradient: the gradient of ``t``, in the order of ``Answer.gradient``; ``None`` if none was
            asked for.
    """

    t: float
    state: Float64[np.ndarray, "batch *features"]
    gradient: Float64[np.ndarray, " inputs"] | None


@dataclass(frozen=True)
class Prepared:
    """A piece of work whose preparation is done, so that only the work itself is timed.

    Attributes:
        run: does the whole work once, forward or forward and backward, waits until it is done, and
            returns whatever ``answer`` needs.
        answer: turns an output of ``run`` into an ``Answer``; it is never timed, so it may do the
            work again to count evaluations.
    """

    run: Callable[[], Any]
    answer: Callable[[Any], Answer]


class Backend:
    """A solver to be compared with others.

    A subclass sets the attributes. With ``prepare`` it is timed and checked beside the others, and
    with ``solve`` it runs whole claims. ``solve_dense``, ``solve_to_event`` and ``solve_complex``
    are checked where it defines them.

    Attributes:
        name: its name in tables and figures.
        requires: the distributions that it needs, by their names for pip.
        gradients: which of ``GRADIENTS`` it offers; may be empty.
        in_torch: whether it solves torch's own tensors. If so, torch's allocator measures its peak
            memory, and it also trains whole nets around a field.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    gradients: ClassVar[tuple[str, ...]] = ()
    in_torch: ClassVar[bool] = True

    def missing(self, device: str = "cpu") -> list[str]:
        """The names of what has to be installed first; empty if the backend can be used.

        Args:
            device: the torch device of the problems to be solved.
        """
        return [name for name in self.requires if not is_installed(name)]

    def prepare(
        self, problem: "Problem", *, method: str, tol: float, gradient: str | None
    ) -> Prepared:
        """Set up the work on a problem.

        Args:
            problem: the field, the initial states and the output times; its ``tol`` is ignored
                here.
            method: the name of a Runge-Kutta method, as in ``neural_ode.METHODS``.
            tol: relative and absolute tolerance of the forward and the backward solve.
            gradient: one of ``gradients``, which the caller makes sure of, or ``None`` for the
                forward solve alone.

        Raises:
            ValueError: for a problem or a method that the backend does not know.
        """
        raise NotImplementedError(f"backend {self.name} defines no prepare")

    def solve(
        self,
        field: "Field",
        y0: "Float[Tensor, '*state']",
        ts: "Float[Tensor, ' time']",
        settings: "Settings",
        gradient: "Gradient",
    ) -> "tuple[Float[Tensor, 'time *state'], Stats]":
        """One solve of a claim, as ``neural_ode.solve`` hands it over: see ``Delegate``.

        Raises:
            NotOffered: for a method, a setting or a gradient that this backend does not have.
            SolverFailure: where the solve cannot reach its last output time.
        """
        raise NotImplementedError(f"backend {self.name} defines no solve")

    def solve_dense(
        self,
        problem: "Problem",
        times: Float64[np.ndarray, " time"],
        *,
        method: str,
        tol: float,
    ) -> Answer:
        """The states at any times of a solve that is already done, by its dense output.

        Args:
            problem: the field and the initial states; the solve goes from the first of its output
                times to the last.
            times: where the states are asked for.
            method, tol: as for ``prepare``.

        Returns:
            The states at ``times``, and the evaluations of the solve.

        Raises:
            NotOffered: where there is no dense output, or none of this method.
        """
        raise _not_offered(self, "dense output")

    def solve_to_event(
        self,
        problem: "Problem",
        event: Crossing,
        *,
        method: str,
        tol: float,
        gradient: str | None,
    ) -> Ending:
        """Solve until an event comes.

        Args:
            problem: the field, the initial state of one sample, and two output times: the solve
                begins at the first, and the event comes before the second.
            event: the event; the first that comes is meant.
            method, tol, gradient: as for ``prepare``.

        Returns:
            The time and the state of the event, and the gradient of the time if one was asked for.

        Raises:
            NotOffered: where there are no events, or none with this method or gradient.
        """
        raise _not_offered(self, "events")

    def solve_complex(
        self,
        field: "nn.Module",
        y0: "Complex[Tensor, '*state']",
        ts: "Float[Tensor, ' time']",
        *,
        method: str,
        tol: float,
        gradient: str | None,
    ) -> "Complex[Tensor, 'time *state']":
        """The states of a complex solve, which autograd can differentiate.

        Args:
            field: the derivative, in torch; its parameters are complex.
            y0: the initial state.
            ts: the output times.
            method, tol, gradient: as for ``prepare``.

        Raises:
            NotOffered: where there are no complex states, or none with this gradient.
        """
        raise _not_offered(self, "complex states")

    def failure_of(self, error: Exception) -> "SolverFailure | None":
        """The failure that an exception of a way back stands for; ``None`` for a bug.

        ``solve`` raises its own failures, but a way back runs where nothing of it is on the stack.
        """
        return None

    @property
    def runs_claims(self) -> bool:
        """Whether it defines ``solve``."""
        return type(self).solve is not Backend.solve


def _not_offered(backend: Backend, what: str) -> Exception:
    from neural_ode.failures import NotOffered

    return NotOffered(f"{backend.name} does not offer {what}")


def is_installed(distribution: str) -> bool:
    """Whether pip's name ``distribution`` is installed."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
