"""Continuous normalizing flows against closed forms, log-determinants, and each other."""

import math
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal

from neural_ode import (
    Adjoint,
    Backprop,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    rms_norm,
    solve,
)
from neural_ode.flows import (
    CNF,
    ConcatSquashField,
    Hutchinson,
    LogDensityField,
    PlanarField,
    StandardNormal,
    exact_trace,
    runs_norm,
)
from neural_ode.flows.fields import Affine

ADJOINT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}
TIGHT: dict[str, Any] = {"method": "dopri8", **ADJOINT}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def generators(runs: int) -> list[torch.Generator]:
    return [generator(seed) for seed in range(runs)]


def points(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(99), dtype=torch.float64)


class Linear(nn.Module):
    """f = A z."""

    def __init__(self, A: Tensor) -> None:
        super().__init__()
        self.A = nn.Parameter(A)

    def forward(self, t, z):
        return z @ self.A.T


FIELDS = {
    "hypernet": lambda **k: PlanarField(2, 4, hidden=6, **k),
    "mean": lambda **k: PlanarField(2, 4, hidden=6, reduce="mean", **k),
    "constant": lambda **k: PlanarField(2, 4, **k),
    "concatsquash": lambda **k: ConcatSquashField(2, (8, 8), **k),
}


def loud(module: nn.Module, factor: float = 3.0) -> nn.Module:
    """The module in float64 with larger weights, so that its flow does something."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(factor)
    return module.double()


@pytest.mark.parametrize(
    ("make", "count"),
    [
        # 231 a unit and 1120 for the layers before: 32 + 32 (time), 32 x 32 + 32.
        (lambda: PlanarField(2, 2, hidden=32), 1582),
        (lambda: PlanarField(2, 8, hidden=32), 2968),
        (lambda: PlanarField(2, 32, hidden=32), 8512),
        # The released example: 64 units.
        (lambda: PlanarField(2, 64, hidden=32), 15_904),
        (lambda: PlanarField(2, 32, hidden=32, runs=3), 3 * 8512),
        (lambda: PlanarField(2, 8), 5 * 8),
        (lambda: PlanarField(3, 8, hidden=32, gated=False), 1120 + 33 * 7 * 8),
        # A layer has fan-in + 4 parameters for each output.
        (lambda: ConcatSquashField(2), 64 * 6 + 2 * 64 * 68 + 2 * 68),
    ],
)
def test_fields_have_the_published_parameters(make, count):
    assert sum(p.numel() for p in make().parameters()) == count


@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
def test_a_batch_of_runs_is_its_runs(make):
    """Weights, densities, samples and gradients, on fixed steps; to rounding."""
    solver: dict[str, Any] = {"method": "rk4", "step_size": 0.25}
    x = points(3, 5, 2)
    base = StandardNormal(2)
    batch = CNF(make(runs=3, generator=generators(3)).double(), base, **solver)
    densities = batch.log_prob(x)
    gradients = torch.autograd.grad(densities.sum(), list(batch.parameters()))
    samples = batch.sample(4, generators(3))
    for run, own in enumerate(generators(3)):
        single = CNF(make(generator=own).double(), base, **solver)
        pairs = zip(batch.parameters(), single.parameters(), strict=True)
        assert all(torch.equal(a[run], b) for a, b in pairs)
        alone = single.log_prob(x[run])
        torch.testing.assert_close(densities[run], alone, rtol=1e-12, atol=1e-12)
        found = torch.autograd.grad(alone.sum(), list(single.parameters()))
        for a, b in zip(gradients, found, strict=True):
            torch.testing.assert_close(a[run], b, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(samples[run], single.sample(4, generator(run)))


@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
def test_weights_come_from_the_generator_alone_and_stay_in_their_bound(make):
    first = make(generator=generator())
    torch.rand(7)
    second = make(generator=generator())
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    for layer in first.modules():
        if isinstance(layer, Affine):
            assert all(p.abs().max() <= layer.weight.shape[-2] ** -0.5 for p in layer.parameters())


def test_constant_weights_are_those_of_the_formula():
    field, z = PlanarField(3, 4, generator=generator()).double(), points(5, 3)
    t = torch.tensor(0.0, dtype=torch.float64)
    w, b, u = field.weights(t)
    expected = sum(torch.tanh(z @ w[:, m] + b[0, m])[:, None] * u[m] for m in range(field.units))
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(field(t, z), expected)


def test_the_mean_is_a_part_of_the_sum():
    z, t = points(5, 2), torch.tensor(0.7, dtype=torch.float64)
    total, mean = (
        PlanarField(2, 4, hidden=6, reduce=reduce, generator=generator()).double()(t, z)
        for reduce in ("sum", "mean")
    )
    torch.testing.assert_close(total, 4 * mean)


def test_time_enters_where_it_is_meant_to():
    z, times = points(5, 2), [torch.tensor(t, dtype=torch.float64) for t in (0.0, 1.0)]
    for name, make in FIELDS.items():
        field = make(generator=generator()).double()
        assert torch.equal(*(field(t, z) for t in times)) == (name == "constant")


@pytest.mark.slow(reason="twenty flows are solved at a tight tolerance")
@given(dim=st.integers(1, 4), end=st.floats(0.1, 2), seed=st.integers(0, 2**32))
def test_a_linear_flow_makes_a_normal_distribution(dim, end, seed):
    """x = e^{A T} z, so its covariance is e^{AT} e^{AT}^T and log p falls by tr(A) T."""
    A = torch.randn(dim, dim, generator=generator(seed), dtype=torch.float64) / 2
    x = points(6, dim)
    cnf = CNF(Linear(A), StandardNormal(dim), end=end, **TIGHT)
    flow = torch.linalg.matrix_exp(A * end)
    expected = MultivariateNormal(torch.zeros(dim, dtype=torch.float64), flow @ flow.T)
    # Where the flow stretches much the density has large terms, so the bound is a relative one.
    torch.testing.assert_close(cnf.log_prob(x), expected.log_prob(x), rtol=1e-7, atol=1e-7)
    samples, density = cnf.sample_with_log_prob(5, generator())
    start = cnf.draw_base(5, generator())
    fall = StandardNormal(dim).log_prob(start) - density
    torch.testing.assert_close(fall, (A.trace() * end).expand(5), rtol=0, atol=1e-8)
    torch.testing.assert_close(samples, start @ flow.T, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
def test_the_integrated_trace_is_the_log_determinant_of_the_flow(make):
    field = loud(make(generator=generator()))
    cnf = CNF(field, StandardNormal(2), end=1.5, **TIGHT)

    def flow(z: Tensor) -> Tensor:
        return cnf.transport(z[None], [0.0, 1.5])[-1, 0]

    z = cnf.draw_base(3, generator())
    _, density = cnf.sample_with_log_prob(3, generator())
    jacobians = [torch.autograd.functional.jacobian(flow, row) for row in z]
    determinants = torch.stack([torch.linalg.slogdet(J)[1] for J in jacobians])
    assert determinants.abs().max() > 0.1
    change = density - StandardNormal(2).log_prob(z)
    torch.testing.assert_close(change, -determinants, rtol=0, atol=1e-7)


@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("time", [None, 0.4])
def test_the_density_integrates_to_one(make, time):
    cnf = CNF(loud(make(generator=generator()), 2.0), StandardNormal(2), rtol=1e-6, atol=1e-6)
    axis = torch.linspace(-9, 9, 181, dtype=torch.float64)
    with torch.no_grad():
        total = cnf.log_prob(torch.cartesian_prod(axis, axis), time).exp().sum() * 0.1**2
    assert float(total) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
def test_both_directions_agree(make):
    cnf = CNF(loud(make(generator=generator())), StandardNormal(2, 0.5), **TIGHT)
    samples, density = cnf.sample_with_log_prob(6, generator())
    torch.testing.assert_close(cnf.log_prob(samples), density, rtol=0, atol=1e-7)
    assert torch.equal(cnf.sample(6, generator()), cnf.sample(6, generator()))
    torch.testing.assert_close(cnf.sample(6, generator()), samples, rtol=0, atol=1e-7)
    assert density.requires_grad
    assert not cnf.sample(6, generator()).requires_grad


def test_the_density_at_an_earlier_time():
    cnf = CNF(loud(PlanarField(2, 4, generator=generator())), StandardNormal(2), end=2.0, **TIGHT)
    x = points(5, 2)
    assert torch.equal(cnf.log_prob(x, 0.0), StandardNormal(2).log_prob(x))
    shorter = CNF(cnf.field, StandardNormal(2), end=0.7, **TIGHT)
    torch.testing.assert_close(cnf.log_prob(x, 0.7), shorter.log_prob(x))


def test_points_are_carried_through_many_times_and_the_cost_is_known():
    cnf = CNF(loud(PlanarField(2, 4, generator=generator())), StandardNormal(2), **TIGHT)
    assert cnf.stats is None
    x = points(5, 2)
    states = cnf.transport(x, [1.0, 0.5, 0.0])
    assert cnf.stats is not None
    assert cnf.stats.nfe_forward > 8
    assert torch.equal(states[0], x)
    torch.testing.assert_close(cnf.transport(states[-1], [0.0, 1.0])[-1], x, rtol=0, atol=1e-7)


GRADIENTS = {
    "adjoint": Adjoint(**ADJOINT),
    "seminorm": Adjoint(norm="seminorm", **ADJOINT),
    "interpolated": InterpolatedAdjoint(**ADJOINT),
    "checkpointed": Checkpointed(),
}


def gradient_of(cnf: CNF, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_(True)
    return list(torch.autograd.grad(cnf.log_prob(x).mean(), [x, *cnf.field.parameters()]))


@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("gradient", GRADIENTS.values(), ids=GRADIENTS)
def test_every_gradient_method_gives_the_same_gradient(make, gradient):
    field = make(generator=generator()).double()
    base, x = StandardNormal(2), points(4, 2)
    expected = gradient_of(CNF(field, base, gradient=Backprop(), **TIGHT), x)
    found = gradient_of(CNF(field, base, gradient=gradient, **TIGHT), x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
def test_reversible_heun_gives_the_gradient_of_its_own_steps(make):
    field = make(generator=generator()).double()
    base, x = StandardNormal(2), points(4, 2)
    solver: dict[str, Any] = {"method": "reversible_heun", "step_size": 0.05}
    expected = gradient_of(CNF(field, base, **solver), x)
    found = gradient_of(CNF(field, base, gradient=Reversible(), **solver), x)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("make", FIELDS.values(), ids=FIELDS)
def test_the_gradient_on_fixed_steps_is_that_of_finite_differences(make):
    field = make(generator=generator()).double()
    cnf = CNF(field, StandardNormal(2), method="rk4", step_size=0.5)
    names = [name for name, _ in cnf.named_parameters()]

    def density(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(
            _Density(cnf), dict(zip([f"cnf.{n}" for n in names], values, strict=True)), (x,)
        )

    inputs = [points(2, 2).requires_grad_(True), *cnf.parameters()]
    assert torch.autograd.gradcheck(density, inputs, fast_mode=True)


class _Density(nn.Module):
    def __init__(self, cnf: CNF) -> None:
        super().__init__()
        self.cnf = cnf

    def forward(self, x):
        return self.cnf.log_prob(x)


def test_runs_norm_is_the_largest_of_the_runs():
    x = points(4, 3, 2)
    assert runs_norm(x) == pytest.approx(max(float(rms_norm(own)) for own in x))


def test_no_run_is_solved_less_accurately_than_alone():
    """One run in twenty is stiff: the mean over all hides its error, the largest does not."""
    rates = torch.full((20, 1, 1), -0.01, dtype=torch.float64)
    rates[7] = -8.0
    z = torch.ones(20, 3, 2, dtype=torch.float64)
    ts = torch.tensor([0.0, 1.0], dtype=torch.float64)
    solver: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4, "first_step": 0.1}
    steps = {
        name: solve(lambda t, z: rates * z, z, ts, norm=norm, **solver).stats.accepted
        for name, norm in (("all", rms_norm), ("runs", runs_norm))
    }
    alone = solve(lambda t, z: -8 * z, z[7], ts, **solver).stats.accepted
    assert steps["all"] < steps["runs"] == alone


def test_a_batch_of_runs_is_trained_by_the_adjoint():
    field = loud(PlanarField(2, 4, hidden=6, runs=3, generator=generators(3)), 1.5)
    base, x = StandardNormal(2), points(3, 4, 2)
    expected = gradient_of(CNF(field, base, **TIGHT), x)
    cnf = CNF(field, base, gradient=Adjoint(norm="seminorm"), **TIGHT)
    for a, b in zip(gradient_of(cnf, x), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-8)
    assert cnf.stats is not None
    assert cnf.stats.nfe_backward


def test_the_noise_of_an_estimated_trace_is_drawn_once_a_solve():
    """For f = A z the estimate is e^T A e at every time, and so is its integral over [0, 1]."""
    A, x = points(3, 3) / 2, points(4, 3)
    trace = Hutchinson("gaussian", generator())
    cnf = CNF(Linear(A), StandardNormal(3), trace=trace, **TIGHT)
    exact = CNF(Linear(A), StandardNormal(3), trace=exact_trace, **TIGHT).log_prob(x)
    again = Hutchinson("gaussian", generator())
    for _ in range(2):
        e = again.draw(x).noise
        error = A.trace() - torch.einsum("bi,ij,bj->b", e, A, e)
        torch.testing.assert_close(cnf.log_prob(x) - exact, error, rtol=1e-7, atol=1e-7)


def test_the_adjoint_sees_the_noise_of_its_own_solve():
    """Two solves before one backward pass: each must come back with the noise it went out with."""
    field, x = ConcatSquashField(2, (6,), generator=generator()).double(), points(4, 2)

    def gradients(gradient) -> tuple[Tensor, ...]:
        trace = Hutchinson(generator=generator())
        cnf = CNF(field, StandardNormal(2), trace=trace, gradient=gradient, **TIGHT)
        loss = cnf.log_prob(x).sum() + 2 * cnf.log_prob(x + 1).sum()
        return torch.autograd.grad(loss, list(field.parameters()))

    pairs = zip(gradients(Adjoint()), gradients(Backprop()), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)


def test_a_base_of_torch_distributions_is_welcome_and_leaves_the_global_generator_alone():
    base = Independent(Normal(torch.zeros(2), 2 * torch.ones(2)), 1)
    field = PlanarField(2, 4, generator=generator())
    cnf, own = CNF(field, base), CNF(field, StandardNormal(2, 2.0))
    x = torch.randn(5, 2, generator=generator())
    torch.testing.assert_close(cnf.log_prob(x), own.log_prob(x))
    before = torch.get_rng_state()
    first = cnf.sample(1000, generator())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, cnf.sample(1000, generator()))
    assert not torch.equal(first, cnf.sample(1000, generator(1)))
    assert cnf.draw_base(4000, generator()).std() == pytest.approx(2, rel=0.05)


def test_the_normal_is_that_of_torch():
    x = points(6, 3)
    expected = MultivariateNormal(torch.zeros(3).double(), 0.1 * torch.eye(3).double())
    own = StandardNormal(3, math.sqrt(0.1))
    torch.testing.assert_close(own.log_prob(x), expected.log_prob(x))
    samples = own.sample(20_000, generator())
    assert samples.std() == pytest.approx(math.sqrt(0.1), rel=0.02)
    assert torch.equal(samples, own.sample(20_000, generator()))


def test_samples_have_the_dtype_of_the_field():
    cnf = CNF(PlanarField(2, 4, generator=generator()), StandardNormal(2))
    assert cnf.sample(3, generator()).dtype == torch.float32
    assert cnf.double().sample(3, generator()).dtype == torch.float64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PlanarField(0, 3), "dim is 0, expected at least 1"),
        (
            lambda: PlanarField(2, 3, reduce=cast(Any, "max")),
            "reduce is 'max', expected 'sum' or 'mean'",
        ),
        (lambda: PlanarField(2, 3, runs=0), "runs is 0, expected at least 1"),
        (lambda: PlanarField(2, 3, generator=[generator()]), "expected a single one"),
        (lambda: PlanarField(2, 3, runs=3, generator=generator()), "expected a sequence of 3"),
        (lambda: PlanarField(2, 3, runs=3, generator=generators(2)), "expected a sequence of 3"),
        (lambda: ConcatSquashField(2, ()), "widths has 0 entries, expected at least one"),
        (lambda: StandardNormal(2, 0.0), "scale is 0.0, expected a positive finite number"),
        (
            lambda: CNF(PlanarField(2, 3), Normal(0.0, 1.0)),
            r"event shape \(\), .* Independent\(Normal",
        ),
        (
            lambda: CNF(PlanarField(2, 3), StandardNormal(2), end=0.0),
            "end is 0.0, expected a positive finite number",
        ),
        (lambda: flow().log_prob(torch.zeros(4, 3)), r"shape \(4, 3\), expected \[batch, 2\]"),
        (lambda: flow().log_prob(torch.zeros(2)), r"expected \[batch, 2\]"),
        (lambda: flow(3).log_prob(torch.zeros(4, 2)), r"expected \[3, batch, 2\]"),
        (lambda: flow(3).log_prob(torch.zeros(2, 4, 2)), r"expected \[3, batch, 2\]"),
        (
            lambda: flow().log_prob(torch.zeros(4, 2), 1.5),
            "time is 1.5, expected a number from 0.0 to 1.0",
        ),
        (lambda: flow().sample(0, generator()), "count is 0, expected at least 1"),
        (lambda: flow().sample(2, generators(1)), "expected a single one"),
        (lambda: flow(3).sample(2, generator()), "expected a sequence of 3"),
        (lambda: flow(3).sample(2, generators(2)), "expected a sequence of 3"),
        (
            lambda: LogDensityField(PlanarField(2, 3), Hutchinson())(
                torch.tensor(0.0), torch.zeros(4, 3)
            ),
            r"use the field that with_fixed_noise\(x\) returns",
        ),
    ],
)
def test_bad_input_is_refused(unchecked, make, message):
    with pytest.raises(ValueError, match=message):
        make()


def flow(runs: int | None = None) -> CNF:
    return CNF(PlanarField(2, 3, runs=runs), StandardNormal(2))
