"""This project's solver, run eagerly."""

from dataclasses import replace
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from neural_ode import (
    Adjoint,
    Backprop,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    Stats,
    solve,
)
from neural_ode.failures import NotOffered
from neural_ode.field import Field
from neural_ode.gradients import Gradient
from neural_ode.settings import Settings
from odeclaims.backends.base import Answer, Backend, Prepared
from odeclaims.backends.on_torch import Pass, gradient_vector, run, states
from odeclaims.workloads import Problem

# The gradients of this project by the names that all backends share.
WAYS = {
    "backprop": Backprop(),
    "checkpointed": Checkpointed(),
    "reversible": Reversible(),
    "adjoint": Adjoint(),
    "seminorm": Adjoint(norm="seminorm"),
    "interpolated": InterpolatedAdjoint(),
}


class Ours(Backend):
    """``neural_ode.solve``, one operation after another.

    ``reversible`` always takes ``reversible_heun``, the only method that can be undone.
    """

    name = "ours"
    gradients = tuple(WAYS)
    compiles: ClassVar[bool] = False

    def prepare(
        self, problem: Problem, *, method: str, tol: float, gradient: str | None
    ) -> Prepared:
        """The work; the solver counts its evaluations itself."""
        settings: dict[str, Any] = {
            "method": "reversible_heun" if gradient == "reversible" else method,
            "rtol": tol,
            "atol": tol,
            "gradient": WAYS[gradient] if gradient else None,
            "compile": self.compiles,
        }

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
