"""torchdiffeq: its ``odeint`` and ``odeint_adjoint``, unchanged."""

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
        """The work; a separate run counts its evaluations, since torchdiffeq does not."""
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

        def answer(output: Pass) -> Answer:
            field = CountedField(problem.field)
            forward = run(partial(solve, field), problem, gradient).stats
            backward = field.count - forward if gradient in ("adjoint", "seminorm") else None
            return Answer(states(output, problem), gradient_vector(output), forward, backward)

        return Prepared(lambda: run(partial(solve, problem.field), problem, gradient), answer)
