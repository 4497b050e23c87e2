"""Reversible methods of McCallum and Foster: steps, order, stability, gradients and memory."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from neural_ode import Backprop, Reversible, solve
from neural_ode.memory import SavedBytes
from neural_ode.methods import METHODS
from neural_ode.methods.coupled import Coupled

F64 = torch.float64
BASES = ("euler", "midpoint", "rk4_classic", "dopri5")


class Net(nn.Module):
    """A small field that depends on time, in float64."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(F64)
        for p in self.parameters():
            p.data = 0.7 * torch.randn(p.shape, generator=generator, dtype=F64)

    def forward(self, t, y):
        return self.layers(torch.cat([y, t.expand(*y.shape[:-1], 1)], dim=-1))


def coupled(base, coupling=0.999):
    return Coupled(METHODS[base], coupling)


def times(*values):
    return torch.tensor(values, dtype=F64)


def increment(base, f, t, h, x):
    """A step of the base, from the tableau."""
    tableau, ks = METHODS[base], []
    for node, row in zip(tableau.c, tableau.a, strict=True):
        ks.append(f(t + node * h, x + h * sum(w * k for w, k in zip(row, ks, strict=False))))
    return h * sum(w * k for w, k in zip(tableau.b, ks, strict=True))


@pytest.mark.parametrize("base", BASES)
def test_a_step_is_the_published_one(base):
    def field(t, y):
        return t * y - y**2

    h, c = 0.1, 0.9
    y = z = np.array([0.3, -0.2])
    expected = [y]
    for step in range(4):
        t = step * h
        y = c * y + (1 - c) * z + increment(base, field, t, h, z)
        z = z - increment(base, field, t + h, -h, y)
        expected.append(y)
    found = solve(
        field, times(0.3, -0.2), times(0, 0.1, 0.2, 0.3, 0.4), method=coupled(base, c), step_size=h
    )
    # The time 0.3 lies inside the third step, by its rounding.
    np.testing.assert_allclose(found.ys.numpy(), np.array(expected), rtol=1e-13)


@pytest.mark.parametrize(("base", "order"), [("euler", 1), ("midpoint", 2), ("rk4_classic", 4)])
def test_the_order_is_that_of_the_base(base, order):
    def miss(steps):
        solution = solve(
            lambda t, y: torch.cos(t) * y,
            times(1),
            times(0, 2),
            method=coupled(base),
            step_size=2 / steps,
        )
        return abs(float(solution.ys[-1]) - math.exp(math.sin(2)))

    slope = math.log2(miss(40) / miss(80))
    assert slope == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("base", ["dopri5", "bosh3", "tsit5"])
def test_an_adaptive_solve_meets_its_tolerance(base):
    solution = solve(
        lambda t, y: torch.stack([y[1], -y[0]]),
        times(1, 0),
        torch.linspace(0, 6, 13, dtype=F64),
        method=coupled(base),
        rtol=1e-7,
        atol=1e-7,
    )
    ts = torch.linspace(0, 6, 13, dtype=F64)
    exact = torch.stack([torch.cos(ts), -torch.sin(ts)], dim=1)
    assert float((solution.ys - exact).abs().max()) < 1e-5


@pytest.mark.parametrize("base", BASES)
def test_on_a_linear_field_a_step_has_the_published_determinant_and_trace(base):
    """Two solves from different pairs are not to be had, so the matrix follows from three states.

    From y0 = z0 = 1 a linear recurrence of second order gives y: its coefficients are trace and
    determinant.
    """
    a, h, c = -0.7, 0.2, 0.9
    ts = torch.arange(4, dtype=F64) * h
    y = solve(lambda t, y: a * y, times(1), ts, method=coupled(base, c), step_size=h).ys[:, 0]
    trace = float((y[3] + c * y[1]) / y[2])
    there, back = (increment(base, lambda t, y: a * y, 0, s, np.array(1.0)) for s in (h, -h))
    assert trace == pytest.approx(1 + c - (1 - c) * back - back * there, rel=1e-12)


