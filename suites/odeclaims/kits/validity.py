"""The validity stamp: whether a solve was accurate enough for its numbers to mean anything.

At a loose tolerance a solver may finish quickly and return something that is not the flow at all:
an NFE is then a number about nothing. So a row that carries an NFE also carries three checks, and a
headline is quoted at the loosest tolerance that passes them.
"""

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from neural_ode import Solution, solve
from neural_ode.delegate import solve_with
from neural_ode.field import Field
from odeclaims.cell import Row, guarded
from odeclaims.kits.constants import GRADIENT_LIMIT, RECONSTRUCTION_LIMIT, REFERENCE_LIMIT


def relative_error(value: Tensor, reference: Tensor) -> float:
    """The L2 norm of the difference over that of the reference, in float64."""
    value, reference = value.detach().double(), reference.detach().double()
    return float((value - reference).norm() / reference.norm())


def reconstruction_error(
    field: Field,
    y0: Float[Tensor, "*state"],
    y1: Float[Tensor, "*state"],
    ts: Float[Tensor, " two"],
    solver: Mapping[str, Any],
) -> float:
    """How far from ``y0`` the same solver ends when it goes from ``y1`` back in time."""
    with torch.no_grad():
        back = solve(field, y1.detach(), ts.detach().flip(0), **solver).ys[-1]
    return relative_error(back, y0)


def stamp(
    reconstruction_error: float, gradient_error: float, reference_error: float
) -> dict[str, float | bool]:
    """The stamp's columns from the three errors."""
    valid = (
        reconstruction_error < RECONSTRUCTION_LIMIT
        and gradient_error < GRADIENT_LIMIT
        and reference_error < REFERENCE_LIMIT
    )
    return {
        "reconstruction_error": reconstruction_error,
        "gradient_error": gradient_error,
        "reference_error": reference_error,
        "valid": valid,
    }


def at_each(tolerances: Mapping[str, float], observe: Callable[[float], Row]) -> list[Row]:
    """What is observed at each of some tolerances, by the role of each; a row that may say why not.

    The columns ``role`` and ``tolerance`` say which it is.
    """
    return [
        {"role": role, "tolerance": tolerance, **guarded(partial(observe, tolerance))}
        for role, tolerance in tolerances.items()
    ]


class FrozenFlow:
    """The flow of a trained field from some starts, whose cost and stamp are looked at.

    Args:
        field: the field, in float64.
        y0: the starts, which are solved over [0, 1] as one batch.
        loss: a number of the final states, whose gradient is judged.
        reference_steps: midpoint steps of the gradient's reference; the looser one has half.
        solver: further arguments of ``solve`` for what is looked at, such as ``max_num_steps``.
    """

    def __init__(
        self,
        field: nn.Module,
        y0: Float64[Tensor, "*state"],
        loss: Callable[[Tensor], Tensor],
        reference_steps: int,
        **solver: Any,
    ) -> None:
        self.field, self.y0, self.loss, self.solver = field, y0, loss, solver
        self.ts = y0.new_tensor([0.0, 1.0])
        self.reference_steps = reference_steps

    def observe(self, tolerance: float) -> Row:
        """The cost of a forward solve at a tolerance, and its validity stamp."""
        solver = {"rtol": tolerance, "atol": tolerance, **self.solver}
        solution, gradient = self.gradient(**solver)
        reference, reference_error = self.reference
        solver.pop("gradient", None)
        reconstruction = reconstruction_error(self.field, self.y0, solution.ys[-1], self.ts, solver)
        return {
            "nfe_forward": solution.stats.nfe_forward,
            "rejected": solution.stats.rejected,
            **stamp(reconstruction, relative_error(gradient, reference), reference_error),
        }

    @cached_property
    def reference(self) -> tuple[Float64[Tensor, " entries"], float]:
        """The gradient by many small steps, and its distance from that by half as many.

        Where a ReLU bends a gradient converges to first order only, so tight tolerances do not pay.
        """
        kept = {k: v for k, v in self.solver.items() if k == "gradient"}
        # The truth is the same for every solver that is measured.
        with solve_with(None):
            fine, coarse = (
                self.gradient(method="midpoint", step_size=1 / steps, **kept)[1]
                for steps in (self.reference_steps, self.reference_steps // 2)
            )
        return fine, relative_error(coarse, fine)

    def gradient(self, **solver: Any) -> tuple[Solution, Float64[Tensor, " entries"]]:
        """A solve, and the gradient of the loss for the starts and the field."""
        y0 = self.y0.clone().requires_grad_(True)
        solution = solve(self.field, y0, self.ts, **solver)
        loss = self.loss(solution.ys[-1])
        gradients = torch.autograd.grad(loss, [y0, *self.field.parameters()])
        return solution, torch.cat([g.reshape(-1) for g in gradients])
