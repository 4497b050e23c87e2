"""A batch in which each sample has its own steps: what fails, and what is refused."""

# A missing count fails a test all the same, and settings are plain dicts.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false

import pytest
import torch

from neural_ode import (
    Adjoint,
    Checkpointed,
    InterpolatedAdjoint,
    NonFinite,
    StepLimit,
    StepUnderflow,
    solve,
)
from neural_ode.networks import MLPField
from tests.neural_ode.sample_problems import F64, TS, driven, independent, starts


def test_a_failure_has_the_number_of_the_sample():
    y0, ts = torch.tensor([[0.1], [2.0]], dtype=F64), torch.tensor([0.0, 1.0], dtype=F64)
    with pytest.raises(
        StepUnderflow, match=r"^sample 1 of the batch: .*too small to move the time"
    ):
        independent(lambda t, y: y**3, y0, ts, rtol=1e-3, atol=1e-3)
    with pytest.raises(NonFinite, match=r"^sample 1 of the batch: .*just after t=0.77"):
        independent(lambda t, y: 450 * y0 * y, y0, ts, rtol=1e-3, atol=1e-3)
    with pytest.raises(NonFinite, match=r"^sample 1 of the batch: .* is not finite at t=0$"):
        independent(lambda t, y: y / (2 - y0), y0, ts)
    with pytest.raises(StepLimit, match=r"^sample 1 of the batch: 9 steps taken without reaching"):
        independent(lambda t, y: 900 * (y0 > 1) * torch.sin(99 * t), y0, ts, max_num_steps=9)

    def wall(t, y):
        return torch.where((t > 0.5) & (y0 > 1), torch.nan, y)

    with pytest.raises(NonFinite, match=r"^sample 1 of the batch: .*just after t=0.5"):
        independent(wall, y0, ts, rtol=1e-3, atol=1e-3)


def test_a_tolerance_below_the_rounding_ends_a_sample():
    y0 = torch.tensor([[1.0], [1e6]], dtype=torch.float32)
    ts = torch.tensor([0.0, 1.0])
    with pytest.raises(StepUnderflow, match=r"^sample 1 of the batch"):
        independent(
            lambda t, y: 1e9 * torch.cos(1000 * t) * (y0 > 1), y0, ts, rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"batch": "alone"}, "batch is 'alone', expected one of joint, independent"),
        ({"compile": True}, "batch='independent' does not go with compile"),
        ({"dense": True}, "does not go with dense"),
        ({"event_fn": lambda t, y: y[0, 0]}, "does not go with event_fn"),
        ({"step_t": [0.5], "jump_t": [0.6]}, "does not go with step_t, jump_t"),
        ({"method": "adams"}, "method 'adams' does not take batch"),
        ({"method": "kvaerno5"}, "method 'kvaerno5' takes the same steps for the whole batch"),
        ({"gradient": Checkpointed(params=())}, r"goes with Backprop\(\) and Adjoint\(\)"),
        ({"gradient": InterpolatedAdjoint(params=())}, r"goes with Backprop\(\) and Adjoint\(\)"),
        ({"norm": lambda x: -x.abs().max()}, "the norm returned -"),
    ],
)
def test_what_does_not_go_with_it(how, words):
    ts = TS[[0, 3]] if "event_fn" in how else TS
    with pytest.raises(ValueError, match=words):
        solve(driven, starts(2), ts, **{"batch": "independent", **how})


def test_the_way_back_of_an_adjoint_has_no_samples():
    gradient = Adjoint(params=(), settings={"batch": "independent"})
    with pytest.raises(ValueError, match="the way back of an adjoint takes the same steps"):
        solve(driven, starts(2), TS, gradient=gradient)


def test_transforms_are_told_to_solve_jointly():
    def end(y0):
        return independent(driven, y0, TS).ys[-1]

    with pytest.raises(ValueError, match=r"not known under torch\.func"):
        torch.func.jvp(end, (starts(2),), (starts(2),))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (lambda t, y: y * t.squeeze(), "other values than for one time"),
        (lambda t, y: y * float(t), "only one element tensors"),
        (lambda t, y: y * torch.stack([t, t]), r"it then returned shape \(2, 2, 2\)"),
        (lambda t, y: y * t.expand(3, 1)[:2], "expanded size"),
    ],
)
def test_a_field_that_takes_one_time_alone(field, words):
    ts = torch.tensor([0.5, 1.0], dtype=F64)
    y0 = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=F64)

    with pytest.raises(ValueError, match=r"a time for each sample, of shape \(2, 1\), .*" + words):
        independent(field, y0, ts)


def test_a_state_without_a_batch():
    with pytest.raises(ValueError, match="whose first dimension is the batch, y0 has none"):
        independent(lambda t, y: -y, torch.tensor(1.0), torch.tensor([0.0, 1.0]))


def test_a_period_of_the_field_does_not_hide_times_along_another_dimension():
    y0 = torch.ones(3, 3, dtype=F64)
    ts = torch.tensor([0.0, 1.0], dtype=F64)
    with pytest.raises(ValueError, match="other values than for one time"):
        independent(lambda t, y: torch.cos(2 * torch.pi * t.squeeze()) * y, y0, ts)
    with pytest.raises(ValueError, match="other values than for one time"):
        independent(lambda t, y: 5 + t.squeeze() * y, torch.zeros(3, 3, dtype=F64), ts)


