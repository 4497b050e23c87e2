"""The rows of each part of the claim."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise, product

import numpy as np
import torch
from scipy import integrate, special
from torch import Tensor

from neural_ode import solve
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.euler_resnet.settings import (
    DEPTHS,
    ORDERS,
    PORTRAIT_DEPTH,
    PRINTED,
    PROBLEMS,
    SCALES,
    SLUG,
    example_solution,
)

# Chains in a repetition: their mean takes the slope's standard error to about 0.01.
CHAINS = 200
PATH_STEPS = (1.0, 0.5, 0.25, 0.1, 0.01)
ARMS = ("tied", "smooth", "independent, 1/N", "independent, 1/sqrt(N)")
POWERS = tuple(2**k for k in range(3, 13))


def cells(profile: Profile) -> Iterator[Cell]:
    """The tutorial's example once, everything with random weights once for each repetition."""
    yield Cell(SLUG, {"part": "table"})
    yield Cell(SLUG, {"part": "path"})
    methods = profile.pick(smoke=["euler", "rk4"], quick=list(ORDERS), paper=list(ORDERS))
    for method, problem in product(methods, PROBLEMS):
        yield Cell(SLUG, {"part": "order", "arm": method, "problem": problem})
    yield Cell(SLUG, {"part": "portrait"})
    for repetition in profile.repetitions(smoke=1, quick=12, paper=50):
        for arm, scale in product(("plain", "residual"), SCALES):
            params = {"part": "gradient", "arm": arm, "scale": scale}
            yield Cell(SLUG, params, repetition, paired=("arm",))
        for arm in ("tied", "untied"):
            yield Cell(SLUG, {"part": "equality", "arm": arm}, repetition)
        depths = profile.pick(smoke=(8, 16), quick=POWERS[:7], paper=POWERS)
        for arm, depth in product(ARMS, depths):
            params = {"part": "limit", "arm": arm, "depth": depth}
            yield Cell(SLUG, params, repetition, paired=("arm", "depth"))


def measure(cell: Cell, context: Context) -> list[Row]:
    """The rows of one part of the claim."""
    return PARTS[str(cell.params["part"])](cell)


# --- gradients -----------------------------------------------------------------------------------


def _gradients(cell: Cell) -> list[Row]:
    """ln |dy/dw1| of scalar chains y = F_L(...F_1(x0)), F_n(x) = w_n x, with and without skips."""
    skip, scale = float(cell.params["arm"] == "residual"), float(cell.params["scale"] or 0)
    generator = cell.generator()
    w = scale * torch.randn(max(DEPTHS), CHAINS, generator=generator, dtype=torch.float64)
    x0 = torch.randn(CHAINS, generator=generator, dtype=torch.float64)
    expected = expected_log(scale, skip)
    rows: list[Row] = []
    for depth in DEPTHS:
        gradient, closed = _chain_gradient(w[:depth], x0, skip), x0 * (w[1:depth] + skip).prod(0)
        error = float(((gradient - closed) / closed).abs().max())
        log = float(gradient.abs().log().mean())
        rows.append(
            {"depth": depth, "log_gradient": log, "expected_slope": expected, "error": error}
        )
    return rows


def _chain_gradient(w: Tensor, x0: Tensor, skip: float) -> Tensor:
    """dy/dw1 by autograd, for each chain."""
    first = w[0].clone().requires_grad_()
    x = first * x0 + skip * x0
    for weight in w[1:]:
        x = weight * x + skip * x
    return torch.autograd.grad(x.sum(), first)[0]


def expected_log(scale: float, shift: float) -> float:
    """E ln |shift + w| for w ~ N(0, scale^2).

    Without a shift in closed form, (psi(1/2) + ln 2) / 2 + ln scale; with one by quadrature, on
    either side of the logarithm's pole.
    """
    if shift == 0:
        return float((special.digamma(0.5) + math.log(2)) / 2 + math.log(scale))

    def integrand(z: float) -> float:
        return math.log(abs(shift + scale * z)) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    pole, end = -shift / scale, 12.0
    points = [-end, pole, end] if abs(pole) < end else [-end, end]
    return sum(
        float(integrate.quad(integrand, low, high, limit=200)[0]) for low, high in pairwise(points)
    )


# --- Euler's method ------------------------------------------------------------------------------

START = torch.ones((), dtype=torch.float64)


def _example_field(t: Tensor, h: Tensor) -> Tensor:
    """The tutorial's right-hand side."""
    return 5 * h - 3


