"""Steps that are undone give the gradient of backpropagation, in a memory that does not grow."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false

import pytest
import torch

from neural_ode import Backprop, Reversible, solve
from tests.neural_ode.gradients.problems import F64, TIMES, Y0, Net, inputs, seasonal, times


@pytest.mark.parametrize("ts", TIMES)
@pytest.mark.parametrize("setting", [{"rtol": 1e-4, "atol": 1e-4}, {"step_size": 0.13}])
def test_reversible_is_backprop_to_rounding(ts, setting):
    def gradients(gradient):
        y0, w, b = inputs()
        solution = solve(
            seasonal(w, b),
            y0,
            times(*TIMES[ts]),
            method="reversible_heun",
            gradient=gradient((w, b)),
            **setting,
        )
        weights = torch.linspace(-1, 2, solution.ys.numel(), dtype=F64)
        (solution.ys.reshape(-1) * weights).sum().backward()
        return torch.cat([x.grad.reshape(-1) for x in (y0, w, b)]), solution.stats

    ours, stats = gradients(lambda params: Reversible(params))
    truth, _ = gradients(lambda params: Backprop())
    torch.testing.assert_close(ours, truth, rtol=1e-11, atol=1e-12)
    assert stats.nfe_backward == stats.accepted + 1


def test_reversible_has_no_gradient_of_the_times():
    ts = times(0, 1).requires_grad_()
    with pytest.raises(ValueError, match="no gradient with respect to the times"):
        solve(Net(), Y0, ts, method="reversible_heun", gradient=Reversible())


def test_reversible_holds_as_much_for_many_steps_as_for_few():
    def saved(step_size):
        held = []
        settings = {"method": "reversible_heun", "step_size": step_size, "gradient": Reversible()}
        with torch.autograd.graph.saved_tensors_hooks(lambda x: held.append(x) or x, lambda x: x):
            solve(Net(), Y0, times(0, 1), **settings)
        return len(held)

    assert saved(0.5) == saved(0.01)
