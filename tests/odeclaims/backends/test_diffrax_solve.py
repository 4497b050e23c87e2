"""diffrax on claims: torch fields that its programs call back, against this project's solver."""

import gc
from typing import Any

import pytest
import torch

from neural_ode import Adjoint, Backprop, NonFinite, Solution, StepLimit, StepUnderflow, solve
from neural_ode.delegate import solve_with
from neural_ode.failures import NotOffered
from neural_ode.networks import MLPField
from odeclaims.backends import find_backends
from odeclaims.backends.on_jax import Called
from odeclaims.run.solving import solving_by

jax = pytest.importorskip("jax")
pytest.importorskip("diffrax")

pytestmark = [
    pytest.mark.usefixtures("unchecked"),
    pytest.mark.slow(reason="JAX compiles each kind of solve"),
]

THERE = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
ENDS = torch.tensor([1.0, 0.0], dtype=torch.float64)


def problem() -> tuple[MLPField, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    field = MLPField(2, 16, generator=generator).double()
    return field, torch.randn(7, 2, generator=generator, dtype=torch.float64)


def by_diffrax(field: Any, y0: Any, ts: Any, **arguments: Any) -> Solution:
    with solve_with(find_backends()["diffrax"].solve):
        return solve(field, y0, ts, **arguments)


def differentiate(solver: Any, ts: torch.Tensor, **arguments: Any) -> tuple[Solution, torch.Tensor]:
    field, y0 = problem()
    y0.requires_grad_()
    solution = solver(field, y0, ts, **arguments)
    parts = torch.autograd.grad(solution.ys.square().sum(), [y0, *field.parameters()])
    return solution, torch.cat([part.reshape(-1) for part in parts])


@pytest.mark.parametrize(
    ("ts", "arguments"),
    [
        (THERE, {"rtol": 1e-8, "atol": 1e-8, "method": "dopri8"}),
        (ENDS, {"method": "heun2", "step_size": 0.1}),
        (ENDS, {"rtol": 1e-6, "atol": 1e-6, "gradient": Adjoint(norm="seminorm")}),
    ],
)
def test_states_and_gradients_are_those_of_this_solver(ts, arguments):
    solution, gradient = differentiate(by_diffrax, ts, **arguments)
    ours, our_gradient = differentiate(solve, ts, **arguments)
    assert torch.allclose(solution.ys, ours.ys, rtol=1e-4, atol=1e-5)
    assert torch.allclose(gradient, our_gradient, rtol=1e-3, atol=1e-3)


def test_evaluations_are_counted_where_they_happen():
    calls = []
    field, y0 = problem()

    def counting(t, y):
        calls.append(float(t))
        return field(t, y)

    with torch.no_grad():
        solution = by_diffrax(counting, y0, ENDS, rtol=1e-5, atol=1e-5)
    steps = solution.stats.accepted + solution.stats.rejected
    assert solution.stats.nfe_forward == len(calls) == 1 + 6 * steps
    assert solution.stats.nfe_backward is None


@torch.no_grad()
@pytest.mark.parametrize("rate", [1e-2, 1.0])
def test_its_first_step_is_a_hundredth_on_any_field(rate):
    field, y0 = problem()
    times = []

    def timed(t, y):
        times.append(float(t))
        return rate * field(t, y)

    by_diffrax(timed, y0, THERE, method="dopri8", rtol=1e-2, atol=1e-2)
    # The last stage of a step lies at its end.
    assert times[13] == pytest.approx(0.01)


def test_each_way_back_is_counted_by_itself_and_by_products():
    field, y0 = problem()
    y0.requires_grad_()
    arguments: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
    for gradient in (Adjoint(), Backprop()):
        solution = by_diffrax(field, y0, ENDS, gradient=gradient, **arguments)
        counts = []
        for _ in range(2):
            torch.autograd.grad(solution.ys[-1].sum(), y0, retain_graph=True)
            counts.append(solution.stats.nfe_backward)
        assert counts[0] == counts[1] > 0
    # Of the computed steps each evaluation is differentiated once.
    assert counts[0] == solution.stats.nfe_forward


def test_single_precision_and_states_of_any_shape():
    field = MLPField(2, 16, generator=torch.Generator().manual_seed(0))
    y0 = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        solution = by_diffrax(field, y0, ENDS, rtol=1e-5, atol=1e-5)
    assert (solution.ys.shape, solution.ys.dtype) == ((2, 3, 4, 2), torch.float32)
    assert torch.allclose(solution.ys, solve(field, y0, ENDS).ys, atol=1e-3)
    assert not jax.config.values["jax_enable_x64"]


@torch.no_grad()
def test_failures_have_the_names_of_ours():
    field, y0 = problem()
    with pytest.raises(StepLimit, match=r"^diffrax: The maximum number of solver steps"):
        by_diffrax(field, y0, ENDS, rtol=1e-10, atol=1e-10, max_num_steps=3)
    # There diffrax's step is not a number, and so never the last.
    with pytest.raises(NonFinite, match=r"^the solver's time is no longer a number$"):
        by_diffrax(lambda t, y: y / (t > 0.5), y0, ENDS)
    shortest = RuntimeError(
        "The minimum step size was reached in the differential equation solver."
    )
    assert isinstance(find_backends()["diffrax"].failure_of(shortest), StepUnderflow)


def test_a_way_back_that_fails_is_a_failure_and_no_gradient():
    decay = MLPField(2, 4, generator=torch.Generator().manual_seed(0)).double()

    class Decay(torch.nn.Module):
        def forward(self, t, y):
            return -60 * y + 0 * decay(t, y)

    y0 = torch.ones(1, 2, dtype=torch.float64, requires_grad=True)
    way = Adjoint(rtol=1e-10, atol=1e-10)
    with solving_by("diffrax"):
        field = Decay()
        field.add_module("decay", decay)
        ts = torch.tensor([0.0, 1.0], dtype=torch.float64)
        solution = solve(field, y0, ts, rtol=1e-3, atol=1e-3, max_num_steps=60, gradient=way)
        with pytest.raises(Exception, match="maximum number of solver steps") as raised:
            solution.ys[-1].sum().backward()
    failure = find_backends()["diffrax"].failure_of(raised.value)
    assert isinstance(failure, StepLimit)


@pytest.mark.parametrize("by", ["state", "parameter"])
def test_a_second_derivative_is_an_error_and_not_left_out(by):
    field, y0 = problem()
    inputs = [y0.requires_grad_(), *field.parameters()]
    loss = by_diffrax(field, y0, ENDS, gradient=Adjoint()).ys[-1].sum()
    first = torch.autograd.grad(loss, inputs, create_graph=True)
    total = loss + sum(g.square().sum() for g in first)
    with pytest.raises(RuntimeError, match="first derivatives alone"):
        torch.autograd.grad(total, inputs[:1] if by == "state" else inputs[1:])


def test_what_a_field_raises_comes_as_it_was():
    class Broken(Exception):
        pass

    def field(t, y):
        raise Broken("here")

    with torch.no_grad(), pytest.raises(Broken, match=r"^here$"):
        by_diffrax(field, torch.ones(2), ENDS)


def test_what_is_not_offered_is_named():
    field, y0 = problem()
    for arguments, missing in (
        ({"method": "rk4", "step_size": 0.1}, "the method rk4"),
        ({"gradient": Adjoint(method="bosh3")}, "method = 'bosh3' of the adjoint"),
    ):
        with pytest.raises(NotOffered, match=f"^diffrax does not offer {missing}$"):
            by_diffrax(field, y0, ENDS, **arguments)
    rounded = torch.tensor([0.0, 0.1], dtype=torch.float64)
    with pytest.raises(NotOffered, match=r"times that torch\.float32, the state's, rounds"):
        by_diffrax(lambda t, y: -y, torch.ones(2), rounded)


def test_a_tensor_whose_gradient_would_be_lost_is_not_offered():
    rate = torch.ones((), dtype=torch.float64, requires_grad=True)
    y0 = torch.ones(2, dtype=torch.float64)
    with pytest.raises(NotOffered, match="a tensor that a field holds beside its parameters"):
        by_diffrax(lambda t, y: -rate * y, y0, THERE)
    way = Adjoint(params=[rate])
    solution = by_diffrax(lambda t, y: -rate * y, y0, THERE, rtol=1e-8, atol=1e-8, gradient=way)
    (found,) = torch.autograd.grad(solution.ys[-1, 0], rate)
    assert float(found) == pytest.approx(-float(torch.exp(-THERE[-1])), abs=1e-6)


def test_a_field_is_forgotten_with_its_solution():
    field, y0 = problem()
    gc.collect()
    before = len(Called.known)
    solution = by_diffrax(field, y0, ENDS)
    assert len(Called.known) == before + 1
    del solution
    gc.collect()
    assert len(Called.known) == before
