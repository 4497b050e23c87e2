"""The planar flow: its Jacobian, its inverse, its two directions, runs, and bad input."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal

from neural_ode.flows import PlanarFlow, StandardNormal


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


def test_derivatives_of_the_inverse_can_be_differentiated_again():
    made, x = flow(layers=3), points(3).requires_grad_(True)
    parameters = list(made.parameters())
    assert torch.autograd.gradgradcheck(lambda x, *_: made.inverse(x), (x, *parameters))


def test_the_inverse_under_the_transforms_of_torch_func():
    made, x = flow(layers=3), points(4)

    def size(x):
        return made.inverse(x).square().sum()

    by_autograd = torch.autograd.functional.hessian(size, x)
    torch.testing.assert_close(torch.func.hessian(size)(x), by_autograd)
    nested = torch.func.jacfwd(torch.func.jacfwd(size))(x)
    torch.testing.assert_close(nested, by_autograd)
    third = [torch.func.jacfwd(torch.func.hessian(size))(x[:1])]
    third += [torch.func.jacrev(torch.func.jacrev(torch.func.jacrev(size)))(x[:1])]
    third += [torch.autograd.functional.jacobian(lambda y: hessian_of(size, y), x[:1])]
    torch.testing.assert_close(third[0], third[2])
    torch.testing.assert_close(third[1], third[2])
    torch.testing.assert_close(torch.func.vmap(made.inverse)(x[:, None])[:, 0], made.inverse(x))
    forward, back = torch.func.jacfwd(made.inverse)(x), torch.func.jacrev(made.inverse)(x)
    torch.testing.assert_close(forward, back)


def test_a_batch_of_flows_is_inverted_at_once():
    """The parameters may be what differs within the batch."""
    made, x = flow(layers=3), points(4)
    scales = torch.tensor([0.5, 1.0, 1.5], dtype=x.dtype)

    def inverse(scale):
        values = {name: scale * p for name, p in made.named_parameters()}
        return torch.func.functional_call(_Inverse(made), prefixed(values), (x,))

    each = torch.stack([inverse(scale) for scale in scales])
    torch.testing.assert_close(torch.func.vmap(inverse)(scales), each)


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


@pytest.mark.slow(reason="a flow is inverted on a fine grid")
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


@pytest.mark.slow(reason="a flow is inverted on a fine grid")
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


def still_flow(still: int = 0, **settings) -> PlanarFlow:
    """One whose layer ``still`` has w = 0."""
    made = flow(layers=3, **settings)
    with torch.no_grad():
        made.w[..., still, :] = 0
    return made


@pytest.mark.parametrize("dim", [1, 3])
def test_a_layer_without_a_direction_is_a_translation(dim):
    """With w = 0 the formula of u_hat divides zero by zero; the layer itself is plain."""
    made, z = flow(dim, 1), points(5, dim)
    with torch.no_grad():
        made.w.zero_()
    x, log_det = made(z)
    torch.testing.assert_close(x, z + made.u[0] * torch.tanh(made.b[0]))
    assert torch.equal(log_det, torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(made.inverse(x), z)
    torch.testing.assert_close(made.log_prob(x), made.base.log_prob(z))


@pytest.mark.parametrize("towards", ["data", "base"])
def test_the_determinant_beside_a_layer_without_a_direction_is_that_of_the_jacobian(towards):
    made, z = still_flow(towards=towards), points(10)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda p: made(p[None])[0][0]))(z)
    torch.testing.assert_close(made(z)[1], torch.linalg.slogdet(jacobians)[1])
    x, log_prob = made.sample_with_log_prob(10, generator())
    torch.testing.assert_close(made.log_prob(x), log_prob)


def test_the_gradient_beside_a_layer_without_a_direction_is_that_of_finite_differences():
    """By the points, u and b, and by the w of the other layers; the still one stays at zero."""
    made, x = still_flow(1), points(3).requires_grad_(True)
    moving = torch.tensor([[1.0], [0.0], [1.0]], dtype=torch.float64)
    inputs = (x, *(p.detach().clone().requires_grad_(True) for p in (made.u, made.w, made.b)))

    def outputs(x, u, w, b):
        parameters = {"u": u, "w": w * moving, "b": b}
        return torch.func.functional_call(_Outputs(made), prefixed(parameters), (x,))

    assert torch.autograd.gradcheck(outputs, inputs)


def test_the_gradient_by_a_vanishing_direction_is_that_of_the_plain_layer():
    """It is that of z + u tanh(w.z + b), since at w = 0 nothing holds u_hat away from u."""
    made, z = flow(layers=1), points(4)
    with torch.no_grad():
        made.w.zero_()
    x, log_det = made(z)
    found = torch.autograd.grad((x.square().sum(), log_det.sum()), made.w)[0]
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    inner = z @ w + made.b[0]
    plain = z + torch.tanh(inner)[:, None] * made.u[0]
    slope = torch.log1p((w @ made.u[0]) * (1 - torch.tanh(inner).square()))
    expected = torch.autograd.grad(plain.square().sum() + slope.sum(), w)[0]
    torch.testing.assert_close(found[0], expected)


def test_a_small_direction_has_the_gradient_of_finite_differences():
    """There is no limit at w = 0, but as near as this the formula holds, and so does autograd."""
    made, x = flow(layers=1), points(3)
    with torch.no_grad():
        made.w.mul_(1e-2)
    values = [p.detach().clone().requires_grad_(True) for p in (made.u, made.w, made.b)]

    def outputs(*values):
        parameters = dict(zip("uwb", values, strict=True))
        return torch.func.functional_call(_Outputs(made), prefixed(parameters), (x,))

    assert torch.autograd.gradcheck(outputs, values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_direction_gives_what_is_not_a_number(dtype):
    """Zero, far below the root of the smallest number, and just above it."""
    root = torch.finfo(dtype).smallest_normal ** 0.5
    for size in (0.0, root * 1e-8, root * 1e-2, root * 8):
        made = PlanarFlow(2, 2, runs=2, generator=[generator(), generator(1)]).to(dtype)
        with torch.no_grad():
            made.w[:, 0] = size
            made.b[:, 0] = 0
        x, log_det = made(points(6).to(dtype).reshape(2, 3, 2))
        assert x.isfinite().all()
        assert log_det.isfinite().all()


def hessian_of(function, x):
    return torch.autograd.functional.hessian(function, x, create_graph=True)


class _Outputs(torch.nn.Module):
    """What a flow gives and its inverse, with the parameters as arguments."""

    def __init__(self, made: PlanarFlow) -> None:
        super().__init__()
        self.made = made

    def forward(self, x):
        return *self.made(x), self.made.inverse(x)


class _Inverse(torch.nn.Module):
    """The inverse alone."""

    def __init__(self, made: PlanarFlow) -> None:
        super().__init__()
        self.made = made

    def forward(self, x):
        return self.made.inverse(x)


def prefixed(parameters: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"made.{name}": value for name, value in parameters.items()}


@pytest.mark.parametrize("runs", [None, 2])
def test_the_base_may_be_one_of_torch_and_needs_no_generator(runs):
    base = Independent(Normal(torch.zeros(2), 2 * torch.ones(2)), 1)
    sources = None if runs is None else [generator(seed) for seed in range(runs)]
    made = PlanarFlow(2, 3, base=base, runs=runs, generator=sources).double()
    own = PlanarFlow(2, 3, base=StandardNormal(2, 2.0), runs=runs).double()
    own.load_state_dict(made.state_dict())
    x = made.sample(4)
    assert not torch.equal(x, made.sample(4))
    torch.testing.assert_close(made.log_prob(x), own.log_prob(x), rtol=1e-6, atol=1e-6)


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