@pytest.mark.parametrize(("times_the_edge", "stable"), [(0.95, True), (1.05, False)])
def test_a_decay_is_stable_up_to_minus_the_log_of_the_coupling(times_the_edge, stable):
    c = 0.8
    h = -math.log(c) * times_the_edge
    end = solve(
        lambda t, y: -y, times(1), times(0, 2000 * h), method=coupled("midpoint", c), step_size=h
    ).ys[-1]
    assert (abs(float(end)) < 1) == stable


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("outputs", [(0, 1), (0, 0.134, 0.5, 0.771, 1)])
def test_the_gradient_is_that_through_the_same_steps(base, outputs):
    y0 = torch.tensor([[0.5, -1.0], [0.2, 0.8]], dtype=F64)
    chosen = {"method": coupled(base), "grid": torch.linspace(0, 1, 51, dtype=F64)}

    def gradients(gradient):
        net, start = Net(), y0.clone().requires_grad_()
        solution = solve(net, start, times(*outputs), gradient=gradient, **chosen)
        weights = torch.arange(1, solution.ys.numel() + 1, dtype=F64).view_as(solution.ys)
        loss = (weights * solution.ys.sin()).sum()
        return torch.autograd.grad(loss, [start, *net.parameters()])

    for found, expected in zip(gradients(Reversible()), gradients(Backprop()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.slow(reason="autograd follows a thousand steps")
def test_the_gradient_of_an_adaptive_solve_and_of_a_thousand_steps():
    for chosen in (
        {"rtol": 1e-6, "atol": 1e-6, "method": coupled("dopri5")},
        {"step_size": 1e-3, "method": coupled("midpoint")},
    ):
        found = []
        for gradient in (Reversible(), Backprop()):
            net, start = Net(), times(0.5, -1.0).requires_grad_()
            end = solve(net, start, times(0, 0.4, 1), gradient=gradient, **chosen).ys
            found.append(torch.autograd.grad(end.square().sum(), [start, *net.parameters()]))
        for ours, expected in zip(*found, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10)


def test_the_gradient_agrees_with_finite_differences():
    net = Net()

    def end(y):
        chosen = {"method": coupled("rk4_classic", 0.9), "step_size": 0.25}
        return solve(net, y, times(0, 0.6, 1), gradient=Reversible(), **chosen).ys

    assert torch.autograd.gradcheck(end, times(0.5, -1.0).requires_grad_())


def test_what_is_held_does_not_depend_on_the_steps():
    held = []
    for steps in (10, 200):
        net = Net()
        with SavedBytes(ignore=net.parameters()) as meter:
            start = times(0.5, -1.0).requires_grad_()
            chosen = {"method": coupled("rk4_classic"), "step_size": 1 / steps}
            ys = solve(net, start, times(0, 1), gradient=Reversible(), **chosen).ys
            ys[-1].sum().backward()
        held.append(meter.peak)
    assert held[0] == held[1] > 0


def test_a_step_costs_two_of_the_base():
    solution = solve(
        Net(), times(0.5, -1), times(0, 1), method=coupled("rk4_classic"), step_size=0.1
    )
    assert solution.stats.nfe_forward == 1 + 10 * 2 * 4


def test_a_field_that_spoils_what_it_is_given_is_an_error():
    class Spoiling(Net):
        def forward(self, t, y):
            slope = super().forward(t, y)
            y.data.fill_(7)
            return slope

    chosen = {"method": coupled("dopri5"), "step_size": 0.1, "gradient": Reversible()}
    with pytest.raises(ValueError, match="changes in place the state"):
        solve(Spoiling(), times(0.5, -1.0), times(0, 1), **chosen)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("dopri5",), TypeError, "base is 'dopri5', expected a ButcherTableau"),
        ((METHODS["rk4"], "0.9"), TypeError, "coupling is '0.9', expected a number"),
        ((METHODS["rk4"], True), TypeError, "coupling is True, expected a number"),
        ((METHODS["rk4"], 0.0), ValueError, "coupling is 0.0, expected one above 0 and at most 1"),
        ((METHODS["rk4"], math.nan), ValueError, "coupling is nan, expected one above 0"),
        ((METHODS["dopri8"],), ValueError, "the dense output of dopri8 needs further stages"),
    ],
)
def test_what_cannot_be_coupled_is_one_sentence(arguments, error, says):
    with pytest.raises(error, match=says):
        Coupled(*arguments)
