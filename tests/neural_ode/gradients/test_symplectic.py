"""Steps that are differentiated stage by stage give the gradient of backpropagation."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false

import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural_ode import Backprop, Checkpointed, SymplecticAdjoint, solve
from neural_ode.methods import NAMED
from tests.neural_ode.gradients.problems import F64, TIMES, Y0, Net, inputs, seasonal, times
from tests.neural_ode.random_problems import MANY

EXPLICIT = [name for name, method in NAMED.items() if hasattr(method, "coefficients")]


def gradients(gradient, ts, **settings):
    y0, w, b = inputs()
    ts = ts.clone().requires_grad_()
    solution = solve(seasonal(w, b), y0, ts, gradient=gradient((w, b)), **settings)
    weights = torch.linspace(-1, 2, solution.ys.numel(), dtype=F64)
    (solution.ys.reshape(-1) * weights).sum().backward()
    return torch.cat([x.grad.reshape(-1) for x in (y0, w, b, ts)]), solution.stats


@MANY
@given(
    method=st.sampled_from(EXPLICIT),
    name=st.sampled_from(list(TIMES)),
    adaptive=st.booleans(),
    step_size=st.floats(0.1, 1),
    interpolation=st.sampled_from(["dense", "linear", "cubic"]),
    perturb=st.booleans(),
)
def test_it_is_backprop_to_rounding(method, name, adaptive, step_size, interpolation, perturb):
    settings = {"method": method, "rtol": 1e-3, "atol": 1e-3}
    if not (adaptive and NAMED[method].adaptive):
        settings |= {"step_size": step_size, "interpolation": interpolation, "perturb": perturb}
    elif perturb:
        settings["jump_t"] = [0.35]
    ts = times(*TIMES[name])
    ours, _ = gradients(SymplecticAdjoint, ts, **settings)
    truth, _ = gradients(lambda params: Backprop(), ts, **settings)
    torch.testing.assert_close(ours, truth, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("method", "evaluations"),
    # Of the stages that the end of a step needs all are evaluated twice but the last.
    [("euler", 1), ("midpoint", 3), ("rk4", 7), ("bosh3", 5), ("dopri5", 11), ("dopri8", 25)],
)
def test_evaluations_of_a_step(method, evaluations):
    y0 = Y0.clone().requires_grad_()
    solution = solve(
        Net(), y0, times(0, 1), method=method, step_size=0.25, gradient=SymplecticAdjoint()
    )
    solution.ys[-1].sum().backward()
    assert solution.stats.nfe_backward == 4 * evaluations


def test_a_single_evaluation_is_in_memory_at_a_time():
    """The largest number of graphs of an evaluation that are alive at once on the way back."""
    alive, most = [], []

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx, y):
            ctx.held = Held()
            alive.append(weakref.ref(ctx.held))
            most.append(sum(each() is not None for each in alive))
            return -y

        @staticmethod
        def backward(ctx, *grads):
            return -grads[0]

    class Held:
        pass

    def peak(gradient):
        alive.clear()
        y0 = torch.ones(3, dtype=F64, requires_grad=True)
        ys = solve(
            lambda t, y: Watched.apply(y), y0, times(0, 1), step_size=0.25, gradient=gradient
        ).ys
        most.clear()
        ys[-1].sum().backward()
        return max(most)

    assert peak(SymplecticAdjoint(())) == 1
    assert peak(Checkpointed(())) == 7


def test_a_method_without_explicit_stages():
    with pytest.raises(ValueError, match="explicit Runge-Kutta method, which 'kvaerno3' is not"):
        solve(Net(), Y0, times(0, 1), method="kvaerno3", gradient=SymplecticAdjoint())


def test_a_single_time_has_the_gradient_of_the_state():
    y0 = Y0.clone().requires_grad_()
    solve(Net(), y0, times(0), gradient=SymplecticAdjoint()).ys.sum().backward()
    assert torch.equal(y0.grad, torch.ones_like(y0))


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "tsit5", "step_t": [0.5, 1.0]},
        {"method": "bosh3", "step_size": 0.25},
        {"method": "rk4", "step_size": 0.25, "interpolation": "cubic"},
        {"method": "dopri5", "grid": [0, 0.3, 1]},
        {"method": "rk4", "grid": [0, 0.5, 0.7, 1]},
        {"method": "dopri8", "step_size": 0.5},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
@pytest.mark.parametrize("way", [SymplecticAdjoint, Checkpointed])
def test_outputs_at_the_ends_of_steps(way, settings):
    def gradient(way):
        ts = torch.tensor([0, 0.5, 1], dtype=F64, requires_grad=True)
        y0 = Y0.clone().requires_grad_()
        ys = solve(lambda t, y: torch.cos(t) * y, y0, ts, gradient=way, **settings).ys
        inputs = {"inputs": [y0, ts], "allow_unused": True, "materialize_grads": True}
        return torch.autograd.grad(ys[1:].sum(), **inputs)

    for ours, truth in zip(gradient(way(())), gradient(Backprop()), strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("settings", [{"step_size": 0.3}, {"rtol": 1e-6, "atol": 1e-6}])
@pytest.mark.parametrize("way", [SymplecticAdjoint, Checkpointed])
def test_an_event(way, settings):
    """The last step goes beyond the event, and the state there is inside it."""

    def gradient(way):
        y0 = torch.tensor(0.4, dtype=F64, requires_grad=True)
        ts = torch.tensor([0, 1], dtype=F64, requires_grad=True)
        event = {"event_fn": lambda t, y: y - 1, "gradient": way}
        ys = solve(lambda t, y: 1 + y * t, y0, ts, **settings, **event).ys
        return *torch.autograd.grad(ys[-1], [y0, ts]), ys.detach()

    for ours, truth in zip(gradient(way(())), gradient(Backprop()), strict=True):
        torch.testing.assert_close(ours, truth, rtol=1e-10, atol=1e-11)


def test_times_cost_one_slope_where_an_output_ends_a_step():
    """It says how the state there moves with the time."""

    def evaluations(wanted):
        y0 = Y0.clone().requires_grad_()
        ts = times(0, 0.5, 1).requires_grad_(wanted)
        solution = solve(Net(), y0, ts, step_size=0.25, gradient=SymplecticAdjoint())
        solution.ys.sum().backward()
        return solution.stats.nfe_backward

    assert evaluations(False) == 44
    assert evaluations(True) == 46
