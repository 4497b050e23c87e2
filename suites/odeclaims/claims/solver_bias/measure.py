"""Fit fields through one step of a solver, and hold them against the true field.

Linear fields have four numbers, and their fits end at a solution or not at all. Those of the
pendulum are networks. Each net is trained by itself: L-BFGS remembers the steps of one training.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from neural_ode import solve
from neural_ode.networks.mlp import initialise
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.solver_bias.pendulum import (
    BOX,
    GRAVITY,
    LEARNABLE,
    LEAVES,
    States,
    distance,
    draw,
    energy,
    field,
    flow,
    increment,
    leading,
    power,
)
from odeclaims.claims.solver_bias.settings import FACTORS, HORIZON, RATES, SLUG

METHODS = ("euler", "midpoint", "rk4")
LEARNING_RATE, LAST_LEARNING_RATE = 1e-2, 1e-4
# Pairs of steps and gradients that L-BFGS remembers, and how often a search looks along a line.
REMEMBERED, SEARCH = 100, 25
# Losses are of residuals in these units: torch's L-BFGS forgets a pair whose product is below
# 1e-10, and would stop far from the solution.
NET_UNIT, LINEAR_UNIT = 1e-3, 1e-6
LINEAR_UPDATES = 100


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net, and one for all starts of a linear field; the dearest first."""
    size = {
        "width": profile.pick(smoke=4, quick=32, paper=128),
        "depth": profile.pick(smoke=1, quick=2, hour=2, paper=3),
        "pairs": profile.pick(smoke=20, quick=400, hour=500, paper=10_000),
        "adam_updates": profile.pick(smoke=3, quick=300, paper=300),
        "updates": profile.pick(smoke=5, quick=1500, hour=2000, paper=5000),
    }
    steps = {
        "rk4": profile.pick(smoke=(0.24,), quick=(), paper=(0.12, 0.16, 0.24)),
        "midpoint": profile.pick(
            smoke=(0.06, 0.08), quick=(0.05, 0.08, 0.1), paper=(0.04, 0.05, 0.06, 0.08, 0.1)
        ),
        "euler": profile.pick(
            smoke=(0.04, 0.08),
            quick=(0.02, 0.04, 0.08, 0.16),
            paper=(0.01, 0.02, 0.04, 0.08, 0.16),
        ),
    }
    repetitions = profile.repetitions(smoke=1, quick=8, paper=10)
    for method, sizes in steps.items():
        for repetition in repetitions:
            for step in sizes:
                params = {"problem": "pendulum", "method": method, "step": step, **size}
                yield Cell(SLUG, params, repetition, paired=("method", "step"))
    starts = profile.pick(smoke=2, quick=20, paper=20)
    linear_steps = profile.pick(
        smoke=(1.0,), quick=(0.25, 0.5, 1.0), paper=(0.05, 0.1, 0.25, 0.5, 1.0)
    )
    for method in METHODS:
        for rate_real, rate_imaginary in RATES:
            for step in linear_steps:
                rate = {"rate_real": rate_real, "rate_imaginary": rate_imaginary}
                params = {"problem": "linear", "method": method, "step": step, **rate}
                paired = ("method", "step", *rate)
                yield Cell(SLUG, {**params, "starts": starts}, paired=paired)


def measure(cell: Cell, context: Context) -> list[Row]:
    """Fit what the cell says."""
    if cell.params["problem"] == "linear":
        return _fit_linear(cell)
    return _fit_pendulum(cell, context)


# --- linear fields


def _fit_linear(cell: Cell) -> list[Row]:
    """A row for each start: the eigenvalue of the field that was learnt, and what is left."""
    method, step = cell.params["method"], cell.params["step"]
    target = linear_flow(cell.params["rate_real"], cell.params["rate_imaginary"], step)
    generator = cell.generator()
    rows: list[Row] = []
    for start in range(cell.params["starts"]):
        scaled = torch.randn(2, 2, dtype=torch.float64, generator=generator)
        residual = fit_linear(method, scaled, target)
        learnt = eigenvalue(scaled / step)
        rows.append(
            {
                "kind": "fit",
                "start": start,
                "residual": residual,
                "learnt_real": learnt.real,
                "learnt_imaginary": learnt.imag,
            }
        )
    return rows


def linear_flow(real: float, imaginary: float, time: float) -> Float64[Tensor, "2 2"]:
    """exp(time A) for A = [[real, -imaginary], [imaginary, real]]."""
    growth, angle = torch.tensor([time * real, time * imaginary], dtype=torch.float64)
    rows = [torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])]
    return growth.exp() * torch.stack(rows)


