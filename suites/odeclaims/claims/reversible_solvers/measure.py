"""Order, gradients, held bytes, stability and trained nets of coupled methods and of controls."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from neural_ode import Backprop, Reversible, solve
from neural_ode.gradients import Gradient
from neural_ode.memory import SavedBytes
from neural_ode.methods import METHODS, NAMED
from neural_ode.methods.coupled import Coupled
from neural_ode.networks import MLPField
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.reversible_solvers.nets import BOX, TIGHT, contraction, draw, train
from odeclaims.claims.reversible_solvers.settings import (
    BASES,
    COUPLINGS,
    DEFAULT,
    HEUN,
    LAST,
    OF_NETS,
    SLUG,
    STEP,
)
from odeclaims.claims.reversible_solvers.stability import trace
from odeclaims.kits.validity import relative_error

DTYPES = {"float64": torch.float64, "float32": torch.float32}
# The problem whose order is measured: its last time, and into how many steps it is cut.
ORDER_LAST, ORDER_STEPS = 2.0, (8, 12, 16, 24, 32)
# The random nets: units, states, and what the initial weights are multiplied by where a gradient is
# taken, so that it is not near that of a line.
WIDTH, BATCH, GAIN = 16, 16, 2.0
# Under quick: the base of the couplings other than the default; steps taken in float32.
QUICK_BASE, FLOAT32_STEPS = "midpoint", (8, 10, 100, 1000)
# Steps h, in units of 1/|a|, between which the edge of stability is looked for; how many of them,
# how often what lies around the edge is looked at again, and what rounding may add to a radius.
LEAST_STEP, LARGEST_STEP, PLACES, REFINED, ROUNDING = 1e-5, 4.0, 2000, 2, 1e-12
# Of every so many steps of the decay one is kept.
THINNED = 4
# Trained nets: times at which errors are kept, starts, and states where the contraction is looked
# at, along each axis.
NET_TIMES, STARTS, GRID = 10, 32, 21
Arm = tuple[str, str, float | None]


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net, each gradient, and each method's order, edge and decay."""
    size = {
        "width": profile.pick(smoke=4, quick=32, paper=32),
        "pairs": profile.pick(smoke=10, quick=256, paper=256),
        "updates": profile.pick(smoke=3, quick=800, paper=800),
    }
    compared = profile.pick(smoke=1, quick=len(COUPLINGS), paper=len(COUPLINGS))
    for repetition in profile.repetitions(smoke=1, quick=8, hour=10, paper=20):
        yield Cell(SLUG, {"part": "net", **size}, repetition)
    for repetition in profile.repetitions(smoke=1, quick=10, hour=10, paper=20):
        yield Cell(SLUG, {"part": "order", "couplings": compared}, repetition)
    for repetition in range(profile.pick(smoke=1, quick=1, hour=3, paper=5)):
        for arm, dtype, steps in _gradients(profile):
            params = {"dtype": dtype, "steps": steps, **_named(arm)}
            yield Cell(SLUG, {"part": "gradient", **params}, repetition, paired=tuple(params))
    couplings = profile.pick(smoke=(0.9, DEFAULT), quick=COUPLINGS, paper=COUPLINGS)
    for part in ("edge", "decay"):
        for arm in (*_coupled(couplings), *_controls()):
            yield Cell(SLUG, {"part": part, **_named(arm)})


def _named(arm: Arm) -> dict[str, Any]:
    return dict(zip(("arm", "method", "coupling"), arm, strict=True))


def _coupled(couplings: tuple[float, ...]) -> list[Arm]:
    return [("coupled", base, coupling) for coupling in couplings for base in BASES]


def _controls() -> list[Arm]:
    return [*(("plain", base, None) for base in BASES), (HEUN, HEUN, None)]


def _gradients(profile: Profile) -> Iterator[tuple[Arm, str, int]]:
    """The arms of the gradients, each with a dtype and a number of steps.

    Under quick couplings other than the default have one base method, and so have ten thousand
    steps.
    """
    steps = profile.pick(smoke=(2, 8), quick=(10, 30, 100, 300, 1000), paper=None)
    steps = steps or (10, 30, 100, 300, 1000, 3000)
    whole = profile.pick(smoke=(0.9, DEFAULT), quick=COUPLINGS, paper=COUPLINGS)
    few = profile.pick(smoke=BASES, quick=(QUICK_BASE,), paper=BASES)
    arms = [arm for arm in _coupled(whole) if arm[2] == DEFAULT or arm[1] in few]
    heun: Arm = (HEUN, HEUN, None)
    for count in steps:
        for arm in (*arms, heun):
            yield arm, "float64", count
        for arm in (*_coupled((DEFAULT,)), heun):
            if count in FLOAT32_STEPS:
                yield arm, "float32", count
    for base in profile.pick(smoke=(), quick=(QUICK_BASE,), paper=BASES):
        for coupling in profile.pick(smoke=(), quick=(DEFAULT,), paper=(0.99, DEFAULT)):
            yield ("coupled", base, coupling), "float64", 10_000


