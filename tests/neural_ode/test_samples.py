"""A batch in which each sample has its own steps, against the samples solved alone."""

# A missing count fails a test all the same, and settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural_ode import (
    Adjoint,
    solve,
)
from neural_ode.flows import ConcatSquashField, LogDensityField, exact_trace
from neural_ode.methods import NAMED
from neural_ode.methods.base import SampleMethod
from neural_ode.networks import ConvField, ImageField, MLPField, ReluField
from neural_ode.networks.mlp import initialise
from neural_ode.step.controllers import IntegralController, PIController
from tests.neural_ode.random_problems import CHOOSING, tolerance
from tests.neural_ode.sample_problems import F64, TS, driven, independent, starts

OF_SAMPLES = [name for name in CHOOSING if isinstance(NAMED[name], SampleMethod)]


def alone(field, y0, ts, **how):
    return [solve(field, y0[i : i + 1], ts, **how) for i in range(len(y0))]


class Counted:
    """A field that counts its calls."""

    def __init__(self, field):
        self.field, self.calls = field, 0

    def __call__(self, t, y):
        self.calls += 1
        return self.field(t, y)


# --- the solution


@pytest.mark.slow(reason="each sample of many batches is solved alone, too")
@given(
    method=st.sampled_from(OF_SAMPLES),
    count=st.integers(1, 6),
    back=st.booleans(),
    digits=st.integers(3, 6),
    seed=st.integers(0, 99),
)
def test_each_sample_is_solved_as_it_is_alone(method, count, back, digits, seed):
    y0, ts = starts(count, seed), TS.flip(0) if back else TS
    tol = tolerance(method, F64, digits)
    how = {"method": method, "rtol": tol, "atol": tol}
    batch, singles = independent(driven, y0, ts, **how), alone(driven, y0, ts, **how)
    assert torch.equal(batch.ys[0], y0)
    torch.testing.assert_close(
        batch.ys, torch.cat([each.ys for each in singles], dim=1), rtol=0, atol=tol / 100
    )
    # Where an error is at the bound, its rounding decides.
    taken, wanted = batch.stats.samples.accepted, [each.stats.accepted for each in singles]
    assert (taken - torch.tensor(wanted)).abs().max() <= 1


@pytest.mark.parametrize("method", OF_SAMPLES)
def test_the_counts_are_those_of_the_samples_alone(method):
    y0, field = starts(5), Counted(driven)
    # The first solve looks at the field as well.
    independent(field, y0, TS, method=method, rtol=0.1, atol=0.1)
    field.calls = 0
    tol = tolerance(method, F64, 5)
    how = {"method": method, "rtol": tol, "atol": tol}
    stats = independent(field, y0, TS, **how).stats
    singles = [each.stats for each in alone(driven, y0, TS, **how)]
    for name, single in (
        ("accepted", "accepted"),
        ("rejected", "rejected"),
        ("nfe", "nfe_forward"),
    ):
        wanted = [getattr(each, single) for each in singles]
        assert getattr(stats.samples, name).tolist() == wanted
    assert stats.accepted == int(stats.samples.accepted.sum())
    assert stats.rejected == int(stats.samples.rejected.sum())
    assert field.calls == stats.nfe_forward
    # Slopes and further stages that are not needed at the same step are calls for some samples.
    assert stats.nfe_forward >= int(stats.samples.nfe.max())
    if NAMED[method].fsal and NAMED[method].dense_c is None:
        assert stats.nfe_forward == int(stats.samples.nfe.max())


def test_a_batch_of_one_takes_the_steps_of_the_whole():
    y0 = starts(1)
    batch, whole = independent(driven, y0, TS), solve(driven, y0, TS)
    torch.testing.assert_close(batch.ys, whole.ys, rtol=1e-12, atol=1e-12)
    assert batch.stats.nfe_forward == whole.stats.nfe_forward


def test_the_hardest_sample_does_not_cost_the_others_their_accuracy():
    """The root mean square over a batch hides the error of one sample among many."""

    def rates(t, y):
        return -y * rate

    rate = torch.ones(64, 1, dtype=F64)
    rate[0] = 30
    y0, ts = torch.ones_like(rate), torch.tensor([0.0, 0.2], dtype=F64)
    how = {"rtol": 1e-6, "atol": 1e-6}
    errors = [
        (solve(rates, y0, ts, batch=batch, **how).ys[-1] - torch.exp(-rate * 0.2)).abs()[0]
        for batch in ("joint", "independent")
    ]
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize("shape", [(4,), (4, 3), (2, 3, 2), (3, 1, 2, 2), (0, 2), (3, 0)])
def test_states_of_every_shape(shape):
    y0 = torch.linspace(1, 2, math.prod(shape), dtype=F64).view(shape)
    rate = torch.linspace(0.5, 20, max(len(y0), 1), dtype=F64)[: len(y0)]
    rate = rate.view(-1, *[1] * (len(shape) - 1))
    ts = torch.tensor([0.0, 0.1, 0.7], dtype=F64)
    ys = independent(lambda t, y: -rate * y, y0, ts).ys
    exact = y0 * torch.exp(-rate * ts.view(-1, *[1] * len(shape)))
    torch.testing.assert_close(ys, exact, rtol=1e-5, atol=1e-8)


def test_tolerances_of_each_sample():
    y0 = starts(1).expand(3, 2)
    tolerance = torch.tensor([1e-3, 1e-6, 1e-9], dtype=F64)[:, None]
    accepted = independent(driven, y0, TS, rtol=tolerance, atol=tolerance).stats.samples.accepted
    singles = [solve(driven, y0[:1], TS, rtol=float(tol), atol=float(tol)) for tol in tolerance]
    assert accepted.tolist() == [each.stats.accepted for each in singles]


