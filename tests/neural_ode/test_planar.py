"""The planar flow: its Jacobian, its inverse, its two directions, runs, and bad input."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural_ode.flows import PlanarFlow


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flow(dim=2, layers=5, scale=3.0, seed=0, **settings) -> PlanarFlow:
    """One in float64 whose parameters are far from where they start."""
    made = PlanarFlow(dim, layers, generator=generator(seed), **settings).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(scale)
    return made


def points(count=40, dim=2, seed=7) -> torch.Tensor:
    return 2 * torch.randn(count, dim, generator=generator(seed), dtype=torch.float64)


def grid(reach=12.0, count=601) -> tuple[torch.Tensor, float]:
    axis = torch.linspace(-reach, reach, count, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2


def test_one_layer_is_that_of_the_paper():
    made, z = flow(layers=1), points()
    u, w, b = made.u[0], made.w[0], made.b[0]
    wu = w @ u
    u_hat = u + (-1 + torch.log(1 + torch.exp(wu)) - wu) * w / (w @ w)
    h = torch.tanh(z @ w + b)
    x, log_det = made(z)
    torch.testing.assert_close(x, z + h[:, None] * u_hat)
    psi = (1 - h**2)[:, None] * w
    torch.testing.assert_close(log_det, torch.log(torch.abs(1 + psi @ u_hat)))


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_determinant_is_that_of_the_jacobian(dim):
    made, z = flow(dim), points(10, dim)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda p: made(p[None])[0][0]))(z)
    torch.testing.assert_close(made(z)[1], torch.linalg.slogdet(jacobians)[1])


@given(st.floats(0.1, 4), st.integers(1, 8), st.integers(0, 1000))
def test_the_inverse_undoes_every_flow(scale, layers, seed):
    """What is compared lies among the data, since a start may not be determined so well."""
    made, x = flow(layers=layers, scale=scale, seed=seed), points(seed=seed)
    back = made(made.inverse(x))[0]
    assert (back - x).abs().max() < 1e-10


def test_the_inverse_finds_the_start():
    made, z = flow(layers=8, scale=2.0), points(500)
    assert (made.inverse(made(z)[0]) - z).abs().max() < 1e-10


def test_the_inverse_is_differentiable():
    made, x = flow(layers=3), points(3).requires_grad_(True)
    parameters = list(made.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: made.inverse(x), (x, *parameters))


def test_the_layer_on_the_edge_of_invertibility_is_inverted():
    """With w.u very negative w.u_hat is -1, and the map is flat where the unit is zero."""
    made = PlanarFlow(1, 1, generator=generator()).double()
    with torch.no_grad():
        made.w.fill_(1.0)
        made.u.fill_(-50.0)
        made.b.fill_(0.0)
    x = torch.tensor([[-2.0], [-1e-9], [0.0], [1e-3], [5.0]], dtype=torch.float64)
    z = made.inverse(x)
    torch.testing.assert_close(z - torch.tanh(z), x, atol=1e-10, rtol=0)


@pytest.mark.parametrize("towards", ["data", "base"])
def test_the_density_integrates_to_one(towards):
    made = flow(layers=4, scale=1.5, towards=towards)
    x, area = grid()
    with torch.no_grad():
        total = made.log_prob(x).exp().sum() * area
    assert total == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("towards", ["data", "base"])
def test_samples_come_with_their_own_density(towards):
    made = flow(layers=4, towards=towards)
    x, log_prob = made.sample_with_log_prob(50, generator())
    torch.testing.assert_close(made.log_prob(x), log_prob)
    assert torch.equal(x, made.sample(50, generator()))


def test_samples_follow_the_density():
    """E log q over samples against the integral of q log q."""
    made = flow(layers=4, scale=1.5)
    with torch.no_grad():
        found = made.sample_with_log_prob(20_000, generator(3))[1]
        x, area = grid()
        log_prob = made.log_prob(x)
    expected = (log_prob.exp() * log_prob).sum() * area
    assert abs(found.mean() - expected) < 4 * found.std() / math.sqrt(len(found))


def test_runs_are_single_flows_beside_each_other():
    seeds = [3, 4, 5]
    batch = PlanarFlow(2, 6, runs=3, generator=[generator(s) for s in seeds]).double()
    z = torch.stack([points(seed=s) for s in seeds])
    x, log_det = batch(z)
    found, _ = batch.sample_with_log_prob(5, [generator(s) for s in seeds])
    for run, seed in enumerate(seeds):
        alone = PlanarFlow(2, 6, generator=generator(seed)).double()
        assert torch.equal(alone.w, batch.w[run])
        torch.testing.assert_close(alone(z[run]), (x[run], log_det[run]))
        torch.testing.assert_close(batch.inverse(x)[run], z[run])
        torch.testing.assert_close(batch.log_prob(x)[run], alone.log_prob(x[run]))
        torch.testing.assert_close(found[run], alone.sample(5, generator(seed)))


@pytest.mark.parametrize("layers", [1, 8, 128])
def test_a_flow_starts_near_the_identity(layers):
    made = PlanarFlow(2, layers, generator=generator(1))
    z = points(200).float()
    x, log_det = made(z)
    assert (x - z).square().mean() < 1
    assert log_det.mean().abs() < 0.5
    assert sum(p.numel() for p in made.parameters()) == 5 * layers


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="layers is 0, expected at least 1"):
        PlanarFlow(2, 0)
    with pytest.raises(ValueError, match="generator does not fit the runs, expected a sequence of"):
        PlanarFlow(2, 1, runs=2, generator=[generator()])
    with pytest.raises(ValueError, match="generator does not fit the runs, expected a single one"):
        PlanarFlow(2, 1).sample(3, [generator()])


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_direction_is_refused():
    with pytest.raises(ValueError, match="towards is 'up', expected 'data' or 'base'"):
        PlanarFlow(2, 1, towards="up")  # type: ignore[arg-type]
