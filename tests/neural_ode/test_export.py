"""Solves with steps of given sizes, exported by ``torch.export``."""

# pyright: reportArgumentType=false, reportCallIssue=false

import pytest
import torch
from torch import nn

from neural_ode import solve

TS = torch.tensor([0.0, 0.5, 1.0])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(2, 2)

    def forward(self, t, y):
        return torch.tanh(self.layer(y)) * t.cos()


class Flow(nn.Module):
    def __init__(self, ts=TS, **chosen):
        super().__init__()
        self.field, self.ts, self.chosen = Net(), ts, chosen

    def forward(self, y):
        return solve(self.field, y, self.ts, **self.chosen).ys


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "chosen",
    [
        {"method": "rk4"},
        {"method": "dopri5", "step_size": 0.3},
        {"method": "midpoint", "step_size": 0.4, "interpolation": "cubic"},
        {"method": "explicit_adams", "step_size": 0.2},
    ],
    ids=str,
)
def test_a_solve_with_steps_of_given_sizes_can_be_exported(chosen):
    flow, y = Flow(**chosen), torch.tensor([[1.0, -2]])
    exported = torch.export.export(flow, (y,), strict=False).module()
    # What was kept while it was exported does no harm to a solve afterwards.
    torch.testing.assert_close(exported(2 * y), flow(2 * y))
    (ours,) = torch.autograd.grad(exported(y).sum(), exported.parameters().__next__())
    (truth,) = torch.autograd.grad(flow(y).sum(), flow.parameters().__next__())
    torch.testing.assert_close(ours, truth)


@pytest.mark.parametrize(
    ("flow", "sentence"),
    [
        (Flow(), "torch.export needs steps that do not depend on the numbers: give a step_size"),
        (Flow(method="implicit_adams"), "torch.export needs steps that do not depend on the num"),
        (Flow(nn.Buffer(TS), method="rk4"), "the times are not known when the solve is exported"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(flow, sentence):
    with pytest.raises(ValueError, match=sentence):
        torch.export.export(flow, (torch.ones(2),), strict=False)
    assert solve(Net(), torch.ones(2), TS).ys.isfinite().all()