def measure(cell: Cell, context: Context) -> list[Row]:
    """What the part of the cell asks for."""
    parts = {"order": _order, "edge": _edge, "decay": _decay, "gradient": _gradient, "net": _net}
    return parts[str(cell.params["part"])](cell, context)


def method_of(method: str, coupling: float | None) -> Any:
    """The method that ``solve`` takes: with a coupling the pair that is made of it."""
    return NAMED[method] if coupling is None else Coupled(METHODS[method], coupling)


def _of_cell(cell: Cell) -> Any:
    return method_of(str(cell.params["method"]), cell.params["coupling"])


# --- order


def _order(cell: Cell, context: Context) -> list[Row]:
    """A row for each method, coupling and number of steps: the L2 error of the states at the end.

    The field is a net as it is initialised, which bends little: steps are in the range where a
    method shows its order, and errors are far above rounding.
    """
    net, y0 = random_net(cell.seed, 1.0), starts(cell)
    ts = torch.tensor([0.0, ORDER_LAST], dtype=torch.float64)
    rows: list[Row] = []
    with torch.no_grad():
        expected = solve(net, y0, ts, **TIGHT).ys[-1]
        for arm in (*_coupled(_couplings_of_orders(cell)), *_controls()):
            for steps in ORDER_STEPS:
                size = ORDER_LAST / steps
                end = solve(net, y0, ts, method=method_of(*arm[1:]), step_size=size).ys[-1]
                found = {"steps": steps, "step": size, "error": float((end - expected).norm())}
                rows.append({"status": "ok", **_named(arm), **found})
    return rows


def _couplings_of_orders(cell: Cell) -> tuple[float, ...]:
    """The couplings up to the number that the cell asks for, from the default on."""
    others = [each for each in COUPLINGS if each != DEFAULT]
    return (DEFAULT, *others)[: int(cell.params["couplings"])]


# --- gradients and bytes


