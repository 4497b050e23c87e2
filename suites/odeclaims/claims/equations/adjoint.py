"""The tutorial's sections on the adjoint method, on its proof, and on the algorithm."""

from collections.abc import Iterator

import torch
from torch import Tensor

from neural_ode import solve
from odeclaims.claims.equations.calculus import (
    END,
    LAST,
    NODES,
    ZERO,
    Generator,
    gradient_at,
    integrate,
    limit_at,
    randn,
    slope_at,
)
from odeclaims.claims.equations.evaluation import Evaluation, as_printed
from odeclaims.claims.equations.random_ode import DIM, RandomOde, flow


def adjoint(generator: Generator) -> Iterator[Evaluation]:
    """Four residual blocks beside Euler's method, then a random Neural ODE and its adjoint."""
    layers = randn(generator, 4, DIM, DIM)
    x = [randn(generator, DIM)]
    for layer in layers:
        x.append(x[-1] + torch.tanh(layer @ x[-1]))
    euler = solve(
        lambda t, h: torch.tanh(layers[int(t)] @ h),
        x[0],
        torch.arange(5, dtype=torch.float64),
        method="euler",
    ).ys
    yield as_printed("resnet_vs_euler", torch.stack(x), euler)

    ode = RandomOde(generator)
    z, z_end = ode.states(NODES), ode.states(LAST)[0]
    f = ode.fixed(z, NODES)
    yield as_printed("neural_ode", slope_at(ode.states, NODES), f)
    integral = ode.z0 + integrate(f)
    yield as_printed("loss", *(ode.loss(s) for s in (z_end, integral, ode.scipy_end())))

    a, a_end = ode.adjoints(NODES), gradient_at(ode.loss, z_end)
    printed = ode.backward(lambda a, z, t: -ode.f_z(z, t) @ a, a_end)
    corrected = ode.backward(lambda a, z, t: -ode.f_z(z, t).mT @ a, a_end)
    yield Evaluation("adjoint_ode", [[a, printed]], [a, corrected])
    yield as_printed("adjoint_end", limit_at(ode.adjoints, LAST)[0], a_end)
    integral = integrate((a[:, None] @ ode.f_theta(z))[:, 0])
    yield as_printed("parameter_gradient", ode.gradient(), integral)


def proof(generator: Generator) -> Iterator[Evaluation]:
    """Each line of the proof for a random Neural ODE, against gradients by autograd."""
    ode = RandomOde(generator)
    z, z_end, true = ode.states(NODES), ode.states(LAST)[0], ode.gradient()
    running = ode.running(z, NODES, ode.theta)
    yield as_printed("loss_as_integral", ode.loss(z_end), integrate(running) + ode.loss(ode.z0))
    yield as_printed("running_loss", slope_at(lambda t: ode.loss(ode.states(t)), NODES), running)
    yield from _lagrangian(generator, ode, z, true)
    yield from _multiplier(ode, z, true)


def _lagrangian(
    generator: Generator, ode: RandomOde, z: Tensor, true: Tensor
) -> Iterator[Evaluation]:
    """These lines hold for any multiplier, so it is a random smooth function of time here."""
    centre, swing, phase = randn(generator, 3, 1, DIM)
    # Rows, so that products are those of the text.
    free = centre + swing * torch.sin(NODES[:, None, None] + phase)
    free_rate = swing * torch.cos(NODES[:, None, None] + phase)
    free_end = centre + swing * torch.sin(END + phase)

    running, f = ode.running(z, NODES, ode.theta), ode.fixed(z, NODES)
    constraint = (free[:, 0] * (slope_at(ode.states, NODES) - f)).sum(-1)
    gain = ode.loss(ode.states(LAST)[0]) - ode.loss(ode.z0)
    yield as_printed("lagrangian", integrate(running) + integrate(constraint), gain)

    f_z, f_theta = ode.f_z(z, NODES), ode.f_theta(z)
    l_z, l_theta = _running_rows(ode, z)
    z_theta, z_theta_end = ode.sensitivities(NODES), ode.sensitivities(LAST)[0]
    z_theta_rate = slope_at(ode.sensitivities, NODES)
    first = l_z @ z_theta + l_theta
    second = free @ z_theta_rate - free @ f_z @ z_theta - free @ f_theta
    yield as_printed("lagrangian_gradient", true, (integrate(first) + integrate(second))[0])

    # The start does not depend on theta, so nothing is left of the boundary term there.
    boundary = (free_end @ z_theta_end)[0]
    right = boundary - integrate(free_rate @ z_theta)[0]
    printed, corrected = integrate(free @ z_theta)[0], integrate(free @ z_theta_rate)[0]
    yield Evaluation("by_parts", [[printed, right]], [corrected, right])

    bracket = (l_z - free_rate - free @ f_z) @ z_theta
    collected = integrate(l_theta + bracket - free @ f_theta)[0] + boundary
    printed = integrate(l_theta)[0] + boundary
    yield Evaluation("collected", [[true, printed]], [true, collected])