def _table(cell: Cell) -> list[Row]:
    """The tutorial's table, by this project's solver."""
    times = torch.arange(3, dtype=torch.float64)
    h = solve(_example_field, START, times, method="euler").ys
    return [
        {
            "step": 1.0,
            "depth": n,
            "t": float(n),
            "value": float(h[n]),
            "slope": float(_example_field(times[n], h[n])),
            "printed": float(PRINTED[n][0]),
            "printed_slope": float(PRINTED[n][1]),
            "exact": example_solution(float(n)),
        }
        for n in range(len(PRINTED))
    ]


def _path(cell: Cell) -> list[Row]:
    """Euler's method on the tutorial's example with smaller steps, at the ends of (at most) 20."""
    rows: list[Row] = []
    for step in PATH_STEPS:
        count = round(2 / step)
        times = torch.arange(count + 1, dtype=torch.float64) * step
        h = solve(_example_field, START, times, method="euler").ys
        for n in range(0, count + 1, max(1, count // 20)):
            t = float(times[n])
            row: Row = {"step": step, "depth": n, "t": t, "value": float(h[n])}
            rows.append(row | {"exact": example_solution(t)})
    return rows


def _order(cell: Cell) -> list[Row]:
    """The relative error at t = 1 over the number of steps."""
    method = str(cell.params["arm"])
    field, start, exact = {
        "tutorial": (_example_field, START, example_solution(1.0)),
        "logistic": (lambda t, y: 3 * y * (1 - y), START / 10, 1 / (1 + 9 * math.exp(-3))),
    }[str(cell.params["problem"])]
    rows: list[Row] = []
    for count in _step_counts(ORDERS[method]):
        times = torch.tensor([0.0, 1.0], dtype=torch.float64)
        y = solve(field, start, times, method=method, step_size=1 / count).ys[-1]
        rows.append({"depth": count, "step": 1 / count, "error": abs(float(y) / exact - 1)})
    return rows


def _step_counts(order: int) -> tuple[int, ...]:
    """Numbers of steps: beyond the first large steps, and before the error is all rounding."""
    if order == 1:
        # Of Euler's method the slope is judged with its interval, so the next term must be small.
        return (64, 128, 256, 512, 1024, 2048)
    if order <= 3:
        return (64, 128, 256, 512)
    return (32, 64, 128, 256) if order <= 5 else (4, 8, 16, 32)


# --- networks ------------------------------------------------------------------------------------

DIM, WIDTH, BATCH = 4, 16, 32

Layer = Callable[[Tensor], Tensor]


class _Weights:
    """A random two-layer tanh network with weights of the usual size, 1/sqrt(fan in)."""

    def __init__(self, generator: torch.Generator) -> None:
        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.inner, self.bias = draw(DIM, WIDTH) / math.sqrt(DIM), draw(WIDTH)
        self.outer = draw(WIDTH, DIM) / math.sqrt(WIDTH)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.inner + self.bias) @ self.outer


def _inputs(generator: torch.Generator) -> Tensor:
    return torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64)


def residual_network(
    layers: Callable[[int], Layer], depth: int, factor: float, x: Tensor
) -> Tensor:
    """``x + factor F_n(x)`` over the layers n = 0, ..., depth - 1."""
    for n in range(depth):
        x = x + factor * layers(n)(x)
    return x


def _relative(x: Tensor, reference: Tensor) -> float:
    return float((x - reference).norm() / reference.norm())


def _equality(cell: Cell) -> list[Row]:
    """A residual network of N blocks against an Euler solve over [0, N] with step 1."""
    generator, depths = cell.generator(), (1, 10, 100)
    blocks = [_Weights(generator) for _ in range(max(depths))]
    if cell.params["arm"] == "tied":
        blocks = blocks[:1] * max(depths)
    x = _inputs(generator)
    rows: list[Row] = []
    for depth in depths:
        times = torch.tensor([0.0, depth], dtype=torch.float64)
        solved = solve(lambda t, x: blocks[int(t)](x), x, times, method="euler", step_size=1.0)
        network = residual_network(blocks.__getitem__, depth, 1.0, x)
        rows.append({"depth": depth, "error": _relative(network, solved.ys[-1])})
    return rows