def fit_linear(
    method: str, scaled: Float64[Tensor, "2 2"], target: Float64[Tensor, "2 2"]
) -> float:
    """Fit ``scaled``, in place, so that a step of size 1 along it is ``target``.

    Args:
        method: of the step.
        scaled: where the fit starts and ends: the step size times the matrix of the field.
        target: the matrix that the step is to be.

    Returns:
        The largest entry by which the step misses it.
    """
    unit = torch.eye(2, dtype=torch.float64)

    def missing() -> Tensor:
        return unit + increment(method, lambda y: scaled @ y, unit, 1.0) - target

    scaled.requires_grad_()
    descend([scaled], lambda: (missing() / LINEAR_UNIT).square().mean(), LINEAR_UPDATES)
    scaled.requires_grad_(False)
    return float(missing().abs().max())


def eigenvalue(matrix: Float64[Tensor, "2 2"]) -> complex:
    """The eigenvalue of the eigenvector (1, -i), which all matrices share that turn and stretch.

    Of another matrix it is the one nearest to the Rayleigh quotient there. A negative imaginary
    part turns backwards.
    """
    (a, b), (c, d) = matrix.tolist()
    quotient = complex((a + d) / 2, (c - b) / 2)
    return min(torch.linalg.eigvals(matrix).tolist(), key=lambda each: abs(each - quotient))


def descend(parameters: list[Tensor], loss: Callable[[], Tensor], updates: int) -> None:
    """Minimise ``loss`` by at most ``updates`` of L-BFGS."""
    optimiser = torch.optim.LBFGS(
        parameters,
        max_iter=updates,
        max_eval=SEARCH * updates,
        tolerance_grad=1e-12,
        tolerance_change=0,
        history_size=REMEMBERED,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimiser.step(closure)


# --- the pendulum


class Net(nn.Module):
    """A field of tanh layers that does not see the time, for states in the published domain."""

    def __init__(self, width: int, depth: int, generator: torch.Generator) -> None:
        super().__init__()
        sizes = [2, *[width] * depth]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 2))
        initialise(self, generator)
        self.double()
        # Sizes of the states, and of their derivatives.
        self.inner = torch.tensor(BOX, dtype=torch.float64)
        self.outer = torch.tensor((GRAVITY, BOX[0]), dtype=torch.float64)

    def forward(self, y: States) -> States:
        """The derivative."""
        return self.layers(y / self.inner) * self.outer


def _fit_pendulum(cell: Cell, context: Context) -> list[Row]:
    """A row for the field that was learnt, and one for each step size that it is solved in."""
    params, generator = cell.params, cell.generator()
    method, step = params["method"], params["step"]
    net = Net(params["width"], params["depth"], generator)
    x, test = draw(params["pairs"], generator), draw(2 * params["pairs"], generator)
    y = flow(x, step)
    slopes = (y - x) / step

    def residuals() -> States:
        return increment(method, net, x, step) / step - slopes

    def loss() -> Tensor:
        value = (residuals() / NET_UNIT).square().mean()
        context.tell(f"mean squared residual {float(value.detach()) * NET_UNIT**2:.1e}")
        return value

    adam(list(net.parameters()), loss, params["adam_updates"])
    descend(list(net.parameters()), loss, params["updates"])
    with torch.no_grad():
        found: Row = {
            "kind": "field",
            "residual": float(residuals().square().mean().sqrt()),
            "energy_drift": float((energy(y) - energy(x)).abs().max()),
            **_compare(method, net, test, step),
        }
        return [found, *_solve_in_steps(method, net, test[energy(test) < LEAVES], step)]


def adam(parameters: list[Tensor], loss: Callable[[], Tensor], updates: int) -> None:
    """Minimise ``loss`` by updates of Adam, with a learning rate that falls exponentially."""
    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    fall = (LAST_LEARNING_RATE / LEARNING_RATE) ** (1 / updates)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, fall)
    for _ in range(updates):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        schedule.step()


def _compare(method: str, net: Net, y: States, step: float) -> Row:
    """How far the learnt field is from the true one, and from what a step lets it be."""
    learnt = net(y)
    written = LEARNABLE.get(method)
    return {
        "leading": distance(leading(method, y, step), torch.zeros_like(y)),
        "error_true": distance(learnt, field(y)),
        "error_predicted": distance(learnt, written(y, step)) if written else None,
        "power": float(power(y, learnt).mean()),
    }


def _solve_in_steps(method: str, net: Net, y: States, step: float) -> list[Row]:
    """The convergence test: errors at one time, of the learnt and of the true field."""
    horizon = HORIZON * step
    end = flow(y, horizon)
    ts = torch.tensor([0.0, horizon], dtype=torch.float64)

    def error(derivative: Callable[[States], States], factor: float) -> float:
        solver = {"method": method, "step_size": factor * step}
        return distance(solve(lambda t, each: derivative(each), y, ts, **solver).ys[-1], end)

    def look(factor: float) -> Row:
        errors = {"solve_error": error(net, factor), "solve_error_true": error(field, factor)}
        return {"kind": "solve", "factor": factor, **errors}

    return [
        {"kind": "solve", "factor": each, **guarded(lambda f=each: look(f))} for each in FACTORS
    ]
