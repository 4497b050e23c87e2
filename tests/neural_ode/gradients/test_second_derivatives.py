"""A second derivative is right, or an error where a way to the gradient says nothing of it.

It is never a silent zero.
"""

# Settings are plain dicts.
# pyright: reportArgumentType=false, reportOperatorIssue=false

import pytest
import torch
from torch.autograd import gradgradcheck

from neural_ode import solve
from tests.neural_ode.gradients.problems import (
    SETTINGS,
    Y0,
    Net,
    W,
    gradient_of,
    inputs,
    seasonal,
    times,
)
from tests.neural_ode.ways import ONCE, TWICE, method_for

ALONE = r"gives first derivatives alone: .* use Backprop\(\)"
LOSSES = {"sum": torch.sum, "square": lambda end: end.square().sum()}


@pytest.mark.parametrize("name", TWICE)
@pytest.mark.parametrize("setting", ["adaptive", "fixed"])
def test_gradgradcheck(name, setting):
    settings = SETTINGS[setting] | ({"step_size": 0.25} if setting == "fixed" else {"rtol": 1e-6})
    settings["method"] = method_for(name, settings["method"])

    def solved(y0, b):
        gradient = gradient_of(name)((b,))
        return solve(seasonal(W, b), y0, times(0, 0.3, 1), gradient=gradient, **settings).ys

    y0, _, b = inputs()
    assert gradgradcheck(solved, (y0, b), fast_mode=True)


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("by", ["state", "parameters"])
def test_a_penalty_on_the_gradient_is_an_error_that_names_backprop(name, loss, by):
    """That of a sum comes in as a constant, so that torch's own check would see no graph."""
    net, y0 = Net(), Y0.clone().requires_grad_()
    method = method_for(name, "bosh3")
    chosen = {"method": method, "rtol": 1e-3, "atol": 1e-3, "gradient": ONCE[name]}
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


@pytest.mark.parametrize("name", ONCE)
def test_a_hessian_is_an_error(name):
    """It takes what is not connected for zero."""
    net, method = Net(), method_for(name, "bosh3")
    chosen = {"method": method, "rtol": 1e-3, "atol": 1e-3, "gradient": ONCE[name]}
    with pytest.raises(RuntimeError, match=ALONE):
        torch.autograd.functional.hessian(
            lambda y: solve(net, y, times(0, 1), **chosen).ys[-1].sum(), Y0
        )