def _limit(cell: Cell) -> list[Row]:
    """Networks of depth N and 2N with step 1/N and 1/2N, and the ODE that they may tend to."""
    arm, depth = str(cell.params["arm"]), int(cell.params["depth"] or 0)
    generator = cell.generator()
    x = _inputs(generator)
    first, second = _Weights(generator), _Weights(generator)

    def field(t: Tensor | float, x: Tensor) -> Tensor:
        """Tied weights stay as they are, smooth ones turn from one network into another."""
        if arm == "tied":
            return first(x)
        angle = torch.as_tensor(t, dtype=torch.float64) * math.pi
        return torch.cos(angle) * first(x) + torch.sin(angle) * second(x)

    def network(count: int) -> Tensor:
        if not arm.startswith("independent"):
            return residual_network(lambda n: lambda x: field(n / count, x), count, 1 / count, x)
        factor = 1 / count if arm.endswith("1/N") else 1 / math.sqrt(count)
        return residual_network(lambda n: _Weights(generator), count, factor, x)

    shallow, deep = network(depth), network(2 * depth)
    row: Row = {"difference": _relative(shallow, deep)}
    if not arm.startswith("independent"):
        times = torch.tensor([0.0, 1.0], dtype=torch.float64)
        exact = solve(field, x, times, method="dopri8", rtol=1e-11, atol=1e-11).ys[-1]
        row["error"] = _relative(shallow, exact)
    elif arm == "independent, 1/N":
        # The mean of such a layer is 0, so its flow is the identity.
        row["error"] = _relative(shallow, x)
    return [row]


# --- the picture of the paper's first figure -----------------------------------------------------

STARTS = (-4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5)


def portrait_field(t: Tensor | float, x: Tensor) -> Tensor:
    """A field in one dimension over the depth, chosen for the picture: nothing is trained."""
    t = torch.as_tensor(t, dtype=torch.float64)
    return 1.6 * torch.cos(0.9 * t) * torch.sin(0.8 * x + 0.5) - 0.1 * x


def _portrait(cell: Cell) -> list[Row]:
    """One field as the blocks of a residual network and as an ODE: states and evaluations."""
    starts = torch.tensor(STARTS, dtype=torch.float64)
    depths = torch.arange(PORTRAIT_DEPTH + 1, dtype=torch.float64)
    network = solve(portrait_field, starts, depths, method="euler").ys
    rows = _field_rows()
    for chain, start in enumerate(starts):
        rows += _trajectory_rows("residual network", chain, depths, network[:, chain], True)
        rows += _ode_rows(chain, start)
    return rows


def _field_rows() -> list[Row]:
    times, states = np.linspace(0, PORTRAIT_DEPTH, 16), np.linspace(-5, 5, 17)
    rows: list[Row] = []
    for t, x in product(times, states):
        rate = float(portrait_field(float(t), torch.tensor(x)))
        rows.append({"part": "field", "t": float(t), "value": float(x), "slope": rate})
    return rows


def _trajectory_rows(arm: str, chain: int, times: Tensor, x: Tensor, evaluated: bool) -> list[Row]:
    common: Row = {"part": "trajectory", "arm": arm, "chain": chain, "evaluated": evaluated}
    pairs = zip(times.tolist(), x.tolist(), strict=True)
    return [common | {"t": t, "value": value} for t, value in pairs]


def _ode_rows(chain: int, start: Tensor) -> list[Row]:
    """A trajectory of the ODE, and its states where an adaptive solver evaluates the field."""
    evaluations = {0.0}

    def record(t: Tensor, x: Tensor) -> Tensor:
        evaluations.add(float(t))
        return portrait_field(t, x)

    ends = torch.tensor([0.0, PORTRAIT_DEPTH], dtype=torch.float64)
    solve(record, start, ends, method="bosh3", rtol=1e-2, atol=1e-2)
    inside = sorted(t for t in evaluations if t <= PORTRAIT_DEPTH)
    smooth = torch.linspace(0, PORTRAIT_DEPTH, 51, dtype=torch.float64)
    rows: list[Row] = []
    for times, evaluated in ((smooth, False), (torch.tensor(inside, dtype=torch.float64), True)):
        x = solve(portrait_field, start, times, rtol=1e-8, atol=1e-8).ys
        rows += _trajectory_rows("ODE network", chain, times, x, evaluated)
    return rows


PARTS: dict[str, Callable[[Cell], list[Row]]] = {
    "gradient": _gradients,
    "table": _table,
    "path": _path,
    "order": _order,
    "equality": _equality,
    "limit": _limit,
    "portrait": _portrait,
}