def _running_rows(ode: RandomOde, z: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of l in z and in theta at the nodes, as rows, by autograd."""
    theta = ode.theta.repeat(len(z), 1)
    l_z = gradient_at(lambda z: ode.running(z, NODES, theta), z)
    l_theta = gradient_at(lambda theta: ode.running(z, NODES, theta), theta)
    return l_z[:, None], l_theta[:, None]


def _multiplier(ode: RandomOde, z: Tensor, true: Tensor) -> Iterator[Evaluation]:
    """The lines after the multiplier has been chosen."""

    def rate(x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        return ode.running_z(z, t) - x @ ode.f_z(z, t)

    multiplier = ode.backward(rate, torch.zeros(DIM, dtype=torch.float64))
    (_, l_theta), f_theta = _running_rows(ode, z), ode.f_theta(z)
    yield as_printed("multiplier", true, integrate(l_theta - multiplier[:, None] @ f_theta)[0])
    difference = gradient_at(ode.loss, z) - multiplier
    yield as_printed("simplified_gradient", true, integrate(difference[:, None] @ f_theta)[0])
    yield as_printed("conclusion", ode.adjoints(NODES), difference)


def algorithm(generator: Generator) -> Iterator[Evaluation]:
    """The passes of the algorithm for a random Neural ODE, and the backward one by hand."""
    ode = RandomOde(generator)
    z = ode.states(NODES)
    yield as_printed("forward_pass", ode.scipy_end(), ode.z0 + integrate(ode.fixed(z, NODES)))
    a = ode.adjoints(NODES)
    yield _backward_pass(ode, z, a)
    yield _backward_example()
    integral = integrate((a[:, None] @ ode.f_theta(z))[:, 0])
    yield as_printed("algorithm_gradient", ode.gradient(), integral)


def _backward_pass(ode: RandomOde, z: Tensor, a: Tensor) -> Evaluation:
    """The printed integral with the true a(t), and with the a(t) that it defines by itself."""
    true = ode.adjoints(ZERO)[0]
    a_end, f_z = gradient_at(ode.loss, ode.states(LAST)[0]), ode.f_z(z, NODES)

    def from_end(a: Tensor) -> Tensor:
        """The integral from END to 0."""
        return -integrate((a[:, None] @ f_z)[:, 0])

    printed = ode.backward(lambda a, z, t: a @ ode.f_z(z, t), a_end)
    readings = [[true, a_end + from_end(x)] for x in (a, printed)]
    return Evaluation("backward_pass", readings, [true, a_end - from_end(a)])


def _backward_example() -> Evaluation:
    """f = theta z and L = z(T) with theta T = 1: dL/dz(0) is e."""
    theta = 1 / END

    def adjoints(times: Tensor) -> Tensor:
        z, ends = torch.ones(len(times), 1, dtype=torch.float64), torch.full_like(times, END)
        return gradient_at(lambda z: flow(lambda z, t: theta * z, z, times, ends), z)

    from_end = -integrate(adjoints(NODES) * theta)
    true = adjoints(ZERO)[0]
    return Evaluation("backward_example", [[true, 1 + from_end]], [true, 1 - from_end])
