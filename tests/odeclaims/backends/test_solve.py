"""Backends that solve for claims: against this solver, and what they say they lack."""

from typing import Any

import pytest
import torch

from neural_ode import (
    Adjoint,
    Checkpointed,
    InterpolatedAdjoint,
    NonFinite,
    PIController,
    Solution,
    StepLimit,
    StepUnderflow,
    solve,
)
from neural_ode.delegate import solve_with
from neural_ode.failures import NotOffered
from neural_ode.networks import MLPField
from odeclaims.backends import find_backends, is_installed
from odeclaims.cell import Row, guarded
from odeclaims.run.solving import solving_by

FORWARD = torch.tensor([0.0, 1.0], dtype=torch.float64)
BACK = torch.tensor([1.0, 0.3, 0.0], dtype=torch.float64)
WITH_TORCHODE = pytest.mark.skipif(not is_installed("torchode"), reason="torchode is missing")
OTHERS = ("torchdiffeq", pytest.param("torchode", marks=WITH_TORCHODE))
# torchdiffeq shortens its steps until they are zero, and torchode looks at the norm of the error.
FAILURE_BEYOND_A_POLE = {"torchdiffeq": StepUnderflow, "torchode": NonFinite}


def problem() -> tuple[MLPField, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    field = MLPField(2, 16, generator=generator).double()
    return field, torch.randn(7, 2, generator=generator, dtype=torch.float64)


def solve_on(name: str, field: Any, y0: Any, ts: Any, **arguments: Any) -> Solution:
    with solve_with(find_backends()[name].solve):
        return solve(field, y0, ts, **arguments)


def gradient_on(name: str, ts: torch.Tensor, **arguments: Any) -> tuple[Solution, torch.Tensor]:
    field, y0 = problem()
    y0.requires_grad_()
    solution = solve_on(name, field, y0, ts, **arguments)
    parts = torch.autograd.grad(solution.ys.square().sum(), [y0, *field.parameters()])
    return solution, torch.cat([part.reshape(-1) for part in parts])


# What both sides have, with the method's steps (and so the numbers) in common.
SHARED: list[Any] = [
    ("torchdiffeq", {"rtol": 1e-7, "atol": 1e-7}),
    ("torchdiffeq", {"rtol": 1e-7, "atol": 1e-7, "method": "dopri8"}),
    ("torchdiffeq", {"rtol": 1e-6, "atol": 1e-6, "gradient": Adjoint()}),
    ("torchdiffeq", {"rtol": 1e-6, "atol": 1e-6, "gradient": Adjoint(norm="seminorm")}),
    ("torchdiffeq", {"rtol": 1e-6, "atol": 1e-6, "gradient": Adjoint(rtol=1e-4, atol=1e-4)}),
    ("torchdiffeq", {"method": "rk4", "step_size": 0.1}),
    ("torchdiffeq", {"method": "midpoint", "step_size": 0.01}),
    ("torchdiffeq", {"method": "euler"}),
    pytest.param("torchode", {"rtol": 1e-7, "atol": 1e-7}, marks=WITH_TORCHODE),
    pytest.param("torchode", {"rtol": 1e-7, "atol": 1e-7, "method": "tsit5"}, marks=WITH_TORCHODE),
    pytest.param(
        "torchode", {"rtol": 1e-6, "atol": 1e-6, "gradient": Adjoint()}, marks=WITH_TORCHODE
    ),
    pytest.param("torchode", {"method": "euler", "step_size": 0.1}, marks=WITH_TORCHODE),
    *(
        pytest.param(
            "torchode",
            {"rtol": 1e-6, "atol": 1e-6, "batch": "independent", **gradient},
            marks=WITH_TORCHODE,
        )
        for gradient in ({}, {"gradient": Adjoint()})
    ),
]


@pytest.mark.parametrize("ts", [FORWARD, BACK], ids=["forward", "back"])
@pytest.mark.parametrize(("name", "arguments"), SHARED)
def test_states_and_gradients_are_those_of_this_solver(name, arguments, ts):
    solution, gradient = gradient_on(name, ts, **arguments)
    ours, our_gradient = gradient_on("ours", ts, **arguments)
    assert torch.allclose(solution.ys, ours.ys, rtol=1e-4, atol=1e-5)
    assert torch.allclose(gradient, our_gradient, rtol=1e-3, atol=1e-3)


def test_a_backend_of_ours_changes_no_digit():
    arguments = {"rtol": 1e-5, "atol": 1e-5, "gradient": Adjoint()}
    solution, gradient = gradient_on("ours", FORWARD, **arguments)
    field, y0 = problem()
    y0.requires_grad_()
    plain = solve(field, y0, FORWARD, **arguments)
    parts = torch.autograd.grad(plain.ys.square().sum(), [y0, *field.parameters()])
    assert torch.equal(solution.ys, plain.ys)
    assert torch.equal(gradient, torch.cat([part.reshape(-1) for part in parts]))
    assert solution.stats == plain.stats


@pytest.mark.parametrize("name", OTHERS)
def test_evaluations_there_and_back_are_counted_apart(name):
    by_adjoint, _ = gradient_on(name, FORWARD, rtol=1e-6, atol=1e-6, gradient=Adjoint())
    by_backprop, _ = gradient_on(name, FORWARD, rtol=1e-6, atol=1e-6)
    ours, _ = gradient_on("ours", FORWARD, rtol=1e-6, atol=1e-6, gradient=Adjoint())
    assert by_backprop.stats.nfe_backward is None
    assert by_adjoint.stats.nfe_forward == by_backprop.stats.nfe_forward == ours.stats.nfe_forward
    assert by_adjoint.stats.accepted == ours.stats.accepted
    # torchode takes one norm over the whole augmented state, and so other steps on the way back.
    same = name == "torchdiffeq"
    assert (by_adjoint.stats.nfe_backward or 0) > 0
    assert (by_adjoint.stats.nfe_backward == ours.stats.nfe_backward) == same


@pytest.mark.parametrize("name", OTHERS)
def test_rejected_steps_are_counted(name):
    def stiff(t, y):
        return -200 * (y - torch.cos(20 * t))

    arguments = {"rtol": 1e-5, "atol": 1e-5, "first_step": None}
    solution = solve_on(name, stiff, torch.ones(3, dtype=torch.float64), FORWARD, **arguments)
    assert solution.stats.rejected > 0
    steps = solution.stats.accepted + solution.stats.rejected
    assert solution.stats.nfe_forward == 2 + 6 * steps


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ({"method": "adams"}, "the method adams"),
        ({"gradient": Checkpointed()}, "the gradient Checkpointed"),
        ({"gradient": InterpolatedAdjoint()}, "the gradient InterpolatedAdjoint"),
        ({"gradient": Adjoint(method="bosh3")}, "method = 'bosh3' of the adjoint"),
        ({"controller": PIController()}, "the setting controller of a solve"),
        ({"compile": True}, "the setting compile of a solve"),
        ({"event_fn": lambda t, y: y[0]}, "the setting event_fn of a solve"),
        ({"rtol": torch.full((7, 2), 1e-3)}, "rtol as a tensor"),
        (
            {"gradient": Adjoint(norm=lambda z, a, g: a.norm())},
            "norm = .* of the adjoint",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_offered_is_named(name, arguments, missing):
    field, y0 = problem()
    with pytest.raises(NotOffered, match=f"^{name} does not offer {missing}$"):
        solve_on(name, field, y0, FORWARD, **arguments)


@pytest.mark.parametrize("name", OTHERS)
def test_without_autograd_any_way_to_the_gradient_will_do(name):
    field, y0 = problem()
    with torch.no_grad():
        solution = solve_on(name, field, y0, FORWARD, gradient=Checkpointed())
    ours = solve(field, y0, FORWARD)
    assert torch.allclose(solution.ys, ours.ys, atol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_failures_have_the_names_of_ours(name):
    field, y0 = problem()
    with pytest.raises(StepLimit):
        solve_on(name, field, y0, FORWARD, rtol=1e-10, atol=1e-10, max_num_steps=3)
    with pytest.raises(FAILURE_BEYOND_A_POLE[name]):
        solve_on(name, lambda t, y: y / (t < 0.5), y0, FORWARD, max_num_steps=500)


@pytest.mark.parametrize("name", OTHERS)
def test_single_precision_and_states_of_any_shape(name):
    field = MLPField(2, 16, generator=torch.Generator().manual_seed(0))
    y0 = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(1))
    solution = solve_on(name, field, y0, FORWARD, rtol=1e-5, atol=1e-5)
    assert (solution.ys.shape, solution.ys.dtype) == ((2, 3, 4, 2), torch.float32)
    assert torch.allclose(solution.ys, solve(field, y0, FORWARD).ys, atol=1e-3)


def test_the_adjoint_of_a_field_that_is_no_module_needs_its_parameters():
    rate = torch.ones((), dtype=torch.float64, requires_grad=True)
    y0 = torch.ones(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="needs its params"):
        solve_on("torchdiffeq", lambda t, y: -rate * y, y0, FORWARD, gradient=Adjoint())
    gradient = Adjoint(params=[rate])
    arguments = {"gradient": gradient, "rtol": 1e-8, "atol": 1e-8}
    solution = solve_on("torchdiffeq", lambda t, y: -rate * y, y0, FORWARD, **arguments)
    (found,) = torch.autograd.grad(solution.ys[-1, 0], rate)
    assert float(found) == pytest.approx(-float(torch.exp(-FORWARD[1])), abs=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_each_backward_pass_is_counted_by_itself(name):
    field, y0 = problem()
    y0.requires_grad_()
    solution = solve_on(name, field, y0, FORWARD, rtol=1e-6, atol=1e-6, gradient=Adjoint())
    counts = []
    for _ in range(2):
        torch.autograd.grad(solution.ys[-1].square().sum(), y0, retain_graph=True)
        counts.append(solution.stats.nfe_backward)
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("name", OTHERS)
def test_the_way_back_has_tolerances_of_its_own(name):
    loose, _ = gradient_on(name, FORWARD, rtol=1e-3, atol=1e-3, gradient=Adjoint())
    tight = Adjoint(rtol=1e-9, atol=1e-9)
    tightly, _ = gradient_on(name, FORWARD, rtol=1e-3, atol=1e-3, gradient=tight)
    assert tightly.stats.nfe_forward == loose.stats.nfe_forward
    assert (tightly.stats.nfe_backward or 0) > 2 * (loose.stats.nfe_backward or 0) > 0


class Pole(torch.nn.Module):
    """A field that is finite on the way there, and not on the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
        self.back = False

    def forward(self, t, y):
        return -self.rate * y * (float("nan") if self.back else 1.0)


@pytest.mark.parametrize("name", OTHERS)
def test_a_failure_of_the_way_back_is_a_row_with_a_status(name):
    field = Pole()

    def observe() -> Row:
        arguments = {"gradient": Adjoint(), "rtol": 1e-4, "atol": 1e-4, "max_num_steps": 99}
        solution = solve(field, torch.ones(2, dtype=torch.float64), FORWARD, **arguments)
        field.back = True
        solution.ys[-1].sum().backward()
        return {}

    with solving_by(name):
        row = guarded(observe)
    assert row["status"] in ("nonfinite", "underflow", "max_steps")


@pytest.mark.parametrize("name", OTHERS)
def test_a_bug_in_a_field_is_no_failure_of_the_solver(name):
    def wrong(t, y):
        raise AssertionError("a bug")

    def observe() -> Row:
        solve(wrong, torch.ones(2), FORWARD)
        return {}

    with solving_by(name), pytest.raises(AssertionError, match="a bug"):
        guarded(observe)


@pytest.mark.parametrize("name", OTHERS)
def test_one_output_time_costs_nothing(name):
    field, y0 = problem()
    solution = solve_on(name, field, y0, FORWARD[:1])
    assert torch.equal(solution.ys, y0[None])
    assert solution.stats.nfe_forward == 0


@pytest.mark.parametrize("name", OTHERS)
def test_a_grid_keeps_its_limit_counts_its_steps_and_ends_finite(name):
    field, y0 = problem()
    grid = {"method": "euler", "step_size": 0.1}
    assert solve_on(name, field, y0, FORWARD, **grid).stats.accepted in (10, 11)
    with pytest.raises(StepLimit):
        solve_on(name, field, y0, FORWARD, max_num_steps=5, **grid)
    with pytest.raises(NonFinite):
        solve_on(name, lambda t, y: y / 0, y0, FORWARD, **grid)
    inside = torch.tensor([0.0, 0.37, 1.0], dtype=torch.float64)
    with pytest.raises(NotOffered, match="outputs inside the steps of a grid"):
        solve_on(name, field, y0, inside, **grid)


@WITH_TORCHODE
def test_what_torchode_would_get_wrong_it_is_not_asked():
    def ask(field, ts, **arguments):
        solve_on("torchode", field, torch.ones(2), ts, **arguments)

    late = 1e5 + torch.tensor([0.0, 0.001], dtype=torch.float64)
    with pytest.raises(NotOffered, match=r"times that torch\.float32, the state's, rounds"):
        ask(lambda t, y: -y, late)
    rate = torch.ones((), requires_grad=True)
    with pytest.raises(NotOffered, match=r"params = .* of the adjoint"):
        ask(lambda t, y: -rate * y, FORWARD, gradient=Adjoint(params=[rate]))
    with pytest.raises(NotOffered, match="field that is not a module"):
        ask(lambda t, y: -rate * y, FORWARD, gradient=Adjoint())
    frozen = MLPField(2, 4)
    frozen.layers[0].requires_grad_(False)
    with pytest.raises(NotOffered, match="frozen parameters"):
        ask(frozen, FORWARD, gradient=Adjoint())


def test_torchdiffeq_interpolates_the_end_and_a_step_that_ends_there_mends_it():
    """Why ``error_is_controlled_bosh3`` of ``tolerance_tradeoff`` differs on torchdiffeq."""
    field, y0 = problem()
    with torch.no_grad():
        truth = solve(field, y0, FORWARD, method="dopri8", rtol=1e-11, atol=1e-11).ys[-1]

    def error(name: str, **more: Any) -> float:
        settings = {"method": "bosh3", "rtol": 1e-6, "atol": 1e-6, **more}
        with torch.no_grad():
            end = solve_on(name, field, y0, FORWARD, **settings).ys[-1]
        return float((end - truth).norm() / truth.norm())

    ours = error("ours")
    assert error("torchdiffeq") > 10 * ours
    assert error("torchdiffeq", step_t=[1.0]) < 3 * ours
