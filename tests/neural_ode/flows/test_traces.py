"""Traces against the Jacobian that torch.func finds, and the law of Hutchinson's estimate."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural_ode.flows import ConcatSquashField, Hutchinson, PlanarField, closed_trace, exact_trace
from neural_ode.flows.traces import FixedNoise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def generators(runs: int) -> list[torch.Generator]:
    return [generator(seed) for seed in range(runs)]


def points(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(99), dtype=torch.float64)


T = torch.tensor(0.3, dtype=torch.float64)

FIELDS = {
    "hypernet": lambda dim, **k: PlanarField(dim, 5, hidden=7, **k),
    "mean": lambda dim, **k: PlanarField(dim, 5, hidden=7, reduce="mean", **k),
    "ungated": lambda dim, **k: PlanarField(dim, 5, hidden=7, gated=False, **k),
    "constant": lambda dim, **k: PlanarField(dim, 5, **k),
    "concatsquash": lambda dim, **k: ConcatSquashField(dim, (6, 5), **k),
}
PLANAR = [name for name in FIELDS if name != "concatsquash"]


def jacobians(field, z: torch.Tensor) -> torch.Tensor:
    """df/dz at every row of ``z`` [batch, dim], one at a time: [batch, dim, dim]."""
    return torch.stack(
        [torch.func.jacrev(lambda x: field(T, x[None])[0])(row).detach() for row in z]
    )


def traces(matrices: torch.Tensor) -> torch.Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_the_exact_trace_is_that_of_the_jacobian(name, dim):
    field, z = FIELDS[name](dim, generator=generator()).double(), points(3, dim)
    f, trace = exact_trace(field, T, z)
    torch.testing.assert_close(f, field(T, z), rtol=0, atol=0)
    torch.testing.assert_close(trace, traces(jacobians(field, z)), rtol=1e-12, atol=1e-14)


@given(
    dim=st.integers(1, 5),
    units=st.integers(1, 6),
    hidden=st.sampled_from([None, 4]),
    reduce=st.sampled_from(["sum", "mean"]),
    gated=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_the_closed_trace_is_the_exact_one(dim, units, hidden, reduce, gated, seed):
    field = PlanarField(
        dim, units, hidden=hidden, reduce=reduce, gated=gated, generator=generator(seed)
    ).double()
    z = points(4, dim)
    f, trace = closed_trace(field, T, z)
    expected_f, expected = exact_trace(field, T, z)
    torch.testing.assert_close(f, expected_f, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(trace, expected, rtol=1e-12, atol=1e-13)
    assert torch.equal(field.trace(T, z), trace)


@pytest.mark.parametrize("name", FIELDS)
def test_every_run_has_its_own_trace(name):
    z = points(3, 4, 2)
    batch = FIELDS[name](2, runs=3, generator=generators(3)).double()
    _, trace = exact_trace(batch, T, z)
    for run, own in enumerate(generators(3)):
        single = FIELDS[name](2, generator=own).double()
        torch.testing.assert_close(trace[run], exact_trace(single, T, z[run])[1])
    if name in PLANAR:
        torch.testing.assert_close(closed_trace(batch, T, z)[1], trace)


@pytest.mark.parametrize("name", PLANAR)
def test_both_traces_have_one_gradient(name):
    field, z = FIELDS[name](3, generator=generator()).double(), points(4, 3).requires_grad_(True)
    inputs = [z, *field.parameters()]
    found = [
        torch.autograd.grad(trace(field, T, z)[1].square().sum(), inputs, materialize_grads=True)
        for trace in (closed_trace, exact_trace)
    ]
    for closed, exact in zip(*found, strict=True):
        torch.testing.assert_close(closed, exact, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("trace", [exact_trace, FixedNoise(torch.ones(3, 2, dtype=torch.float64))])
def test_without_grad_mode_nothing_keeps_a_graph(trace):
    field = PlanarField(2, 3, generator=generator()).double()
    with torch.no_grad():
        found = trace(field, T, points(3, 2).requires_grad_(True))
    assert not any(x.requires_grad for x in found)
    assert all(p.grad is None for p in field.parameters())


@pytest.mark.parametrize(
    "field", [lambda t, z: torch.ones_like(z), lambda t, z: torch.nn.Parameter(torch.ones_like(z))]
)
def test_a_field_that_does_not_see_the_state_has_no_trace(field):
    z = points(3, 2)
    for trace in (exact_trace, Hutchinson(generator=generator()).draw(z)):
        assert torch.equal(trace(field, T, z)[1], torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_the_estimate_has_the_mean_and_the_variance_of_the_theory(kind):
    """E = tr A; the variance as for a quadratic form in such noise."""
    dim, count = 4, 200_000
    A = points(dim, dim)
    z = torch.zeros(count, dim, dtype=torch.float64)
    noise = Hutchinson(kind, generator()).draw(z)
    _, estimate = noise(lambda t, z: z @ A.T, T, z)
    symmetric = (A + A.T) / 2
    squares = symmetric.square()
    variance = 2 * squares.sum()
    if kind == "rademacher":
        variance = variance - 2 * squares.diagonal().sum()
    standard_error = (variance / count).sqrt()
    assert abs(estimate.mean() - A.trace()) < 4 * standard_error
    assert abs(estimate.var() / variance - 1) < 0.03


def test_the_estimate_is_the_quadratic_form_of_its_noise():
    field, z = PlanarField(3, 5, hidden=4, generator=generator()).double(), points(4, 3)
    noise = Hutchinson("gaussian", generator()).draw(z)
    f, estimate = noise(field, T, z)
    e = noise.noise
    expected = torch.einsum("bi,bij,bj->b", e, jacobians(field, z), e)
    torch.testing.assert_close(f, field(T, z))
    torch.testing.assert_close(estimate, expected, rtol=1e-11, atol=1e-13)


def test_rademacher_noise_is_exact_where_the_jacobian_is_diagonal():
    z = points(6, 3)
    noise = Hutchinson(generator=generator()).draw(z)
    assert set(noise.noise.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(
        noise(lambda t, z: z.tanh(), T, z)[1], (1 - z.tanh() ** 2).sum(-1), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
def test_noise_comes_from_the_generator_alone(kind):
    z = torch.zeros(5, 2)
    first = Hutchinson(kind, generator()).draw(z)
    torch.rand(7)
    hutchinson = Hutchinson(kind, generator())
    second, third = hutchinson.draw(z), hutchinson.draw(z)
    assert torch.equal(first.noise, second.noise)
    assert not torch.equal(second.noise, third.noise)


def test_bad_kinds_and_fields_are_refused(unchecked):
    with pytest.raises(ValueError, match="kind is 'uniform', expected 'rademacher' or 'gaussian'"):
        Hutchinson("uniform")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="field is ConcatSquashField, which has no field_and_trace"
    ):
        closed_trace(ConcatSquashField(2), T, points(3, 2))
