"""torchdiffeq: ``odeint`` and ``odeint_adjoint`` as they come."""

from functools import partial
from typing import Any

from torch import Tensor, nn

from odeclaims.backends.base import Answer, Backend, Prepared
from odeclaims.backends.on_torch import CountedField, Pass, gradient_vector, run, states
from odeclaims.workloads import Problem


class Torchdiffeq(Backend):
    """torchdiffeq (Chen 2018); its adjoint with the default norm or with the seminorm."""

    name = "torchdiffeq"
    requires = ("torchdiffeq",)
    gradients = ("backprop", "adjoint", "seminorm")

    def prepare(
        self, problem: Problem, *, method: str, tol: float, gradient: str | None
    ) -> Prepared:
        """The work, counted in a run of its own, since torchdiffeq keeps no counts."""
        import torchdiffeq

        settings: dict[str, Any] = {"rtol": tol, "atol": tol, "method": method}
        odeint = torchdiffeq.odeint
        if gradient in ("adjoint", "seminorm"):
            odeint = torchdiffeq.odeint_adjoint
        if gradient == "seminorm":
            settings["adjoint_options"] = {"norm": "seminorm"}

        def solve(field: nn.Module, y0: Tensor) -> tuple[Tensor, int]:
            ys: Any = odeint(field, y0, problem.ts, **settings)
            return ys, field.count if isinstance(field, CountedField) else 0

        def answer(done: Pass) -> Answer:
            field = CountedField(problem.field)
            forward = run(partial(solve, field), problem, gradient).stats
            again = field.count - forward if gradient in ("adjoint", "seminorm") else None
            return Answer(states(done, problem), gradient_vector(done), forward, again)

        return Prepared(lambda: run(partial(solve, problem.field), problem, gradient), answer)
