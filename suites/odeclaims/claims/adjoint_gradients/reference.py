"""The gradient of a problem by a solve, and the reference that such gradients are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from neural_ode import Solution, solve
from neural_ode.delegate import solve_with
from odeclaims.cell import Row
from odeclaims.claims.adjoint_gradients.problems import FAMILIES, GradientProblem, build_problem
from odeclaims.kits.validity import relative_error

# A tight solve of the slowest problem takes a quarter of these; a solve that needs more has failed.
MAX_STEPS = 20_000
# The shorter of two lengths of central differences, which are combined to fourth order.
DIFFERENCE_STEP = 1e-4


@dataclass(frozen=True)
class Reference:
    """The gradient that the others are compared with.

    Attributes:
        gradient: with respect to y0 first, then to each parameter.
        error: its relative L2 distance to a second reference by another method.
        row: what the rows say about it.
    """

    gradient: list[Tensor]
    error: float
    row: Row


@lru_cache(maxsize=64)
# The truth is the same for every solver that is measured.
@solve_with(None)
def reference_of(name: str, rate: float, seed: int) -> Reference:
    """The closed form, or backprop through a tight solve; each checked in two other ways."""
    problem, family = build_problem(name, rate, seed), FAMILIES[name]
    solver = solver_settings(*family.reference)
    tight = gradient_of(problem, **solver)[0]
    if problem.flow is not None:
        gradient, second = problem.exact_gradient(), tight
    else:
        gradient, second = tight, gradient_of(problem, **solver_settings(*family.second))[0]
    generator = torch.Generator().manual_seed(seed + 1)
    error = distance(second, gradient)
    return Reference(
        gradient,
        error,
        {
            "reference": family.reference[0] if problem.flow is None else "closed_form",
            "reference_error": error,
            "finite_difference_error": difference_error(problem, gradient, generator, solver),
        },
    )


def solver_settings(method: str, tol: float) -> dict[str, Any]:
    """The keyword arguments of ``solve`` for a method at a tolerance."""
    return {"method": method, "rtol": tol, "atol": tol, "max_num_steps": MAX_STEPS}


def gradient_of(problem: GradientProblem, **solver: Any) -> tuple[list[Tensor], Solution]:
    """The gradient of the loss with respect to y0 and every parameter, by a solve.

    Args:
        problem: the problem.
        solver: keyword arguments of ``solve``, ``gradient`` among them; backprop without it.

    Raises:
        SolverFailure: where the solve, or the one on the way back, fails.
    """
    y0 = problem.y0.clone().requires_grad_(True)
    solution = solve(problem.field, y0, problem.ts, **solver)
    inputs = [y0, *problem.field.parameters()]
    return list(torch.autograd.grad(problem.loss(solution.ys[-1]), inputs)), solution


def distance(gradient: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """The relative L2 distance of two gradients, each taken as one vector."""
    return relative_error(_flat(gradient), _flat(reference))


def difference_error(
    problem: GradientProblem,
    gradient: Sequence[Tensor],
    generator: torch.Generator,
    solver: dict[str, Any],
) -> float:
    """How far ``gradient`` is from central differences of solves along one random direction.

    Args:
        problem: the problem.
        gradient: with respect to y0 first, then to each parameter.
        generator: draws the direction.
        solver: keyword arguments of ``solve``.

    Returns:
        The difference of the two derivatives along the direction, relative to the product of the
        lengths of gradient and direction.
    """
    direction = [torch.randn(g.shape, generator=generator, dtype=g.dtype) for g in gradient]
    length = _flat(direction).norm()
    direction = [d / length for d in direction]

    def slope_at(h: float) -> float:
        ahead, behind = (_moved_loss(problem, direction, x, solver) for x in (h, -h))
        return (ahead - behind) / (2 * h)

    derivative = (4 * slope_at(DIFFERENCE_STEP) - slope_at(2 * DIFFERENCE_STEP)) / 3
    expected = float(_flat(gradient) @ _flat(direction))
    return abs(derivative - expected) / float(_flat(gradient).norm())


@torch.no_grad()
def _moved_loss(
    problem: GradientProblem, direction: Sequence[Tensor], h: float, solver: dict[str, Any]
) -> float:
    """The loss where y0 and the parameters have moved by ``h`` along ``direction``."""
    moved = problem.to(torch.float64)
    for value, step in zip(moved.field.parameters(), direction[1:], strict=True):
        value.add_(h * step)
    y0 = moved.y0 + h * direction[0]
    return float(moved.loss(solve(moved.field, y0, moved.ts, **solver).ys[-1]))


def _flat(tensors: Sequence[Tensor]) -> Float64[Tensor, " entries"]:
    return torch.cat([x.detach().double().cpu().reshape(-1) for x in tensors])
