"""This project's solver, run eagerly."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Complex, Float, Float64
from torch import Tensor, nn

from neural_ode import (
    Adjoint,
    Backprop,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    Stats,
    SymplecticAdjoint,
    odeint,
    odeint_adjoint,
    solve,
)
from neural_ode.failures import NotOffered
from neural_ode.field import Field
from neural_ode.gradients import Gradient
from neural_ode.odeint_event import link_event
from neural_ode.settings import Settings
from odeclaims.backends.base import Answer, Backend, Crossing, Ending, Prepared
from odeclaims.backends.on_torch import Pass, ending, gradient_vector, run, states
from odeclaims.workloads import Problem

# The gradients of this project by the names that all backends share.
WAYS = {
    "backprop": Backprop(),
    "checkpointed": Checkpointed(),
    "symplectic": SymplecticAdjoint(),
    "reversible": Reversible(),
    "adjoint": Adjoint(),
    "seminorm": Adjoint(norm="seminorm"),
    "interpolated": InterpolatedAdjoint(),
}


# For each gradient: the function that takes complex states, and its arguments.
_COMPLEX: dict[str | None, tuple[Callable[..., Any], dict[str, Any]]] = {
    None: (odeint, {}),
    "backprop": (odeint, {}),
    "adjoint": (odeint_adjoint, {}),
    "seminorm": (odeint_adjoint, {"adjoint_options": {"norm": "seminorm"}}),
}


class Ours(Backend):
    """``neural_ode.solve``, one operation after another.

    ``reversible`` always takes ``reversible_heun``, which can be undone; of the other methods only
    a ``Coupled`` one can.
    """

    name = "ours"
    gradients = tuple(WAYS)
    compiles: ClassVar[bool] = False

    def prepare(
        self, problem: Problem, *, method: str, tol: float, gradient: str | None
    ) -> Prepared:
        """The work; the solver counts its evaluations itself."""
        settings = self._settings(method, tol, gradient)

        def solve_from(y0: Tensor) -> tuple[Tensor, Stats]:
            solution = solve(problem.field, y0, problem.ts, **settings)
            return solution.ys, solution.stats

        def answer(output: Pass) -> Answer:
            stats: Stats = output.stats
            return Answer(
                states(output, problem),
                gradient_vector(output),
                stats.nfe_forward,
                stats.nfe_backward,
                stats.compile_s if self.compiles else None,
            )

        return Prepared(lambda: run(solve_from, problem, gradient), answer)

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
        gradient: Gradient,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """One solve of a claim."""
        try:
            chosen = replace(settings, compile=self.compiles)
        except ValueError as error:
            raise NotOffered(f"{self.name} does not offer this: {error}") from None
        return gradient.solve(field, y0, ts, chosen)

    def solve_dense(
        self,
        problem: Problem,
        times: Float64[np.ndarray, " time"],
        *,
        method: str,
        tol: float,
    ) -> Answer:
        """The states of a solve that keeps its steps."""
        settings = self._settings(method, tol, None)
        with torch.no_grad():
            solution = solve(problem.field, problem.y0, problem.ts[[0, -1]], dense=True, **settings)
            ys = solution.at(torch.tensor(times))
        return Answer(ys.double().cpu().numpy(), None, solution.stats.nfe_forward, None)

    def solve_to_event(
        self,
        problem: Problem,
        event: Crossing,
        *,
        method: str,
        tol: float,
        gradient: str | None,
    ) -> Ending:
        """The end at the first zero of the event function."""
        settings = self._settings(method, tol, gradient)

        def solve_from(y0: Tensor) -> tuple[Tensor, Tensor]:
            solution = solve(problem.field, y0, problem.ts, event_fn=event.value, **settings)
            return link_event(problem.field, event.value, solution.ts[-1], solution.ys[-1])

        return ending(solve_from, problem, gradient)

    def solve_complex(
        self,
        field: nn.Module,
        y0: Complex[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        *,
        method: str,
        tol: float,
        gradient: str | None,
    ) -> Complex[Tensor, "time *state"]:
        """The states by ``odeint``, or by ``odeint_adjoint``."""
        if self.compiles:
            raise NotOffered("complex states go through odeint, which does not compile")
        if gradient not in _COMPLEX:
            raise NotOffered(f"odeint does not offer the gradient {gradient} of complex states")
        function, more = _COMPLEX[gradient]
        ys: Any = function(field, y0, ts, method=method, rtol=tol, atol=tol, **more)
        return ys

    def _settings(self, method: str, tol: float, gradient: str | None) -> dict[str, Any]:
        """The arguments of ``neural_ode.solve``."""
        return {
            "method": "reversible_heun" if gradient == "reversible" else method,
            "rtol": tol,
            "atol": tol,
            "gradient": WAYS[gradient] if gradient else None,
            "compile": self.compiles,
        }