def test_a_field_that_mixes_samples():
    with pytest.raises(ValueError, match="depends on that sample alone"):
        independent(lambda t, y: y.mean(0) - y + torch.cos(t), starts(3), TS)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_field_is_not_taken_for_a_wrong_one_by_its_rounding(dtype):
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        net = MLPField(64, 32, generator=generator).to(dtype)
        y0 = torch.randn(64, 64, generator=generator, dtype=dtype)
        ts = torch.tensor([0.0, 1e-6], dtype=dtype)
        independent(lambda t, y: 100 * net(t, y) - 99.9 * net(t, y), y0, ts)  # noqa: B023


def test_a_field_may_differentiate_by_itself():
    def force(t, y):
        with torch.enable_grad():
            y = y if y.requires_grad else y.detach().requires_grad_()
            (slope,) = torch.autograd.grad((y**2).sum(), y, create_graph=True)
        return -slope * t

    def forces(t, y):
        return -torch.autograd.grad((y**2).sum(), y, create_graph=True)[0] * t

    y0 = starts(3).requires_grad_()
    for field in (force, forces):
        ys = independent(field, y0, TS).ys
        exact = y0 * torch.exp(-(TS.view(-1, 1, 1) ** 2))
        torch.testing.assert_close(ys, exact, rtol=1e-5, atol=1e-7)


def test_a_field_may_fill_one_tensor():
    out = torch.empty(3, 2, dtype=F64)
    with torch.no_grad():
        ys = independent(lambda t, y: torch.mul(y, -t, out=out), starts(3), TS).ys
    exact = starts(3) * torch.exp(-(TS.view(-1, 1, 1) ** 2) / 2)
    torch.testing.assert_close(ys, exact, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("field", "kind", "words"),
    [
        (lambda y: y, TypeError, r"the field is called as field\(t, y\)"),
        (lambda t, y: y.to_sparse(), TypeError, "sparse tensor"),
        (lambda t, y: y[:, :1], ValueError, "the derivative must have the state's shape"),
    ],
)
def test_what_is_no_field_in_any_batch(field, kind, words):
    with pytest.raises(kind, match=words):
        independent(field, starts(3), TS)


def test_a_field_that_asserts_a_single_time():
    def field(t, y):
        assert t.ndim == 0
        return y * t

    with pytest.raises(ValueError, match="has to broadcast against the state: assert"):
        independent(field, starts(3), TS)


def test_an_empty_batch_with_a_norm():
    y0 = torch.zeros(0, 2, dtype=F64)
    assert independent(lambda t, y: -y, y0, TS, norm=lambda x: x.abs().sum()).ys.shape == (4, 0, 2)


def test_vmap_is_told_to_solve_jointly():
    def solved(y):
        return independent(lambda t, y: -y, y, TS).ys

    with pytest.raises(ValueError, match=r"not known under torch\.func"):
        torch.func.vmap(solved)(torch.ones(2, 3, 1, dtype=F64))


def test_a_rejected_step_with_a_derivative_that_is_nan_does_not_reach_the_gradients():
    """Its values are finite: below zero the root is cut off, and its derivative is still NaN."""

    def roots(t, y):
        return -torch.where(y > 0, torch.sqrt(y), torch.zeros_like(y))

    def gradient(**how):
        y0 = torch.tensor([[4.0], [40.0]], dtype=F64, requires_grad=True)
        ys = solve(roots, y0, torch.tensor([0.0, 1.9], dtype=F64), first_step=4.0, **how).ys
        return torch.autograd.grad(ys[-1].sum(), y0)[0]

    found = gradient(batch="independent", rtol=1e-3, atol=1e-3)
    # sqrt(y) falls by half the time.
    exact = 1 - 0.95 / torch.tensor([[2.0], [40.0**0.5]], dtype=F64)
    torch.testing.assert_close(found, exact, rtol=1e-2, atol=1e-2)


def test_a_sample_that_has_ended_does_not_reach_the_gradients_where_its_derivative_is_nan():
    def roots(t, y):
        return -torch.sqrt(y) * rate

    rate = torch.tensor([[1.0], [60.0]], dtype=F64)
    y0 = torch.tensor([[4.0], [3600.0]], dtype=F64, requires_grad=True)
    ts = torch.tensor([0.0, 1.0], dtype=F64)
    ys = independent(roots, y0, ts, rtol=1e-5, atol=1e-5).ys
    (found,) = torch.autograd.grad(ys[-1].sum(), y0)
    exact = 1 - rate / 2 / y0.detach().sqrt()
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-3)


def test_a_field_that_was_refused_once_is_refused_again():
    def field(t, y):
        return y.mean(0) - y

    for _ in range(2):
        with pytest.raises(ValueError, match="depends on that sample alone"):
            independent(field, starts(3), TS)


def test_a_batch_norm_is_refused_in_training_although_it_passed_before():
    net = torch.nn.BatchNorm1d(2).double().eval()

    class Field(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, t, y):
            return -self.net(y)

    field = Field().eval()
    independent(field, starts(3), TS)
    net.train()
    with pytest.raises(ValueError, match="depends on that sample alone"):
        independent(field, starts(3), TS)
