"""What is special about diffrax: the fields in JAX, counts of steps, compiling and float64."""

import numpy as np
import pytest
import torch

from neural_ode.networks import MLPField
from odeclaims.backends.jax_fields import jax_field, jax_params, to_jax_layout, to_torch_layout
from odeclaims.speed.answers import relative_error, solve_reference
from odeclaims.workloads import Problem
from tests.odeclaims.backends.common import TOL, conv, mlp, prepare, require_backend, settings

pytestmark = pytest.mark.usefixtures("unchecked")


# The JAX convolution for a GPU differs from that for a CPU; both run on either.
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("problem", [mlp(), conv()], ids=["mlp", "conv"])
def test_the_field_in_jax_is_the_torch_field(problem, device):
    pytest.importorskip("jax")
    field, y = problem.field, problem.y0
    with torch.no_grad():
        expected = field(torch.tensor(0.3), y).numpy()
    derivative = jax_field(field, device)(0.3, to_jax_layout(field, y.numpy()), jax_params(field))
    in_torch_layout = to_torch_layout(field, derivative)
    np.testing.assert_allclose(in_torch_layout, expected, rtol=1e-5, atol=2e-6)


def test_diffrax_costs_one_and_six_a_step():
    pytest.importorskip("diffrax")
    import jax

    from odeclaims.backends.diffrax_programs import solve_program

    problem, times = mlp(), []

    def counted(t, y, params):
        jax.debug.callback(lambda t: times.append(float(t)), t)
        return jax_field(problem.field)(t, y, params)

    program = solve_program(counted, (5, 2), (0.0, 1.0), "dopri5", None)
    output = program(problem.y0.numpy(), jax_params(problem.field), np.float32(TOL))
    jax.effects_barrier()
    work = prepare("diffrax", problem, None)
    assert work.answer(work.run()).nfe_forward == len(times) == 1 + 6 * int(output[2])


def test_diffrax_compiles_once_for_all_tolerances():
    pytest.importorskip("diffrax")
    problem = mlp(times=3)
    first, second = (prepare("diffrax", problem, None, tol) for tol in (1e-2, 1e-7))
    loose, tight = first.answer(first.run()), second.answer(second.run())
    assert loose.compile_s is not None
    assert loose.compile_s > 0
    assert tight.compile_s is None
    assert not np.array_equal(loose.states, tight.states)


@pytest.mark.parametrize("width", [4, 8])
def test_diffrax_keeps_float64_and_compiles_for_each_width(width):
    field = MLPField(2, width, generator=torch.Generator().manual_seed(1)).double()
    y0, ts = (torch.tensor(x, dtype=torch.float64) for x in ([[1.0, -1.0]], [0.0, 0.5, 1.0]))
    problem = Problem(field, y0, ts, TOL)
    tol = 1e-10
    work = prepare("diffrax", problem, None, tol)
    answer = work.answer(work.run())
    assert answer.compile_s is not None
    expected = solve_reference(problem, *settings(1e-12), differentiated=False)
    # The suite's hundred tolerances; rounding in float32 would be ten times more.
    assert relative_error(answer.states, expected.states) < 100 * tol


def test_an_unknown_method_is_named():
    backend = require_backend("diffrax")
    with pytest.raises(ValueError, match="'midpoint'"):
        backend.prepare(mlp(), method="midpoint", tol=TOL, gradient=None)


def test_a_field_that_is_not_written_in_jax_is_named():
    with pytest.raises(ValueError, match="Identity has not been written in JAX"):
        jax_field(torch.nn.Identity())
