"""The tutorial's sections on the change of variables and on normalizing flows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from neural_ode import solve
from odeclaims.claims.equations.calculus import (
    LAST,
    MIDDLE,
    NODES,
    OFFSETS,
    Generator,
    gradient_at,
    integrate,
    jacobian_at,
    jacobian_of,
    join,
    limit_of,
    randn,
    slope_at,
    slope_of,
    trace_of,
)
from odeclaims.claims.equations.evaluation import Evaluation, as_printed
from odeclaims.claims.equations.random_ode import DIM, Field, RandomOde, flow


@dataclass(frozen=True)
class CarriedDensity:
    """A normal density at time 0 that the flow of a field carries along."""

    field: Field
    start: MultivariateNormal

    def log(self, z: Tensor, t: Tensor) -> Tensor:
        """log p(z, t) for a batch, through the flow back to 0 and its Jacobian's determinant."""
        z = z.detach().requires_grad_()
        origin = flow(self.field, z, t, torch.zeros_like(t))
        determinant = torch.linalg.slogdet(jacobian_of(origin, z)).logabsdet
        return self.start.log_prob(origin) + determinant

    def partial(self, z: Tensor, t: Tensor) -> Tensor:
        """Its derivative in time at a fixed z."""
        return slope_at(lambda times: self.log(z.expand(len(times), DIM), times), t)

    def total(self, z0: Tensor, t: Tensor) -> Tensor:
        """Its derivative in time along the trajectory from ``z0``."""

        def along(times: Tensor) -> Tensor:
            z = flow(self.field, z0.expand(len(times), DIM), torch.zeros_like(times), times)
            return self.log(z, times)

        return slope_at(along, t)


def random_normal(generator: Generator) -> MultivariateNormal:
    """A normal density with a random mean and covariance."""
    factor = randn(generator, DIM, DIM).tril(-1) / 2 + torch.eye(DIM, dtype=torch.float64)
    return MultivariateNormal(randn(generator, DIM), scale_tril=factor)


def change(generator: Generator) -> Iterator[Evaluation]:
    """Densities under maps and along a random flow, and the proof of the instantaneous formula."""
    by_inverse, by_forward, true = _transform_densities(generator)
    yield as_printed("density_change", true.exp(), by_inverse.exp(), by_forward.exp())
    yield as_printed("log_density_change", true, by_forward)
    ode = RandomOde(generator)
    density = CarriedDensity(ode.fixed, random_normal(generator))
    t = MIDDLE
    z = ode.states(t)
    partial, total = density.partial(z, t), density.total(ode.z0, t)
    rate = -trace_of(ode.f_z(z, t))
    yield Evaluation("instantaneous", [[partial, rate]], [total, rate])
    yield from _expansions(ode, z, t)
    yield _boxed(generator, ode, z, t)
    yield from _instantaneous_proof(ode, z, t, density.log(z, t), (partial, total))


