"""A random Neural ODE with a loss, and what autograd through the solver says about it."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from neural_ode import solve
from odeclaims.claims.equations.calculus import (
    END,
    LAST,
    NODES,
    Generator,
    gradient_at,
    jacobian_at,
    randn,
)

Field = Callable[[Tensor, Tensor], Tensor]

# For what an equation is held against: the settings of a solve that is accurate to about 1e-12.
TIGHT = {"method": "dopri8", "rtol": 1e-12, "atol": 1e-12}
# Dimensions of a state, hidden units and parameters of the field.
DIM, WIDTH = 3, 4
SIZE = WIDTH * (2 * DIM + 2)


def flow(field: Field, z: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Where the flow of ``field(z, t)`` takes each state of a batch between its start and end."""
    span = end - start

    def scaled(s: Tensor, y: Tensor) -> Tensor:
        return span[:, None] * field(y, start + s * span)

    return solve(scaled, z, torch.tensor([0.0, 1.0], dtype=torch.float64), **TIGHT).ys[-1]


class RandomOde:
    """A random field ``f(z, t, theta)`` with a start and a loss, and what autograd finds for them.

    A state has shape [DIM] or [batch, DIM]; so have times and parameters.
    """

    def __init__(self, generator: Generator) -> None:
        # Smooth enough for few steps at a tight tolerance, and far from linear all the same.
        self.theta = 0.6 * randn(generator, SIZE)
        self.z0 = randn(generator, DIM)
        self.target = randn(generator, DIM)

    def f(self, z: Tensor, t: Tensor, theta: Tensor) -> Tensor:
        """The field; its Jacobian is not symmetric."""
        _, hidden, outer = self._layers(z, t, theta)
        return (outer @ hidden[..., None])[..., 0]

    def _layers(self, z: Tensor, t: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inner, shift, bias, outer = theta.split([WIDTH * DIM, WIDTH, WIDTH, WIDTH * DIM], dim=-1)
        inner = inner.unflatten(-1, (WIDTH, DIM))
        hidden = torch.tanh((inner @ z[..., None])[..., 0] + shift * t[..., None] + bias)
        return inner, hidden, outer.unflatten(-1, (DIM, WIDTH))

    def f_z(self, z: Tensor, t: Tensor) -> Tensor:
        """df/dz."""
        inner, hidden, outer = self._layers(z, t, self.theta)
        return outer @ ((1 - hidden**2)[..., None] * inner)

    def f_theta(self, z: Tensor) -> Tensor:
        """df/dtheta at the nodes."""
        theta = self.theta.repeat(len(z), 1)
        return jacobian_at(lambda theta: self.f(z, NODES, theta), theta)

    def loss(self, z: Tensor) -> Tensor:
        """A loss that is not quadratic."""
        return ((z - self.target) ** 2 / 2 + z**3 / 6).sum(-1)

    def loss_z(self, z: Tensor) -> Tensor:
        """The gradient of the loss."""
        return z - self.target + z**2 / 2

    def running(self, z: Tensor, t: Tensor, theta: Tensor) -> Tensor:
        """The tutorial's l."""
        return (self.loss_z(z) * self.f(z, t, theta)).sum(-1)

    def running_z(self, z: Tensor, t: Tensor) -> Tensor:
        """The gradient of l, for one state."""
        return (1 + z) * self.fixed(z, t) + self.loss_z(z) @ self.f_z(z, t)

    def fixed(self, z: Tensor, t: Tensor) -> Tensor:
        """The field with the parameters of this problem."""
        return self.f(z, t, self.theta)

    def states(self, times: Tensor, theta: Tensor | None = None) -> Tensor:
        """z at each time, [times, DIM]; with a row of parameters for each time if given."""
        theta = self.theta if theta is None else theta
        start = self.z0.expand(len(times), DIM)
        return flow(lambda z, t: self.f(z, t, theta), start, torch.zeros_like(times), times)

    def sensitivities(self, times: Tensor) -> Tensor:
        """dz/dtheta at each time, [times, DIM, SIZE]."""
        return jacobian_at(
            lambda theta: self.states(times, theta), self.theta.repeat(len(times), 1)
        )

    def adjoints(self, times: Tensor) -> Tensor:
        """dL(z(END))/dz(t) at each time, by backpropagation from the end to that time."""
        ends = torch.full_like(times, END)
        return gradient_at(
            lambda z: self.loss(flow(self.fixed, z, times, ends)), self.states(times)
        )

    def gradient(self) -> Tensor:
        """dL(z(END))/dtheta by backpropagation through the solver."""
        return gradient_at(lambda theta: self.loss(self.states(LAST, theta)), self.theta[None])[0]

    def backward(self, rate: Callable[[Tensor, Tensor, Tensor], Tensor], end: Tensor) -> Tensor:
        """``x`` at the nodes, where ``dx/dt = rate(x, z, t)`` and ``x(END) = end``."""

        def joint(t: Tensor, state: Tensor) -> Tensor:
            z, x = state.chunk(2)
            return torch.cat([self.fixed(z, t), rate(x, z, t)])

        start = torch.cat([self.states(LAST)[0], end])
        ys = solve(joint, start, torch.cat([LAST, NODES.flip(0)]), **TIGHT).ys
        return ys[1:, DIM:].flip(0)

    def scipy_end(self) -> Tensor:
        """z(END) by SciPy's DOP853, which shares no code with this project's solver."""

        def rate(t: float, z: np.ndarray) -> np.ndarray:
            return self.fixed(torch.from_numpy(z), torch.tensor(t, dtype=torch.float64)).numpy()

        options = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12}
        solution = solve_ivp(rate, (0.0, END), self.z0.numpy(), **options)
        return torch.from_numpy(solution.y[:, -1])
