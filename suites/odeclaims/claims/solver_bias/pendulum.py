"""The pendulum p' = -10 sin q, q' = p of Zhu et al. 2022, and what a solver makes of it.

A state is (p, q): angular velocity in radians per time, angle in radians. A field learnt through
one step of size h is to be that of the *inverse modified equation*: the field whose computed step
is the true flow.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from neural_ode import solve
from neural_ode.methods import METHODS

States = Float64[Tensor, "points 2"]

GRAVITY = 10.0
# The published domain: |p| and |q| are at most so large.
BOX = (3.8, 1.2)
# Orbits below this energy, zero at rest, stay within the box.
LEAVES = GRAVITY * (1 - torch.cos(torch.tensor(BOX[1], dtype=torch.float64)).item())
FLOW = {"method": "dopri8", "rtol": 1e-12, "atol": 1e-12}


def draw(count: int, generator: torch.Generator) -> States:
    """States uniform on the published domain."""
    half = torch.tensor(BOX, dtype=torch.float64)
    return (2 * torch.rand(count, 2, dtype=torch.float64, generator=generator) - 1) * half


def field(y: States) -> States:
    """The true derivative."""
    p, q = y.unbind(dim=1)
    return torch.stack([-GRAVITY * q.sin(), p], dim=1)


def flow(y: States, time: float) -> States:
    """The states after ``time``, with errors near rounding."""
    ts = torch.tensor([0.0, time], dtype=torch.float64)
    return solve(lambda t, each: field(each), y, ts, **FLOW).ys[-1]


def energy(y: States) -> Float64[Tensor, " points"]:
    """What the flow keeps, zero at rest, in squared radians per squared time."""
    p, q = y.unbind(dim=1)
    return p.square() / 2 + GRAVITY * (1 - q.cos())


def power(y: States, derivative: States) -> Float64[Tensor, " points"]:
    """The rate at which a field changes the energy; that of the true field is zero."""
    p, q = y.unbind(dim=1)
    return (torch.stack([p, GRAVITY * q.sin()], dim=1) * derivative).sum(dim=1)


def increment(method: str, field: Callable[[Tensor], Tensor], y: Tensor, step: float) -> Tensor:
    """What one step of an explicit method adds to ``y``, without what a solve is checked for."""
    tableau = METHODS[method]
    slopes: list[Tensor] = []
    for weights in tableau.a:
        inner = [step * float(w) * k for w, k in zip(weights, slopes, strict=False) if w]
        slopes.append(field(sum(inner, y)))
    outer = [step * float(w) * k for w, k in zip(tableau.b, slopes, strict=True) if w]
    return sum(outer[1:], outer[0])


def leading(method: str, y: States, step: float) -> States:
    """The leading term of what is learnt less the true field: what a true step is short of."""
    return (flow(y, step) - y - increment(method, field, y, step)) / step


def learnable_by_euler(y: States, step: float) -> States:
    """The field whose step by Euler's method is the flow; exact."""
    return (flow(y, step) - y) / step


def learnable_by_midpoint(y: States, step: float) -> States:
    """The field whose step by the explicit midpoint method is the flow, up to O(step^4).

    f + h^2 (f''(f,f)/24 + f'f'f/6) - h^3 f'(f''(f,f)/16 + f'f'f/8), by comparing the Taylor series
    of its step with that of the flow, for each rooted tree of up to four nodes.
    """
    q, f = y[:, 1], field(y)

    def first(v: States) -> States:
        """f' v."""
        return torch.stack([-GRAVITY * q.cos() * v[:, 1], v[:, 0]], dim=1)

    bent = torch.stack([GRAVITY * q.sin() * f[:, 1].square(), torch.zeros_like(q)], dim=1)
    turned = first(first(f))
    square, cube = bent / 24 + turned / 6, first(bent / 16 + turned / 8)
    return f + step**2 * square - step**3 * cube


# The inverse modified equations that are written out.
LEARNABLE = {"euler": learnable_by_euler, "midpoint": learnable_by_midpoint}


def distance(one: States, other: States) -> float:
    """The published error of a field: the mean over the points of the largest component's."""
    return float((one - other).abs().amax(dim=1).mean())
