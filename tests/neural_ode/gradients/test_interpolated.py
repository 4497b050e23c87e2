"""The adjoint along the stored trajectory."""

# A missing gradient or count fails a test all the same; settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOperatorIssue=false

from itertools import pairwise

import pytest
import torch

from neural_ode import Adjoint, InterpolatedAdjoint, solve
from neural_ode.gradients.interpolated import _Along
from neural_ode.gradients.parameters import Wanted
from tests.neural_ode.gradients.problems import F64, Net, times


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_the_stored_trajectory_reads_the_same_where_the_time_stays_on_the_device(direction):
    ends = [0.0, 0.3, 0.8, 1.0][:: int(direction)]
    steps = [(a, b - a) for a, b in pairwise(ends)]
    pieces = torch.randn(3, 5, 2, 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    nothing = Wanted([], None, False, "")
    listed = _Along(Net(), nothing, steps, list(pieces))
    stacked = _Along(Net(), nothing, steps, pieces)
    for t in (-0.1, 0.0, 0.1, 0.3, 0.5, 0.8, 0.9, 1.0, 1.1):
        now = torch.tensor(t, dtype=F64)
        torch.testing.assert_close(stacked.state(now), listed.state(now), rtol=1e-12, atol=1e-12)


def test_interpolated_adjoint_survives_a_flow_that_cannot_be_reversed():
    """z' = -20 z with the running cost q' = 40 z^2: dq(1)/dz(0) = 2 z(0) (1 - e^-40)."""

    def field(t, y):
        z, _ = y
        return torch.stack([-20 * z, 40 * z**2])

    def error(gradient):
        y0 = times(1.0, 0.0).requires_grad_()
        ys = solve(field, y0, times(0, 1), rtol=1e-5, atol=1e-5, gradient=gradient).ys
        return abs(torch.autograd.grad(ys[-1, 1], y0)[0][0].item() - 2)

    assert error(InterpolatedAdjoint(params=())) < 1e-3
    assert error(Adjoint(params=())) > 1