def largest(x):
    return x.abs().max()


class Halving(IntegralController):
    """A controller of the user's, which knows numbers of the host alone."""

    def factor(self, ratio, previous, order):
        assert previous is None or 0 <= previous <= 1
        return 0.5 if ratio > 1 else 1.5


@pytest.mark.parametrize(
    "how",
    [
        {"norm": largest},
        {"controller": PIController()},
        {"controller": Halving()},
        {"first_step": 0.01},
        {"max_step": 0.05},
        {"min_step": 0.3},
    ],
    ids=lambda how: next(iter(how)),
)
def test_settings_hold_for_each_sample(how):
    y0, how = starts(4), {"rtol": 1e-5, "atol": 1e-5, **how}
    batch, singles = independent(driven, y0, TS, **how), alone(driven, y0, TS, **how)
    assert batch.stats.samples.accepted.tolist() == [each.stats.accepted for each in singles]
    torch.testing.assert_close(
        batch.ys, torch.cat([each.ys for each in singles], dim=1), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("how", [{"step_size": 0.1}, {"method": "rk4"}])
def test_a_grid_is_the_same_for_all_samples(how):
    y0 = starts(3)
    assert torch.equal(independent(driven, y0, TS, **how).ys, solve(driven, y0, TS, **how).ys)


NETS = {
    "mlp": lambda generator: MLPField(2, 16, generator=generator),
    "augmented": lambda generator: ReluField(2, 16),
    "density": lambda generator: LogDensityField(
        ConcatSquashField(1, [8], generator=generator), exact_trace
    ),
    "conv": lambda generator: ConvField(4, 2, generator=generator),
    "images": lambda generator: ImageField(4, 3, time_dependent=True),
}


@pytest.mark.parametrize("net", NETS)
def test_the_fields_of_this_package_take_a_time_for_each_sample(net):
    generator = torch.Generator().manual_seed(0)
    y0 = starts(4)
    if net in ("conv", "images"):
        y0 = torch.randn(3, 4, 5, 5, generator=generator, dtype=F64)
    net, times = NETS[net](generator).double(), torch.linspace(0.2, 0.9, len(y0), dtype=F64)
    initialise(net, generator)
    singly = torch.cat([net(t, y[None]) for t, y in zip(times, y0, strict=True)])
    torch.testing.assert_close(net(times.view(-1, *[1] * (y0.ndim - 1)), y0), singly)
    ys = independent(net, y0, torch.tensor([0.0, 1.0], dtype=F64), rtol=1e-5, atol=1e-5).ys
    assert ys.shape == (2, *y0.shape)


# --- gradients


def test_backprop_gives_the_gradients_of_the_samples_alone():
    net = MLPField(2, 8, generator=torch.Generator().manual_seed(1)).double()
    y0, weights = starts(4).requires_grad_(), torch.linspace(-1, 2, 4 * 2 * 4, dtype=F64)

    def gradients(ys):
        wanted = [y0, *net.parameters()]
        return torch.autograd.grad((ys.flatten() * weights).sum(), wanted)

    batch = gradients(independent(net, y0, TS).ys)
    singly = gradients(torch.cat([each.ys for each in alone(net, y0, TS)], dim=1))
    for one, other in zip(batch, singly, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_gradients_of_state_and_times_are_those_of_finite_differences():
    def ends(y0, ts):
        return independent(driven, y0, ts, rtol=1e-8, atol=1e-8).ys

    y0 = starts(2).requires_grad_()
    ts = TS[:3].clone().requires_grad_()
    assert torch.autograd.gradcheck(ends, (y0, ts), eps=1e-5, atol=1e-5, rtol=1e-4)


def test_the_adjoint_takes_a_joint_way_back():
    net = MLPField(2, 8, generator=torch.Generator().manual_seed(1)).double()
    y0 = starts(4).requires_grad_()
    gradients = []
    for how in ({}, {"gradient": Adjoint()}):
        solution = independent(net, y0, TS, rtol=1e-9, atol=1e-9, **how)
        wanted = [y0, *net.parameters()]
        gradients.append(torch.autograd.grad(solution.ys[1:].sum(), wanted))
        assert solution.stats.samples is not None
    assert solution.stats.nfe_backward > 0
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_a_step_that_is_not_finite_does_not_reach_the_gradients():
    """Its derivatives are NaN, of which zero times is NaN again."""
    rate = torch.tensor([1.0, 3.0], dtype=F64)[:, None].requires_grad_()

    def roots(t, y):
        # Not a number below zero, where the first step of the second sample ends.
        return -rate * torch.sqrt(y) * (1 + t)

    y0 = torch.tensor([[9.0], [4.0]], dtype=F64, requires_grad=True)
    ts = torch.tensor([0.0, 0.5], dtype=F64)
    solution = independent(roots, y0, ts, first_step=2.0)
    assert solution.stats.rejected > 0
    # sqrt(y) falls by rate / 2 (t + t^2 / 2).
    exact = (y0.sqrt() - rate / 2 * (0.5 + 0.125)) ** 2
    torch.testing.assert_close(solution.ys[-1], exact, rtol=1e-6, atol=1e-8)
    for wanted in (y0, rate):
        (found,) = torch.autograd.grad(solution.ys[-1].sum(), wanted, retain_graph=True)
        (truth,) = torch.autograd.grad(exact.sum(), wanted, retain_graph=True)
        torch.testing.assert_close(found, truth, rtol=1e-5, atol=1e-7)
