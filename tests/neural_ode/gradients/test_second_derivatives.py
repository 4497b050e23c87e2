"""A second derivative that a way to the gradient does not have is an error, and no silent zero."""

import pytest
import torch

from neural_ode import solve
from tests.neural_ode.gradients.problems import Y0, Net, times
from tests.neural_ode.ways import CLASSES, UNDOING

WITHOUT = {name: cls() for name, cls in CLASSES.items() if name != "backprop"} | UNDOING
ALONE = r"gives first derivatives alone: .* use Backprop\(\)"
LOSSES = {"sum": torch.sum, "square": lambda end: end.square().sum()}


@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("by", ["state", "parameters"])
def test_a_penalty_on_the_gradient_is_an_error_that_names_backprop(name, loss, by):
    """That of a sum comes in as a constant, so that torch's own check would see no graph."""
    net, y0 = Net(), Y0.clone().requires_grad_()
    method = "reversible_heun" if name in UNDOING else "bosh3"
    chosen = {"method": method, "rtol": 1e-3, "atol": 1e-3, "gradient": WITHOUT[name]}
    end = solve(net, y0, times(0, 1), **chosen).ys[-1]
    inputs = [y0] if by == "state" else list(net.parameters())
    # The first derivative is there, with or without a graph.
    plain = torch.autograd.grad(loss(end), inputs, retain_graph=True)
    first = torch.autograd.grad(loss(end), inputs, create_graph=True)
    assert all(map(torch.equal, plain, first))
    penalty = torch.stack([g.square().sum() for g in first]).sum()
    with pytest.raises(RuntimeError, match=ALONE):
        torch.autograd.grad(penalty, inputs, allow_unused=True, retain_graph=True)
    with pytest.raises(RuntimeError, match=ALONE):
        (loss(end) + penalty).backward()


@pytest.mark.parametrize("name", WITHOUT)
def test_a_hessian_is_an_error(name):
    """It takes what is not connected for zero."""
    net, method = Net(), "reversible_heun" if name in UNDOING else "bosh3"
    chosen = {"method": method, "rtol": 1e-3, "atol": 1e-3, "gradient": WITHOUT[name]}
    with pytest.raises(RuntimeError, match=ALONE):
        torch.autograd.functional.hessian(
            lambda y: solve(net, y, times(0, 1), **chosen).ys[-1].sum(), Y0
        )
