"""The adjoint: its counts, its memory, and settings of its own."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false

import pytest
import torch
from torch import nn

from neural_ode import Adjoint, Backprop, Checkpointed, InterpolatedAdjoint, solve
from tests.neural_ode.gradients.problems import F64, Y0, B, Net, W, times


@pytest.mark.parametrize("norm", ["rms", "seminorm"])
def test_adjoint_of_an_exact_method_equals_backprop_to_rounding(norm):
    """y' = t y0-free: with a field that is a polynomial in t both gradients are exact."""
    a = times(0.7).requires_grad_()

    def slope(gradient):
        ys = solve(lambda t, y: a * t**2, times(0), times(0, 1, 2), gradient=gradient).ys
        return torch.autograd.grad(ys.sum(), a)[0].item()

    # The sum of t^3 / 3 over the output times 1 and 2.
    assert slope(Backprop()) == pytest.approx(3, rel=1e-14)
    assert slope(Adjoint(params=(a,), norm=norm)) == pytest.approx(3, rel=1e-14)


def test_adjoint_counts_its_own_evaluations():
    calls = []
    net = Net()
    net.register_forward_hook(lambda *_: calls.append(1))
    solution = solve(net, Y0, times(0, 0.5, 1), gradient=Adjoint())
    assert solution.stats.nfe_backward is None
    forward = len(calls)
    solution.ys.sum().backward()
    stats = solution.stats
    assert stats.nfe_forward == forward
    assert stats.nfe_backward == len(calls) - forward
    # Two intervals, each with the two evaluations that choose its first step.
    assert stats.nfe_backward == 2 * 2 + 6 * (stats.backward.accepted + stats.backward.rejected)


def test_adjoint_counts_the_evaluations_for_the_times_too():
    def backward_nfe(ts):
        solution = solve(Net(), Y0, ts, gradient=Adjoint())
        solution.ys.sum().backward()
        return solution.stats.nfe_backward

    ts = times(0, 0.3, 0.7, 1)
    assert backward_nfe(ts.clone().requires_grad_()) == backward_nfe(ts) + len(ts)


def test_adjoint_holds_as_much_for_many_steps_as_for_few():
    def saved(gradient, step_size):
        held = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: held.append(x) or x, lambda x: x):
            solve(Net(), Y0, times(0, 1), method="rk4", step_size=step_size, gradient=gradient)
        return len(held)

    assert saved(Adjoint(), 0.5) == saved(Adjoint(), 0.05)
    assert saved(Backprop(), 0.05) > 9 * saved(Backprop(), 0.5)
    # One state a step, and for the interpolated adjoint one with its polynomial.
    assert saved(Checkpointed(), 0.05) - saved(Checkpointed(), 0.5) == 18
    assert saved(InterpolatedAdjoint(), 0.05) - saved(InterpolatedAdjoint(), 0.5) == 18


def backward_counts(gradient, **settings):
    solution = solve(Net(), Y0, times(0, 1), gradient=gradient, **settings)
    solution.ys.sum().backward()
    return solution.stats.backward


def test_adjoint_has_tolerances_of_its_own():
    tight, loose = backward_counts(Adjoint()), backward_counts(Adjoint(rtol=1e-3, atol=1e-3))
    assert loose.nfe < tight.nfe / 2


def test_adjoint_has_a_method_and_settings_of_its_own():
    own = Adjoint(method="rk4", settings={"step_size": 0.1})
    assert backward_counts(own).nfe == 40
    assert backward_counts(Adjoint(), method="rk4", step_size=0.1).nfe == 40
    assert backward_counts(Adjoint(method="heun"), method="rk4", step_size=0.1).nfe == 2


def test_adjoint_goes_back_over_the_forward_grid():
    assert backward_counts(Adjoint(), method="euler", grid=[0, 0.1, 0.5, 1]).accepted == 3


def test_seminorm_needs_no_more_steps_than_the_full_norm():
    class Steep(nn.Module):
        """The gradient of the gain is large and fast, the state and its adjoint are slow."""

        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.zeros((), dtype=F64))

        def forward(self, t, y):
            return -y + self.gain * torch.cos(200 * t)

    def nfe(norm):
        solution = solve(Steep(), Y0, times(0, 1), gradient=Adjoint(norm=norm))
        solution.ys.sum().backward()
        return solution.stats.nfe_backward

    assert nfe("seminorm") < nfe("rms") / 3


def test_norm_of_ones_own_sees_the_parts():
    seen = []

    def norm(z, a, gradients):
        seen.append((z.shape, a.shape, [g.shape for g in gradients]))
        return z.abs().max()

    backward_counts(Adjoint(norm=norm))
    assert set(map(str, seen)) == {str((Y0.shape, Y0.shape, [W.shape, B.shape]))}