def _transform_densities(generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Log densities after an affine map of a normal one, and after sinh of a standard one.

    By the Jacobian of the inverse, by that of the map, and without any: a normal density stays one
    under an affine map, and in one dimension the density is the slope of the distribution.
    """
    A, b, z0 = randn(generator, DIM, DIM), randn(generator, DIM), randn(generator, 1, DIM)
    before = random_normal(generator)

    def f(z: Tensor) -> Tensor:
        return z @ A.mT + b

    def f_inverse(z: Tensor) -> Tensor:
        return torch.linalg.solve(A, (z - b).mT).mT

    after = MultivariateNormal(f(before.loc), A @ before.covariance_matrix @ A.mT)
    z1 = f(z0)
    inverse = before.log_prob(z0) + torch.linalg.det(jacobian_at(f_inverse, z1)).abs().log()
    forward = before.log_prob(z0) - torch.linalg.det(jacobian_at(f, z0)).abs().log()

    x0 = randn(generator, 1)
    x1, standard = torch.sinh(x0), Normal(torch.zeros(1).double(), torch.ones(1).double())
    slope = slope_at(lambda x: standard.cdf(torch.asinh(x)), x1)
    inverse_1d = standard.log_prob(x0) + gradient_at(torch.asinh, x1).abs().log()
    forward_1d = standard.log_prob(x0) - gradient_at(torch.sinh, x0).abs().log()
    return (
        join(inverse, inverse_1d),
        join(forward, forward_1d),
        join(after.log_prob(z1), slope.log()),
    )


def _short_flow(
    ode: RandomOde, z: Tensor, t: Tensor, *, inverse: bool = False
) -> tuple[Float[Tensor, "six dim"], Float[Tensor, "six dim dim"]]:
    """T of the proof and its Jacobian at z, or those of its inverse, for the six small epsilons."""
    z = z.expand(len(OFFSETS), DIM).clone().requires_grad_()
    near, far = t.expand(len(OFFSETS)), t + OFFSETS
    end = flow(ode.fixed, z, far, near) if inverse else flow(ode.fixed, z, near, far)
    return end.detach(), jacobian_of(end, z)


def _expansions(ode: RandomOde, z: Tensor, t: Tensor) -> Iterator[Evaluation]:
    T, T_z = _short_flow(ode, z, t)
    sides = ode.fixed(z, t), slope_at(ode.states, t)
    expanded = join(limit_of(T), slope_of(T))
    yield as_printed("expansion", expanded, *(join(z, side) for side in sides))
    f_z, eye = ode.f_z(z, t), torch.eye(DIM, dtype=torch.float64)
    value, slope = limit_of(T_z), slope_of(T_z)
    yield as_printed("jacobian_expansion", join(value, slope), join(eye, f_z))
    determinant = limit_of(torch.linalg.det(T_z))
    yield as_printed("limits", join(value, determinant), join(eye, eye[0, 0]))
    yield as_printed("mixed_limit", slope, f_z)


def _boxed(generator: Generator, ode: RandomOde, z: Tensor, t: Tensor) -> Evaluation:
    """Both limits, and Jacobi's formula for a random matrix that depends on time."""
    _, T_z = _short_flow(ode, z, t)
    parts = randn(generator, 3, DIM, DIM)

    def A(t: Tensor) -> Tensor:  # noqa: N802 (the tutorial's name)
        t = t[:, None, None]
        return parts[0] + torch.sin(t) * parts[1] + t**2 * parts[2]

    rate = torch.cos(t) * parts[1] + 2 * t * parts[2]
    jacobi = torch.linalg.det(A(t)) * trace_of(torch.linalg.inv(A(t)) @ rate)
    slope = slope_at(lambda t: torch.linalg.det(A(t)), t)
    left = join(limit_of(torch.linalg.det(T_z)), slope_of(T_z), slope)
    return as_printed("boxed", left, join(torch.ones_like(jacobi), ode.f_z(z, t), jacobi))


def _instantaneous_proof(
    ode: RandomOde, z: Tensor, t: Tensor, log_p: Tensor, rates: tuple[Tensor, Tensor]
) -> Iterator[Evaluation]:
    """The four lines of the proof, each against the one before.

    ``rates`` are the derivatives of log p in time at a fixed z and along the trajectory.
    """
    _, T_z = _short_flow(ode, z, t)
    _, T_inverse_z = _short_flow(ode, z, t, inverse=True)
    determinant = torch.linalg.det(T_z)
    size, log_size = determinant.abs(), determinant.abs().log()

    quotient = limit_of((log_p - log_size - log_p) / OFFSETS)[None]
    partial, total = rates
    yield Evaluation("proof_start", [[partial, quotient]], [total, quotient])
    log_slope, slope = -slope_of(log_size), -slope_of(size)
    yield as_printed("proof_hopital", quotient, log_slope)
    yield as_printed("proof_chain", log_slope, slope / limit_of(determinant), slope)
    trace = -trace_of(ode.f_z(z, t))

    def line(inverse: Tensor) -> Tensor:
        return -limit_of(size) * trace_of(limit_of(inverse) @ slope_of(T_z))

    corrected = [slope, line(torch.linalg.inv(T_z)), trace]
    yield Evaluation("proof_jacobi", [[slope, line(T_inverse_z), trace]], corrected)


def flows(generator: Generator) -> Iterator[Evaluation]:
    """Densities under maps, under four planar layers, and along a continuous planar flow."""
    by_inverse, by_forward, true = _transform_densities(generator)
    yield as_printed("flow_density", true.exp(), by_inverse.exp(), by_forward.exp())
    base, z0 = random_normal(generator), randn(generator, 1, DIM)
    layers = [PlanarLayer(generator) for _ in range(4)]
    yield from _composed(layers, base, z0)
    yield from _planar(layers[0], base, z0)
    yield from _planar_cnf(layers[0], base, z0)


class PlanarLayer:
    """A planar layer ``z + u tanh(w^T z + b)``, invertible since ``|w^T u| < 1``."""

    def __init__(self, generator: Generator) -> None:
        u, self.w = randn(generator, 2, DIM)
        self.b = randn(generator, 1)[0]
        self.u = 0.9 * u / max(1.0, float((self.w @ u).abs()))

    def h(self, z: Tensor) -> Tensor:
        """The activation, a number for each state."""
        return torch.tanh(z @ self.w + self.b)

    def rate(self, z: Tensor, t: Tensor) -> Tensor:
        """The field of the continuous flow."""
        return self.u * self.h(z)[..., None]

    def __call__(self, z: Tensor) -> Tensor:
        """The layer."""
        return z + self.u * self.h(z)[..., None]


def _composed(
    layers: list[PlanarLayer], base: MultivariateNormal, z0: Tensor
) -> Iterator[Evaluation]:
    states = [z0]
    for layer in layers:
        states.append(layer(states[-1]))
    f1, f2, f3, f4 = layers

    def composed(z: Tensor) -> Tensor:
        return f4(f3(f2(f1(z))))

    yield as_printed("flow_composition", states[-1], composed(z0))
    start = base.log_prob(z0)
    true = start - torch.linalg.slogdet(jacobian_at(composed, z0)).logabsdet

    def summed(points: Iterable[Tensor], bars_inside: bool) -> Tensor:
        jacobians = [jacobian_at(f, z) for f, z in zip(layers, points, strict=True)]
        jacobians = [J.abs() if bars_inside else J for J in jacobians]
        return start - sum(torch.linalg.slogdet(J).logabsdet for J in jacobians)

    before, after = states[:-1], states[1:]
    options = ((after, True), (after, False), (before, True))
    readings = [[true, summed(points, bars_inside)] for points, bars_inside in options]
    yield Evaluation("flow_sum", readings, [true, summed(before, False)])


def _planar(layer: PlanarLayer, base: MultivariateNormal, z: Tensor) -> Iterator[Evaluation]:
    """One planar layer; as a map it is a step of size 1 of the continuous flow."""
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    step = solve(lambda t, z: layer.rate(z, t), z, times, method="euler").ys[-1]
    yield as_printed("planar_layer", step, z + layer.u * layer.h(z)[:, None])
    h_z = gradient_at(layer.h, z)
    determinant = torch.linalg.det(jacobian_at(layer, z)).abs()
    eye, short = torch.eye(DIM, dtype=torch.float64), (1 + h_z @ layer.u).abs()
    product = torch.linalg.det(eye + torch.outer(layer.u, h_z[0])).abs()[None]
    yield as_printed("planar_determinant", determinant, product, short)
    log_p = base.log_prob(z)
    yield as_printed("planar_density", log_p - determinant.log(), log_p - short.log())


def _planar_cnf(layer: PlanarLayer, base: MultivariateNormal, z0: Tensor) -> Iterator[Evaluation]:
    def states(times: Tensor) -> Tensor:
        return flow(layer.rate, z0.expand(len(times), DIM), torch.zeros_like(times), times)

    t = MIDDLE
    z, path = states(t), states(NODES)
    yield as_printed("planar_cnf", slope_at(states, NODES), layer.u * layer.h(path)[:, None])

    density = CarriedDensity(layer.rate, base)
    trace = -trace_of(jacobian_at(lambda z: layer.rate(z, t), z))
    short = -gradient_at(layer.h, z) @ layer.u
    partial, total = density.partial(z, t), density.total(z0, t)
    yield Evaluation("planar_cnf_rate", [[partial, trace, short]], [total, trace, short])

    start, true = base.log_prob(z0), density.log(states(LAST), LAST)
    # h is a number and its gradient has no trace: the sum of the entries, or the slope h' itself.
    h_z = gradient_at(layer.h, path)
    slope = h_z @ layer.w / (layer.w @ layer.w)
    readings = [[true, start - integrate(x)] for x in (h_z.sum(-1), slope)]
    yield Evaluation("planar_cnf_integral", readings, [true, start - integrate(h_z @ layer.u)])