def random_net(seed: int, gain: float, dtype: str = "float64") -> nn.Module:
    """A random field in the plane with two layers of tanh.

    Args:
        seed: of its weights.
        gain: what torch's initial weights are multiplied by.
        dtype: of the weights.
    """
    net = MLPField(2, WIDTH, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(gain)
    return net.to(DTYPES[dtype])


def starts(cell: Cell) -> Float64[Tensor, "batch 2"]:
    """A batch of standard normal states."""
    return torch.randn(BATCH, 2, dtype=torch.float64, generator=cell.generator())


def gradient_and_bytes(
    net: nn.Module, y0: Tensor, gradient: Gradient, solver: dict[str, Any]
) -> tuple[Tensor, int]:
    """The gradient of half the mean square of the states at time 1, and what is held for it.

    Args:
        net: the field.
        y0: the states at time 0.
        gradient: the way to the gradient.
        solver: further arguments of ``solve``.

    Returns:
        The gradient with respect to ``y0`` and all weights, as one vector; and the bytes that
        autograd holds between the two passes, without the weights and the states at time 0.
    """
    start, parameters = y0.clone().requires_grad_(True), list(net.parameters())
    ts = y0.new_tensor([0.0, 1.0])
    with SavedBytes(ignore=[start, *parameters]) as meter:
        end = solve(net, start, ts, gradient=gradient, **solver).ys[-1]
        held = meter.held
        gradients = torch.autograd.grad(end.square().mean() / 2, [start, *parameters])
    return torch.cat([each.reshape(-1) for each in gradients]), held


def _gradient(cell: Cell, context: Context) -> list[Row]:
    """One row: the error of the gradient against backpropagation through the same steps."""
    dtype, steps = str(cell.params["dtype"]), int(cell.params["steps"])
    net, y0 = random_net(cell.seed, GAIN, dtype), starts(cell).to(DTYPES[dtype])
    solver = {"method": _of_cell(cell), "step_size": 1 / steps}

    def look() -> Row:
        context.tell(f"{steps} steps of {cell.params['method']}")
        (found, held), (expected, held_by_backprop) = (
            gradient_and_bytes(net, y0, each, solver) for each in (Reversible(), Backprop())
        )
        error = relative_error(found, expected)
        return {
            "status": "ok" if math.isfinite(error) else "nonfinite",
            "gradient_error": error if math.isfinite(error) else None,
            "held_bytes": held,
            "held_bytes_backprop": held_by_backprop,
        }

    return [guarded(look)]


# --- stability


def step_matrices(
    method: Any, x: Float64[np.ndarray, " steps"], *, pair: bool = True
) -> Float64[np.ndarray, "steps n n"]:
    """The matrices of one step on y' = a y, one for each x = h a.

    Args:
        method: the method, whose own step is taken.
        x: step times rate.
        pair: whether it carries a second state: then n is 2 and the matrix is that of (y, z).

    A step of size 1 along rates x from (1, 0) and from (0, 1) has the columns of the matrix.
    """
    rates = torch.tensor(x)
    y = torch.tensor([[1.0], [0.0]] if pair else [[1.0]]).double().expand(-1, len(x)).clone()
    second = torch.tensor([[0.0], [1.0]] if pair else [[1.0]]).double().expand(-1, len(x)).clone()
    stepper = method.stepper(y, lambda t, each, wanted: (rates * each, None))
    begin = (rates * second, None, second) if pair else (rates * y, None)
    with torch.no_grad():
        y1, _, carried, *_ = stepper.advance(
            torch.zeros(()).double(), 1.0, y, begin, None, False, None
        )
    ends = torch.stack([y1, carried[2]]) if pair else y1[None]
    return ends.permute(2, 0, 1).numpy()


def radii(matrices: Float64[np.ndarray, "steps n n"]) -> Float64[np.ndarray, " steps"]:
    """The largest absolute value of an eigenvalue of each matrix."""
    return np.abs(np.linalg.eigvals(matrices)).max(axis=1)


def edge_of(method: Any, *, pair: bool = True) -> float:
    """The step, in units of 1/|a|, up to which y' = a y with a < 0 does not grow.

    Returns:
        Where the spectral radius of a step first passes 1; 0 where it does at the smallest step
        that is tried, infinity where it never does.
    """
    low, high = LEAST_STEP, LARGEST_STEP
    for _ in range(1 + REFINED):
        steps = np.geomspace(low, high, PLACES)
        grows = radii(step_matrices(method, -steps, pair=pair)) > 1 + ROUNDING
        if not grows.any():
            return math.inf
        first = int(grows.argmax())
        if first == 0:
            return 0.0
        low, high = steps[first - 1], steps[first]
    return float((low + high) / 2)


def _edge(cell: Cell, context: Context) -> list[Row]:
    """One row: the edge, and how far the step is from its closed form."""
    method, coupling, pair = _of_cell(cell), cell.params["coupling"], cell.params["arm"] != "plain"
    row: Row = {"edge": edge_of(method, pair=pair)}
    if cell.params["arm"] == "coupled":
        x = -np.geomspace(LEAST_STEP, LARGEST_STEP, PLACES)
        matrices = step_matrices(method, x)
        expected = trace(str(cell.params["method"]), float(coupling), x)
        misses = np.abs(np.trace(matrices, axis1=1, axis2=2) - expected)
        misses /= np.maximum(1, np.abs(expected))
        sizes = np.abs(matrices).max(axis=(1, 2)) ** 2
        determinants = np.abs(np.linalg.det(matrices) - coupling) / np.maximum(1, sizes)
        row |= {"trace_error": float(misses.max()), "determinant_error": float(determinants.max())}
    return [{"status": "ok", **row}]


def _decay(cell: Cell, context: Context) -> list[Row]:
    """A row for some of the steps: the absolute value of the solution of y' = -y from 1."""
    ts = STEP * torch.arange(0, round(LAST / STEP) + 1, THINNED, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    ys = solve(lambda t, y: -y, one, ts, method=_of_cell(cell), step_size=STEP).ys[:, 0]
    return [
        {"status": "ok", "time": float(t), "size": float(y.abs())}
        for t, y in zip(ts, ys, strict=True)
    ]


# --- trained nets


def _net(cell: Cell, context: Context) -> list[Row]:
    """A row for each method, coupling and time: the largest error of the net's solutions so far."""
    size, generator = cell.params, cell.generator()
    net, fit_error = train(size["width"], size["pairs"], size["updates"], generator)
    axis = torch.linspace(-BOX, BOX, GRID, dtype=torch.float64)
    common = {
        "fit_error": fit_error,
        "contraction": contraction(net, torch.cartesian_prod(axis, axis)),
    }
    y0 = draw(STARTS, generator)
    ts = STEP * torch.arange(round(LAST / STEP) + 1, dtype=torch.float64)
    rows: list[Row] = []
    with torch.no_grad():
        expected = solve(net, y0, ts, **TIGHT).ys
        for arm in (*_coupled(OF_NETS), *_controls()):
            context.tell(f"solve by {arm}")
            ys = solve(net, y0, ts, method=method_of(*arm[1:]), step_size=STEP).ys
            for place, error in _so_far(ys - expected):
                at = {"time": float(ts[place]), "error": error}
                rows.append({"status": "ok", **common, **_named(arm), **at})
    return rows


def _so_far(misses: Float64[Tensor, "times starts 2"]) -> list[tuple[int, float]]:
    """Places in time, with the largest mean distance up to each."""
    largest = misses.norm(dim=2).mean(dim=1).cummax(dim=0).values
    stride = (len(largest) - 1) // NET_TIMES
    return [(place, float(largest[place])) for place in range(stride, len(largest), stride)]
