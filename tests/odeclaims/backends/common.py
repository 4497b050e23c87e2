"""Small problems, and their work on a backend by its name."""

import pytest
import torch

from neural_ode.networks import ConvField, MLPField
from odeclaims.backends import Backend, Prepared, find_backends
from odeclaims.backends.on_torch import CountedField
from odeclaims.backends.ours import Ours
from odeclaims.workloads import Problem

TOL = 1e-4


def settings(tol: float) -> list[dict[str, float]]:
    """The settings of a reference of this tolerance, and of a looser one."""
    return [{"rtol": t, "atol": t} for t in (tol, 10 * tol)]


def mlp(times: int = 2) -> Problem:
    generator = torch.Generator().manual_seed(1)
    field = MLPField(2, 8, generator=generator)
    y0 = torch.randn(5, 2, generator=generator)
    return Problem(field, y0, torch.linspace(0, 1, times), TOL)


def conv() -> Problem:
    generator = torch.Generator().manual_seed(1)
    field = ConvField(4, 2, generator=generator)
    y0 = torch.randn(2, 4, 3, 3, generator=generator)
    return Problem(field, y0, torch.tensor([0.0, 1.0]), TOL)


def eager_backends() -> list[Backend]:
    """Every backend that is registered, but for the compiled steps of ours.

    Those are left to the tests of the solver: checked annotations, as here, cannot be compiled.
    """
    return [b for b in find_backends().values() if not (isinstance(b, Ours) and b.compiles)]


def arms() -> list[tuple[str, str | None]]:
    """Every backend with every gradient."""
    return [(b.name, gradient) for b in eager_backends() for gradient in (None, *b.gradients)]


def require_backend(name: str) -> Backend:
    backend = find_backends()[name]
    if backend.missing():
        pytest.skip(f"backend {name} needs {', '.join(backend.missing())}")
    return backend


def prepare(name: str, problem: Problem, gradient: str | None, tol: float = TOL) -> Prepared:
    return require_backend(name).prepare(problem, method="dopri5", tol=tol, gradient=gradient)


def stated_and_counted(name: str, gradient: str | None) -> tuple[int, int]:
    """The evaluations that a backend states, and those of a field that counts.

    ``backprop`` and a forward solve evaluate nothing on the way back, and state that.
    """
    problem = mlp()
    field = CountedField(problem.field)
    work = prepare(name, Problem(field, problem.y0, problem.ts, TOL), gradient)
    output = work.run()
    counted = field.count
    answer = work.answer(output)
    assert answer.nfe_forward is not None
    assert (answer.nfe_backward is None) == (gradient in (None, "backprop"))
    return answer.nfe_forward + (answer.nfe_backward or 0), counted
