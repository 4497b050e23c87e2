"""Steps that are taken again give the gradient of backpropagation."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from neural_ode import Checkpointed, solve
from tests.neural_ode.gradients.problems import F64, GRADIENTS, inputs, seasonal, times

STEPS = {
    "adaptive": {"rtol": 1e-4, "atol": 1e-4},
    "fixed": {"method": "rk4", "step_size": 0.13},
    "not fsal": {"method": "adaptive_heun", "rtol": 1e-3, "atol": 1e-3},
    "extra stages": {"method": "dopri8", "rtol": 1e-6, "atol": 1e-6},
    "jumps": {"rtol": 1e-4, "atol": 1e-4, "jump_t": [0.5], "step_t": [0.25]},
    "perturb": {"method": "midpoint", "step_size": 0.25, "perturb": True},
    "cubic": {"method": "rk4", "step_size": 0.3, "interpolation": "cubic"},
    "grid": {"method": "dopri5", "grid": [0.0, 0.2, 0.5, 1.0]},
}


def every_gradient(gradient, *, of_times=True, **settings):
    """The gradients by y0, both parameters and, where wanted, the times, as one vector."""
    y0, w, b = inputs()
    ts = times(0, 0.3, 0.77, 1).requires_grad_(of_times)
    solution = solve(seasonal(w, b), y0, ts, gradient=gradient((w, b)), **settings)
    weights = torch.linspace(-1, 2, solution.ys.numel(), dtype=F64).reshape(solution.ys.shape)
    (solution.ys * weights).sum().backward()
    parts = [y0, w, b, ts] if of_times else [y0, w, b]
    return torch.cat([x.grad.reshape(-1) for x in parts]), solution.stats


@pytest.mark.parametrize("of_times", [False, True])
@pytest.mark.parametrize("steps", STEPS)
def test_checkpointed_is_backprop_to_rounding(steps, of_times):
    ours, stats = every_gradient(GRADIENTS["checkpointed"], of_times=of_times, **STEPS[steps])
    truth, _ = every_gradient(GRADIENTS["backprop"], of_times=of_times, **STEPS[steps])
    torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-13)
    # Nothing is evaluated but the accepted steps, once more.
    assert 0 < stats.nfe_backward <= stats.nfe_forward + stats.accepted


class Operations(TorchDispatchMode):
    """Counts the tensor operations inside the context, those of autograd included."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", [{}, {"step_size": 0.125}], ids=["outputs", "step_size"])
def test_work_on_the_way_back_is_proportional_to_the_steps(settings):
    """Also where the grid is made of output times whose gradient is wanted."""

    def operations(steps):
        y0, w, b = inputs()
        end = steps * settings.get("step_size", 0.01)
        ts = torch.linspace(0, end, 2 if settings else steps + 1, dtype=F64).requires_grad_()
        gradient = Checkpointed((w, b))
        solution = solve(seasonal(w, b), y0, ts, method="euler", gradient=gradient, **settings)
        assert solution.stats.accepted == steps
        loss = solution.ys[-1].sum()
        with Operations() as operations:
            loss.backward()
        return operations.count

    # One call in 32 of the field is looked at more closely.
    few, more, most = (operations(steps) for steps in (32, 64, 128))
    assert most - more == 2 * (more - few)
