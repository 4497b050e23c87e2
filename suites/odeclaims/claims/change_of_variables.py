"""The instantaneous change of variables: a log-density falls by the integrated trace (C10).

Along a flow d log p(z(t)) / dt = -tr(df/dz). Random fields, untrained, are asked whether the
integrated trace is the logarithm of the determinant of the flow's Jacobian, which is found without
any trace, and whether the densities integrate to one. Then what the tutorial prints in the place of
the theorem, what trace and determinant cost, and what Hutchinson's estimate of the trace does.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor, nn

from neural_ode import solve
from neural_ode.flows import (
    CNF,
    ConcatSquashField,
    Hutchinson,
    LogDensityField,
    PlanarField,
    StandardNormal,
    closed_trace,
    exact_trace,
)
from neural_ode.flows.traces import Trace
from odeclaims.claim import Bounds, Cell, Claim, Column, Criterion, Evidence, Profile, Row, guarded
from odeclaims.report.style import (
    COLOURS,
    MARKERS,
    add_legend,
    in_column,
    label_panels,
    leave_room,
    panels,
)
from odeclaims.report.tables import number
from odeclaims.statistics import log_slope
from odeclaims.validity import RECONSTRUCTION_LIMIT, STAMP_COLUMNS, reconstruction_error

SLUG = "change_of_variables"

END = 1.0
# The determinants come from another method, at a tolerance below any that is judged.
TIGHT: dict[str, Any] = {"method": "dopri8", "rtol": 1e-12, "atol": 1e-12}
TOLERANCES = (1e-4, 1e-6, 1e-8, 1e-10)
JUDGED = TOLERANCES[-1]
MASS_TOLERANCE = 1e-6
POINTS = 8
# Grids of twice as many intervals are taken until the integral has converged.
FIRST_INTERVALS = 16
# Derivatives in the middle of the flow by central differences of this step, of orders 6 and 8,
# whose difference tells how good they are; the weights are those of the nodes 1, 2, ...
MIDDLE, STEP = 0.6, 0.005
WEIGHTS = ((3 / 4, -3 / 20, 1 / 60, 0.0), (4 / 5, -1 / 5, 4 / 105, -1 / 280))
SHIFTS = [sign * k * STEP for sign in (1, -1) for k in (1, 2, 3, 4)]
NOISE_TOLERANCES = (1e-3, 1e-5, 1e-7)
NOISE_JUDGED, NOISE_DIM, STEP_LIMIT = 1e-5, 4, 500
# What a solve at the step limit has spent, at least: six evaluations a step of dopri5.
SPENT = 6 * STEP_LIMIT
LEAST_SEEDS = 3
# Small batches of small states would time the overhead of a call.
TIMED_POINTS, TIMED_MATRICES = 16, 4

AGREES, NORMALISED, HOLDS, SLIPS = 1e-7, 1e-3, 1e-6, 1e-2
# As in the validity stamp, what judges may be uncertain by half of what is judged by it.
CONVERGED, GOOD_SLOPE = NORMALISED / 2, HOLDS / 2

FIELDS = {
    "linear": "linear",
    "planar": "planar, hypernetwork",
    "constant": "planar, constant weights",
    "concatsquash": "concatsquash MLP",
}
READINGS = {
    "partial_printed": r"$\partial_t \log p = -\mathrm{tr}$",
    "partial_corrected": r"$\ldots - f \cdot \nabla \log p$",
    "total": r"$\frac{d}{dt} \log p = -\mathrm{tr}$",
    "integral_entries": r"$-\int \mathrm{tr}\, \partial h / \partial z$, entries",
    "integral_slope": r"$-\int \mathrm{tr}\, \partial h / \partial z$, $h'$",
    "integral_corrected": r"$-\int u^T \partial h / \partial z$",
}
PRINTED = ("partial_printed", "integral_entries", "integral_slope")
COSTS = {
    "determinant": "log-determinant",
    "exact": "trace, D VJPs",
    "estimate": "estimate, 1 VJP",
    "closed": "trace, closed form",
}

LEDGER = [
    Evidence(
        "paper",
        "d log p(z(t)) / dt = -tr(df/dz); a trace is cheaper than a determinant, O(D) against"
        " O(D^3)",
        "Chen et al. 2018, sec. 4, theorem 1 and appendix A",
        "f Lipschitz in z; written as a partial derivative; eq. 10 has lost the minus",
    ),
    Evidence(
        "tutorial",
        "partial_t log p = -tr(df/dz); log p(z_T) = log p(z_0) - int tr(dh/dz) dt for dz/dt = u h",
        "the tutorial, section on change of variables",
        "the derivative is the total one; u is lost under the integral, where h is a number",
    ),
    Evidence(
        "derived",
        "int tr dt = log |det J| to 1e-7 in float64 at tolerance 1e-10; tr(A) T for f = A z;"
        " densities integrate to 1 within 1e-3",
        "the project's fact sheet",
    ),
    Evidence(
        "FFJORD",
        "an unbiased estimate of the trace by one VJP, its noise fixed for the duration of a solve",
        "Grathwohl et al. 2019, sec. 3.1",
    ),
    Evidence(
        "replication",
        "evaluations grow to thousands; the noise of the trace was not fixed during a solve",
        "torchdiffeq, issue 120",
        "FFJORD on MNIST, four CNFs",
    ),
]

DEVIATIONS = [
    "The fields are random and untrained. Their initial weights are multiplied by a gain, chosen so"
    " that the log-determinants are of size one, and not by any error.",
    "The paper's O(D) is the trace of a Jacobian at hand, or of a planar layer in closed form. By"
    " autograd the exact trace takes D vector-Jacobian products, each of which is O(D) itself.",
    "The determinant's time leaves out the D vector-Jacobian products that its Jacobian takes.",
    "The noise is renewed in random fields of a few dimensions, not in training on MNIST. Of the"
    " validity stamp these solves have the reconstruction alone, since no gradient is taken.",
    "The printed integral has the trace of a vector, which is read as the sum of its entries and as"
    " the slope h' alone.",
]

COLUMNS = {
    "part": Column(
        "determinant (trace against log-determinant), mass (integral of the density), printed (the"
        " tutorial's formulas), cost, estimate (Hutchinson's) or noise (fixed or renewed)"
    ),
    "field": Column(
        "linear (A z), planar (weights from a hypernetwork), constant (planar, constant weights),"
        " concatsquash, or unit (one planar unit with constant weights)"
    ),
    "dim": Column("dimension of the state"),
    "tolerance": Column("rtol and atol of the solve"),
    "error": Column(
        "determinant: largest difference over the points between integrated trace and log |det J|;"
        " printed: largest residual of the formula; nats"
    ),
    "size": Column("determinant, printed: largest magnitude of the side without a trace, nats"),
    "closed_error": Column("determinant, linear: distance of the integrated trace from tr(A) T"),
    "reference_error": Column(
        "determinant: largest change of log |det J| when its solve is a hundred times looser;"
        " printed: largest change of the residual from differences of order 6 to those of order 8"
    ),
    "most_intervals": Column("mass, printed: intervals on a side of the finest grid allowed"),
    "intervals": Column("mass, printed: intervals on a side of this grid"),
    "spacing": Column(
        "mass: distance of the lines of the grid, in standard deviations along the principal axes"
    ),
    "mass": Column("mass, printed: integral of the density over the grid"),
    "mass_change": Column("mass, printed: its distance from that on the grid before"),
    "reading": Column(
        "printed: the derivative of log p at a fixed point (partial_printed), with -f . grad log p"
        " (partial_corrected), along a trajectory (total); the planar integral without u by the"
        " entries or the slope of dh/dz (integral_entries, integral_slope), with u"
        " (integral_corrected)"
    ),
    "quantity": Column(
        "cost: determinant, exact, estimate or closed; estimate: trace at one point or log_density"
        " of one point"
    ),
    "vjps": Column("cost: vector-Jacobian products"),
    "time_s": Column(
        f"cost: shortest of several times, seconds a point, in batches of {TIMED_POINTS}"
        f" ({TIMED_MATRICES} for the determinant)",
        varies=True,
    ),
    "noise": Column("estimate: rademacher or gaussian"),
    "draws": Column("estimate: independent estimates of the trace; an eighth for a log-density"),
    "mean_error": Column("estimate: mean of the estimates minus the exact value"),
    "standard_error": Column("estimate: standard error of that mean"),
    "variance": Column("estimate: variance of the estimates"),
    "theory_variance": Column("estimate, trace: the variance that the Jacobian implies"),
    "arm": Column("noise: exact (trace), fixed (noise for the solve) or renewed (at each call)"),
    "nfe_forward": Column("field evaluations of the solve"),
    "reconstruction_error": STAMP_COLUMNS["reconstruction_error"],
}

# --- what is run ---------------------------------------------------------------------------------


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each field, dimension and seed of a part."""
    dims = profile.pick(smoke=(2,), quick=(2, 8), paper=(2, 8, 32))
    estimated = profile.pick(smoke=(2, 4), quick=(2, 8, 32), paper=(2, 8, 32, 128))
    cost = profile.pick(smoke=(4, 16), quick=(16, 64, 256, 1024), paper=(16, 64, 256, 1024, 2048))
    draws = profile.pick(smoke=512, quick=16384, paper=16384)
    all_printed = ("linear", "planar", "concatsquash", "unit")
    printed = profile.pick(smoke=("planar", "unit"), quick=all_printed, paper=all_printed)
    most = profile.pick(smoke=32, quick=256, paper=512)
    for repetition in profile.repetitions(smoke=1, quick=3, paper=10):
        for field in FIELDS:
            for dim in dims:
                yield _cell("determinant", repetition, field=field, dim=dim)
            yield _cell("mass", repetition, field=field, dim=2, most_intervals=most)
        for field in printed:
            yield _cell("printed", repetition, field=field, dim=2, most_intervals=most)
        for dim in estimated:
            yield _cell("estimate", repetition, field="concatsquash", dim=dim, draws=draws)
        yield _cell("noise", repetition, field="concatsquash", dim=NOISE_DIM)
    for dim in cost:
        yield Cell(SLUG, {"part": "cost", "field": "constant", "dim": dim}, alone=True)


def _cell(part: str, repetition: int, **params: Any) -> Cell:
    # A finer grid is one for the same density.
    return Cell(SLUG, {"part": part, **params}, repetition, paired=("most_intervals",))


def measure(cell: Cell) -> list[Row]:
    """The rows of one part."""
    generator = cell.generator()
    field = _field(cell.params["field"], cell.params["dim"], generator)
    return PARTS[cell.params["part"]](cell, field, generator)


class LinearField(nn.Module):
    """``f = A z`` with its trace.

    Args:
        A: shape [dim, dim].
    """

    def __init__(self, A: Float[Tensor, "dim dim"]) -> None:
        super().__init__()
        self.A = nn.Parameter(A)

    def forward(
        self, t: Float[Tensor, ""], z: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch dim"]:
        """The derivative."""
        return z @ self.A.T

    def field_and_trace(
        self, t: Float[Tensor, ""], z: Float[Tensor, "batch dim"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, " batch"]]:
        """The derivative and the trace of A."""
        return self(t, z), self.A.trace().expand(len(z))


# From a dimension and a generator to a field, and the gain of its weights.
MAKERS: dict[str, tuple[Callable[[int, torch.Generator], nn.Module], float]] = {
    "linear": (lambda dim, g: LinearField(torch.randn(dim, dim, generator=g) / dim**0.5), 1.0),
    "planar": (lambda dim, g: PlanarField(dim, 16, hidden=32, generator=g), 2.0),
    "constant": (lambda dim, g: PlanarField(dim, 16, generator=g), 2.0),
    "concatsquash": (lambda dim, g: ConcatSquashField(dim, (32, 32), generator=g), 4.0),
    "unit": (lambda dim, g: PlanarField(dim, 1, generator=g), 2.0),
}


def _field(name: str, dim: int, generator: torch.Generator) -> nn.Module:
    """A random field in float64 that learns nothing."""
    make, gain = MAKERS[name]
    field = make(dim, generator).double().requires_grad_(False)
    for parameter in field.parameters():
        parameter.mul_(gain)
    return field


def _points(count: int, dim: int, generator: torch.Generator) -> Float64[Tensor, "count dim"]:
    return torch.randn(count, dim, generator=generator, dtype=torch.float64)


def _at(tolerance: float) -> dict[str, Any]:
    return {"rtol": tolerance, "atol": tolerance}


# --- trace against determinant -------------------------------------------------------------------


def _flow(
    field: nn.Module, z: Float64[Tensor, "batch dim"], start: float, end: float, **solver: Any
) -> tuple[Float64[Tensor, "batch dim"], Float64[Tensor, " batch"]]:
    """Where the flow takes z, and log |det| of the Jacobian of that map, by backprop."""
    z = z.detach().requires_grad_(True)
    x = solve(field, z, z.new_tensor([start, end]), **TIGHT | solver).ys[-1]
    rows = [torch.autograd.grad(x[:, i].sum(), z, retain_graph=True)[0] for i in range(z.shape[1])]
    return x.detach(), torch.linalg.slogdet(torch.stack(rows, dim=1)).logabsdet


@torch.no_grad()
def _fall(
    field: nn.Module, z: Float64[Tensor, "batch dim"], trace: Trace, tolerance: float
) -> tuple[Float64[Tensor, " batch"], int]:
    """By how much the integrated trace lowers the log-density, and the evaluations it took."""
    state, ts = nn.functional.pad(z, (0, 1)), z.new_tensor([0.0, END])
    solution = solve(LogDensityField(field, trace), state, ts, **_at(tolerance))
    return -solution.ys[-1, :, -1], solution.stats.nfe_forward


def _exact(field: nn.Module) -> Trace:
    return closed_trace if hasattr(field, "field_and_trace") else exact_trace


def _determinant(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    z = _points(POINTS, cell.params["dim"], generator)
    _, expected = _flow(field, z, 0.0, END)
    _, looser = _flow(field, z, 0.0, END, **_at(1e-10))

    def observe(tolerance: float) -> Row:
        fall, nfe = _fall(field, z, _exact(field), tolerance)
        row: Row = {"error": _largest(fall - expected), "nfe_forward": nfe}
        if isinstance(field, LinearField):
            row["closed_error"] = _largest(fall - field.A.trace() * END)
        return row

    common = {"size": _largest(expected), "reference_error": _largest(expected - looser)}
    return [
        {"tolerance": tolerance, **common, **guarded(partial(observe, tolerance))}
        for tolerance in TOLERANCES
    ]


def _largest(x: Tensor) -> float:
    return float(x.abs().max())


# --- the integral of the density -----------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """A rectangle along the principal axes of a density, in units of its standard deviations.

    Attributes:
        centre, to_plane: the map from those units u to points, ``to_plane u + centre``.
        half: half the length of either side, in those units.
    """

    centre: Float64[Tensor, "2"]
    to_plane: Float64[Tensor, "2 2"]
    half: float


def _window(cnf: CNF, generator: torch.Generator) -> Window:
    """Half again as wide as the furthest of many samples needs."""
    samples = cnf.sample(4000, generator)
    centre = samples.mean(dim=0)
    variances, axes = torch.linalg.eigh(torch.cov(samples.T))
    to_plane = axes * variances.sqrt()
    units = torch.linalg.solve(to_plane, (samples - centre).T)
    return Window(centre, to_plane, 1.5 * _largest(units))


@torch.no_grad()
def _integral(cnf: CNF, window: Window, intervals: int) -> Row:
    """The integral of the density by the trapezoidal rule; it ends inside of the window."""
    line = torch.linspace(-window.half, window.half, intervals + 1, dtype=torch.float64)
    points = torch.cartesian_prod(line, line) @ window.to_plane.T + window.centre
    spacing = 2 * window.half / intervals
    cell = spacing**2 * float(window.to_plane.det().abs())
    mass = float(cnf.log_prob(points).exp().sum()) * cell
    return {"intervals": intervals, "spacing": spacing, "mass": mass}


def _integrals(cnf: CNF, window: Window, most: int) -> list[Row]:
    """The integral on ever finer grids, until it has converged or the grid is the finest."""
    rows, intervals, change = [], FIRST_INTERVALS, math.inf
    while change > CONVERGED and intervals <= most:
        rows.append(_integral(cnf, window, intervals))
        change = abs(rows[-1]["mass"] - rows[-2]["mass"]) if len(rows) > 1 else math.inf
        rows[-1]["mass_change"] = change if len(rows) > 1 else None
        intervals *= 2
    return rows


def _mass(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    cnf = CNF(field, StandardNormal(2), end=END, **_at(MASS_TOLERANCE))
    rows = _integrals(cnf, _window(cnf, generator), cell.params["most_intervals"])
    return [{"tolerance": MASS_TOLERANCE, **row} for row in rows]


# --- the formulas as printed ---------------------------------------------------------------------


def _log_density(
    field: nn.Module, z: Float64[Tensor, "batch dim"], t: float
) -> Float64[Tensor, " batch"]:
    """log p(z, t) by the determinant of the way back to the base: no trace enters."""
    start, log_det = _flow(field, z, t, 0.0)
    return StandardNormal(z.shape[1]).log_prob(start) + log_det


def _slopes(values: Float64[Tensor, "shifts batch"]) -> Float64[Tensor, "orders batch"]:
    """The derivative at 0, by differences of each order, of what has these values at the shifts."""
    forward, backward = values.chunk(2)
    return values.new_tensor(WEIGHTS) @ (forward - backward) / STEP


@torch.no_grad()
def _moved(field: nn.Module, z: Float64[Tensor, "batch dim"], s: float) -> Tensor:
    """Where the flow takes the points of the middle within a time s, which may be negative."""
    return solve(field, z, z.new_tensor([MIDDLE, MIDDLE + s]), **TIGHT).ys[-1]


def _rates(field: nn.Module, z: Float64[Tensor, "batch dim"]) -> list[Row]:
    """The theorem with a partial derivative, with the missing term, and with the total one."""
    with torch.no_grad():
        f, trace = _exact(field)(field, z.new_tensor(MIDDLE), z)
    beside = _log_density(field, torch.cat([z + s * f for s in SHIFTS]), MIDDLE)
    carried = _slopes(beside.view(len(SHIFTS), -1))
    later = [
        _log_density(field, torch.cat([z, _moved(field, z, s)]), MIDDLE + s).view(2, -1)
        for s in SHIFTS
    ]
    fixed, total = (_slopes(values) for values in torch.stack(later, dim=1))
    readings = {
        "partial_printed": (fixed, -trace.expand_as(fixed)),
        "partial_corrected": (fixed, -trace - carried),
        "total": (total, -trace.expand_as(fixed)),
    }
    return [
        {
            **_reading(name, left[-1], right[-1]),
            "reference_error": _largest((left - right).diff(dim=0)),
        }
        for name, (left, right) in readings.items()
    ]


def _reading(name: str, left: Tensor, right: Tensor) -> Row:
    return {"reading": name, "error": _largest(left - right), "size": _largest(left)}


def _without_u(field: PlanarField, t: Tensor, z: Tensor, *, entries: bool) -> tuple:
    """The printed integrand: the gradient of h, its entries summed, or its slope h' alone."""
    w, b, _ = field.weights(t)
    slope = (1 - torch.tanh(z @ w + b).square()).squeeze(-1)
    return field(t, z), slope * w.sum() if entries else slope


INTEGRANDS: dict[str, Trace] = {
    "integral_entries": partial(_without_u, entries=True),
    "integral_slope": partial(_without_u, entries=False),
    "integral_corrected": closed_trace,
}


def _one_unit(
    cell: Cell, field: nn.Module, z: Float64[Tensor, "batch 2"], generator: torch.Generator
) -> list[Row]:
    """The integral for one planar unit, against the determinant, and the density it makes."""
    _, expected = _flow(field, z, 0.0, END)
    base, solver = StandardNormal(2), _at(MASS_TOLERANCE)
    window, rows = _window(CNF(field, base, end=END, **solver), generator), []
    for name, trace in INTEGRANDS.items():
        fall, _ = _fall(field, z, trace, JUDGED)
        cnf = CNF(field, base, end=END, trace=trace, **solver)
        finest = _integrals(cnf, window, cell.params["most_intervals"])[-1]
        rows.append({**_reading(name, expected, fall), **finest})
    return rows


def _printed(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    z = _points(POINTS, 2, generator)
    if cell.params["field"] == "unit":
        return _one_unit(cell, field, z, generator)
    return _rates(field, z)


# --- cost ----------------------------------------------------------------------------------------


class _Counted(torch.autograd.Function):
    """The identity; each vector-Jacobian product through it adds one to a list."""

    @staticmethod
    def forward(ctx, x, passed):
        ctx.passed = passed
        return x.view_as(x)

    @staticmethod
    def backward(ctx, *grads):
        ctx.passed.append(1)
        return grads[0], None


def _count(work: Callable[[Callable], Any], field: nn.Module) -> int:
    """The vector-Jacobian products that ``work`` takes of the field that it is given."""
    passed: list[int] = []
    work(lambda t, z: _Counted.apply(field(t, z), passed))
    return len(passed)


@torch.no_grad()
def _shortest(work: Callable[[], Any]) -> float:
    """Seconds of the quickest call of several: those of a fifth of a second, at least three."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < 0.2:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def _cost(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    dim = cell.params["dim"]
    z, t = _points(TIMED_POINTS, dim, generator), torch.tensor(0.5, dtype=torch.float64)
    jacobians = _points(TIMED_MATRICES * dim, dim, generator).view(-1, dim, dim)
    noise = Hutchinson(generator=generator).draw(z)
    works: dict[str, Callable[[Any], Any]] = {
        "determinant": lambda f: torch.linalg.slogdet(jacobians),
        "exact": lambda f: exact_trace(f, t, z),
        "estimate": lambda f: noise(f, t, z),
        "closed": lambda f: closed_trace(field, t, z),
    }
    rows: list[Row] = []
    for name, work in works.items():
        batch = TIMED_MATRICES if name == "determinant" else TIMED_POINTS
        seconds = _shortest(partial(work, field)) / batch
        rows.append({"quantity": name, "vjps": _count(work, field), "time_s": seconds})
    return rows


# --- Hutchinson's estimate -----------------------------------------------------------------------


@torch.no_grad()
def _estimate(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    """Many estimates of the trace at one point, and of the log-density of one point."""
    dim, draws = cell.params["dim"], cell.params["draws"]
    z, t = _points(1, dim, generator), torch.tensor(0.5, dtype=torch.float64)
    many = z.expand(draws, dim).contiguous()
    jacobian = torch.func.jacrev(lambda x: field(t, x[None])[0])(z[0])
    squares = ((jacobian + jacobian.T) / 2).square()
    fewer = many[: draws // 8]
    exact, _ = _fall(field, z, exact_trace, MASS_TOLERANCE)
    rows: list[Row] = []
    for kind in ("rademacher", "gaussian"):
        hutchinson = Hutchinson(kind, generator)
        _, traces = hutchinson.draw(many)(field, t, many)
        own = squares.diagonal().sum() if kind == "rademacher" else 0.0
        found = _spread(kind, "trace", traces - jacobian.trace())
        rows.append({**found, "theory_variance": float(2 * (squares.sum() - own))})
        falls, _ = _fall(field, fewer, hutchinson.draw(fewer), MASS_TOLERANCE)
        rows.append(_spread(kind, "log_density", exact - falls))
    return rows


def _spread(noise: str, quantity: str, errors: Float64[Tensor, " draws"]) -> Row:
    variance = float(errors.var())
    return {
        "noise": noise,
        "quantity": quantity,
        "mean_error": float(errors.mean()),
        "standard_error": math.sqrt(variance / len(errors)),
        "variance": variance,
    }


def _renewed(generator: torch.Generator) -> Trace:
    """Noise that is drawn anew at each call, as it should not be."""
    hutchinson = Hutchinson(generator=generator)
    return lambda field, t, z: hutchinson.draw(z)(field, t, z)


@torch.no_grad()
def _noise(cell: Cell, field: nn.Module, generator: torch.Generator) -> list[Row]:
    """The cost of the way from data to base by each kind of trace and tolerance."""
    x = _points(32, cell.params["dim"], generator)
    state, ts = nn.functional.pad(x, (0, 1)), x.new_tensor([END, 0.0])
    traces: dict[str, Trace] = {
        "exact": exact_trace,
        "fixed": Hutchinson(generator=generator).draw(x),
        "renewed": _renewed(generator),
    }

    def observe(trace: Trace, tolerance: float) -> Row:
        augmented = LogDensityField(field, trace)
        solver = {**_at(tolerance), "max_num_steps": STEP_LIMIT}
        solution = solve(augmented, state, ts, **solver)
        error = reconstruction_error(augmented, state, solution.ys[-1], ts, solver)
        return {"nfe_forward": solution.stats.nfe_forward, "reconstruction_error": error}

    return [
        {"arm": arm, "tolerance": tolerance, **guarded(partial(observe, trace, tolerance))}
        for arm, trace in traces.items()
        for tolerance in NOISE_TOLERANCES
    ]


PARTS: dict[str, Callable[[Cell, Any, torch.Generator], list[Row]]] = {
    "determinant": _determinant,
    "mass": _mass,
    "printed": _printed,
    "cost": _cost,
    "estimate": _estimate,
    "noise": _noise,
}

# --- how it is judged ----------------------------------------------------------------------------


def _rows(df: pd.DataFrame, part: str, **chosen: Any) -> pd.DataFrame:
    """The rows of a part that were solved, with these values in these columns."""
    rows = df[(df["part"] == part) & (df["status"] == "ok")]
    for column, value in chosen.items():
        rows = rows[rows[column] == value]
    return rows


def _worst(part: str, column: str, how: str = "max", **chosen: Any) -> Callable:
    """Each seed's largest (or smallest) value of a column."""
    return lambda df: list(_rows(df, part, **chosen).groupby("repetition")[column].agg(how))


def _finest(df: pd.DataFrame) -> pd.DataFrame:
    """The row of the finest grid of each density."""
    rows = _rows(df, "mass")
    return rows.loc[rows.groupby(["field", "repetition"])["spacing"].idxmin()]


def _mass_error(df: pd.DataFrame) -> list[float]:
    """Each seed's largest |integral - 1|."""
    rows = _finest(df)
    return list((rows["mass"] - 1).abs().groupby(rows["repetition"]).max())


def _printed_error(how: str, *readings: str) -> Callable:
    def values(df: pd.DataFrame) -> list[float]:
        rows = _rows(df, "printed")
        rows = rows[rows["reading"].isin(readings)]
        return list(rows.groupby("repetition")["error"].agg(how))

    return values


def _printed_mass(df: pd.DataFrame) -> list[float]:
    """Each seed's smallest |integral - 1| of a density by the printed integral."""
    rows = _rows(df, "printed")
    rows = rows[rows["reading"].isin(PRINTED) & rows["mass"].notna()]
    return list((rows["mass"] - 1).abs().groupby(rows["repetition"]).min())


def _exponent(quantity: str) -> Callable[[pd.DataFrame], list[float]]:
    """The slope of log time over log dimension, over the three largest dimensions."""

    def values(df: pd.DataFrame) -> list[float]:
        rows = _rows(df, "cost", quantity=quantity).nlargest(3, "dim")
        return [log_slope(rows["dim"], rows["time_s"])]

    return values


def _products(quantity: str, per_dim: bool) -> Callable[[pd.DataFrame], list[float]]:
    def values(df: pd.DataFrame) -> list[float]:
        rows = _rows(df, "cost", quantity=quantity)
        return list(rows["vjps"] / rows["dim"] if per_dim else rows["vjps"])

    return values


def _bias(df: pd.DataFrame) -> list[float]:
    """Each seed's largest mean error in standard errors."""
    rows = _rows(df, "estimate")
    ratio = rows["mean_error"].abs() / rows["standard_error"]
    return list(ratio.groupby(rows["repetition"]).max())


def _variance_ratio(df: pd.DataFrame) -> list[float]:
    """Each seed's largest relative distance of a variance from the theory's."""
    rows = _rows(df, "estimate", quantity="trace")
    distance = (rows["variance"] / rows["theory_variance"] - 1).abs()
    return list(distance.groupby(rows["repetition"]).max())


def _evaluations(df: pd.DataFrame, arm: str) -> pd.Series:
    """Evaluations by seed and tolerance of the solves that can be taken back; failed ones blank."""
    rows = _rows(df, "noise", arm=arm)
    if arm != "renewed":
        rows = rows[rows["reconstruction_error"] < RECONSTRUCTION_LIMIT]
    return rows.set_index(["repetition", "tolerance"])["nfe_forward"]


def _fixed_ratio(df: pd.DataFrame) -> list[float]:
    ratio = (_evaluations(df, "fixed") / _evaluations(df, "exact")).dropna()
    return list(ratio.groupby("repetition").max())


def _exploded(df: pd.DataFrame) -> list[float]:
    """For each seed whether the renewed noise fails, or takes ten times as many evaluations."""
    fixed, renewed = _evaluations(df, "fixed"), _evaluations(df, "renewed")
    ratio = (renewed / fixed).reindex(fixed.index)
    judged = ratio[ratio.index.get_level_values("tolerance") == NOISE_JUDGED]
    return list((judged.isna() | (judged >= 10)).astype(float))


def _lacking_sizes(df: pd.DataFrame) -> str:
    """Where the flows hardly change a volume, an agreement says nothing."""
    rows = df[df["part"] == "determinant"]
    if (rows["status"] != "ok").any():
        return f"{int((rows['status'] != 'ok').sum())} of {len(rows)} solves failed"
    small = rows.groupby("field")["size"].max() < 0.1
    return f"log-determinants below 0.1 for {', '.join(small.index[small])}" if small.any() else ""


def _lacking_differences(df: pd.DataFrame) -> str:
    """Differences that are worse than what is judged by them say nothing."""
    rows = _rows(df, "printed", reading="total")
    bad = int((~(rows["reference_error"] <= GOOD_SLOPE)).sum())
    return f"the differences have not converged for {bad} of {len(rows)} densities" if bad else ""


def _lacking_grids(df: pd.DataFrame) -> str:
    """An integral that still changes when the grid is refined is none."""
    rows = _finest(df)
    bad = int((~(rows["mass_change"] <= CONVERGED)).sum())
    return f"the grid has not converged for {bad} of {len(rows)} densities" if bad else ""


def _lacking_dims(df: pd.DataFrame) -> str:
    largest = df[df["part"] == "cost"]["dim"].max()
    return f"largest dimension {largest:g}, at least 1024 needed" if not largest >= 1024 else ""


def _seeded(name: str, values: Callable, bounds: Bounds, because: str, **more: Any) -> Criterion:
    """A criterion that every seed has to pass."""
    statistic = "max" if math.isinf(bounds.at_least) else "min"
    options = {"statistic": statistic, "least_seeds": LEAST_SEEDS, **more}
    return Criterion(name, values, bounds, because, **options)


CRITERIA = [
    _seeded(
        f"integrated trace against log |det J|, largest difference at tolerance {JUDGED:g}",
        _worst("determinant", "error", tolerance=JUDGED),
        Bounds(at_most=AGREES),
        "the theorem is exact, so that only the errors of two float64 solves remain",
        lacking=_lacking_sizes,
    ),
    _seeded(
        f"linear field, integrated trace against tr(A) T at tolerance {JUDGED:g}",
        _worst("determinant", "closed_error", field="linear", tolerance=JUDGED),
        Bounds(at_most=AGREES),
        "the same, against a closed form that needs no solve",
    ),
    _seeded(
        "d/dt log p + tr(df/dz) along trajectories, largest residual",
        _printed_error("max", "total"),
        Bounds(at_most=HOLDS),
        "the theorem with the total derivative; differences in time are good to about 1e-8",
        lacking=_lacking_differences,
    ),
    _seeded(
        "integral of the density over a grid, largest distance from 1",
        _mass_error,
        Bounds(at_most=NORMALISED),
        "a density that is carried right keeps its mass; the grid and its edges are good to 1e-4",
        lacking=_lacking_grids,
    ),
    Criterion(
        "vector-Jacobian products of the exact trace, per dimension",
        _products("exact", per_dim=True),
        Bounds(at_most=1),
        "a trace takes one product for each dimension, which is the O(D) at issue",
        statistic="max",
    ),
    Criterion(
        "exponent of a planar layer's trace, time over dimension",
        _exponent("closed"),
        Bounds(at_most=1.2),
        "in closed form the trace is O(D); what is constant in the time only lowers the exponent",
        lacking=_lacking_dims,
    ),
    Criterion(
        "exponent of the log-determinant, time over dimension",
        _exponent("determinant"),
        Bounds(at_least=2, at_most=3.3),
        "O(D^3) operations; large matrices are factorised at a higher rate than small ones",
        lacking=_lacking_dims,
    ),
    _seeded(
        "Hutchinson's estimates, largest mean error in standard errors",
        _bias,
        Bounds(at_most=4),
        "an unbiased mean is beyond 4 standard errors once in 16,000 times",
    ),
    _seeded(
        "Hutchinson's estimates, largest distance of the variance from theory, relative",
        _variance_ratio,
        Bounds(at_most=0.2),
        "out of 16,384 draws the variance of a squared normal is known to 3%, and there are many;"
        " the wrong kind of noise is off by the part of the diagonal",
    ),
    _seeded(
        "noise fixed for the solve, evaluations over those of the exact trace",
        _fixed_ratio,
        Bounds(at_most=1.5),
        "with its noise fixed the estimate is a smooth function of time, as the trace is",
    ),
    _seeded(
        f"noise renewed at each call, fails or takes 10 times the evaluations at {NOISE_JUDGED:g}",
        _exploded,
        Bounds(at_least=1),
        "a field that is no function has an error that falls with the step to the first power only",
    ),
    _seeded(
        "tutorial: partial_t log p = -tr(df/dz), smallest residual",
        _printed_error("min", "partial_printed"),
        Bounds(at_least=SLIPS),
        "at a fixed point -f . grad log p is missing, which is of size one",
        decides=False,
    ),
    _seeded(
        "with -f . grad log p, largest residual",
        _printed_error("max", "partial_corrected"),
        Bounds(at_most=HOLDS),
        "the total derivative written out",
        decides=False,
    ),
    _seeded(
        "tutorial: planar integral without u, smallest residual",
        _printed_error("min", "integral_entries", "integral_slope"),
        Bounds(at_least=SLIPS),
        "the trace of u times a row is their product, so that u cannot be left out",
        decides=False,
    ),
    _seeded(
        "planar integral with u, largest residual",
        _printed_error("max", "integral_corrected"),
        Bounds(at_most=AGREES),
        "the theorem for one planar unit",
        decides=False,
    ),
    _seeded(
        "planar integral without u, smallest distance of its mass from 1",
        _printed_mass,
        Bounds(at_least=SLIPS),
        "what it makes is no density",
        decides=False,
    ),
    Criterion(
        "exponent of the exact trace by autograd, time over dimension",
        _exponent("exact"),
        Bounds(at_least=1, at_most=2.5),
        "D products, each of which is O(D) by itself: O(D) products are not O(D) time",
        lacking=_lacking_dims,
        decides=False,
    ),
]

# --- what is shown -------------------------------------------------------------------------------

FIELD_LOOKS = dict(zip(FIELDS, zip(COLOURS, MARKERS, strict=False), strict=False))
UNIT_LOOK = ("0.35", "h")
COST_LOOKS = {
    name: (COLOURS[i], marker)
    for name, i, marker in zip(COSTS, (4, 5, 9, 7), MARKERS, strict=False)
}
NOISE_LOOKS = {"rademacher": (COLOURS[0], "o"), "gaussian": (COLOURS[1], "s")}
ARM_LOOKS = {
    "exact": (COLOURS[2], "D", "exact"),
    "fixed": (COLOURS[0], "o", "fixed"),
    "renewed": (COLOURS[3], "v", "renewed"),
}


def figure(df: pd.DataFrame) -> Figure:
    """Agreement, normalisation and the printed formulas above; cost, estimates, noise below."""
    fig, axes = panels(2, 3, height=2.75, narrow="ab;c;d;ef")
    draw = (_agreement, _normalisation, _formulas, _costs, _variances, _noises)
    for ax, panel in zip(axes.flat, draw, strict=True):
        panel(ax, df)
    label_panels(axes.flat)
    add_legend(fig, _legend(), ncols=3, loc="outside upper center")
    return fig


def _legend() -> list[Line2D]:
    """What the colours and markers of the upper panels mean."""
    looks = {FIELDS[name]: look for name, look in FIELD_LOOKS.items()}
    looks["one planar unit"] = UNIT_LOOK
    handles = [
        Line2D([], [], color=colour, marker=marker, label=label)
        for label, (colour, marker) in looks.items()
    ]
    hollow = Line2D([], [], color="0.35", marker="o", mfc="white", linestyle="")
    hollow.set_label("hollow: as the tutorial prints it; failed in (f)")
    return [*handles, hollow]


def _agreement(ax: Axes, df: pd.DataFrame) -> None:
    """The largest difference of all seeds and dimensions, over the tolerance."""
    rows = _rows(df, "determinant")
    for name, (colour, marker) in FIELD_LOOKS.items():
        worst = rows[rows["field"] == name].groupby("tolerance")["error"].max()
        ax.loglog(worst.index, worst, color=colour, marker=marker)
    ax.axhline(AGREES, color="0.4", linestyle=":", linewidth=1)
    ax.set(title="Agreement", xlabel="tolerance")
    ax.set(ylabel=r"$|\int \mathrm{tr}\, dt - \log|\det J||$ (nats)")


def _normalisation(ax: Axes, df: pd.DataFrame) -> None:
    """A line for each density, from coarse grids to fine ones."""
    rows = _rows(df, "mass")
    for name, (colour, marker) in FIELD_LOOKS.items():
        for _, seed in rows[rows["field"] == name].groupby("repetition"):
            error = (seed["mass"] - 1).abs()
            ax.loglog(seed["spacing"], error, color=colour, marker=marker, linewidth=0.8)
    ax.axhline(NORMALISED, color="0.4", linestyle=":", linewidth=1)
    ax.set(title="Mass", xlabel="grid spacing (std. dev.)", ylabel=r"$|\int p\, dz - 1|$")


def _formulas(ax: Axes, df: pd.DataFrame) -> None:
    """The residuals of each formula, those of the tutorial hollow; a point a seed and field."""
    rows = _rows(df, "printed")
    for i, reading in enumerate(READINGS):
        for name, group in rows[rows["reading"] == reading].groupby("field"):
            colour, marker = FIELD_LOOKS.get(str(name), UNIT_LOOK)
            heights = i + np.linspace(-0.2, 0.2, len(group))
            fill = "white" if reading in PRINTED else colour
            ax.plot(group["error"], heights, marker, color=colour, mfc=fill, markersize=3.5)
    ax.axvline(HOLDS, color="0.4", linestyle=":", linewidth=1)
    ax.set(title="Formulas", xlabel="residual (nats)", xscale="log")
    ax.set_yticks(range(len(READINGS)), list(READINGS.values()), fontsize=6)
    ax.invert_yaxis()


def _costs(ax: Axes, df: pd.DataFrame) -> None:
    """Time over dimension, with the exponent at the largest dimensions."""
    for name, (colour, marker) in COST_LOOKS.items():
        rows = _rows(df, "cost", quantity=name).sort_values("dim")
        label = f"{COSTS[name]}: {_exponent(name)(df)[0]:.1f}"
        ax.loglog(rows["dim"], rows["time_s"], color=colour, marker=marker, label=label)
    ax.set(title="Cost and its exponent", xlabel="dimension D", ylabel="time a point (s)")
    low, high = ax.get_ylim()
    # Room for the legend above the lines.
    ax.set_ylim(low, high * 300)
    ax.legend(loc="upper left", fontsize=6.5)


def _variances(ax: Axes, df: pd.DataFrame) -> None:
    """What was measured for each seed, and the theory's mean over the seeds."""
    rows = _rows(df, "estimate", quantity="trace")
    for (kind, (colour, marker)), shift in zip(NOISE_LOOKS.items(), (0.92, 1.08), strict=True):
        own = rows[rows["noise"] == kind]
        theory = own.groupby("dim")["theory_variance"].mean()
        ax.loglog(theory.index, theory, color=colour, linewidth=1)
        ax.plot(own["dim"] * shift, own["variance"], marker, color=colour, label=kind)
    ax.plot([], [], color="0.35", linewidth=1, label="theory, mean")
    ax.set(title="Hutchinson's noise", xlabel="dimension D", ylabel="variance of the trace")
    dims = sorted(rows["dim"].unique())
    ax.set_xticks(dims, [f"{dim:g}" for dim in dims])
    ax.xaxis.minorticks_off()
    if in_column():
        leave_room(ax, 0.45, below=True)
    ax.legend(loc="lower right")


def _noises(ax: Axes, df: pd.DataFrame) -> None:
    """Evaluations of each solve, medians as lines; at the limit, hollow, what had not ended."""
    rows = df[df["part"] == "noise"]
    for arm, (colour, marker, label) in ARM_LOOKS.items():
        own = rows[rows["arm"] == arm]
        failed = own["status"] != "ok"
        spent = own["nfe_forward"].where(~failed, SPENT)
        middle = spent.groupby(own["tolerance"]).median()
        ax.loglog(middle.index, middle, color=colour)
        ax.plot(own["tolerance"][~failed], spent[~failed], marker, color=colour, label=label)
        ax.plot(own["tolerance"][failed], spent[failed], marker, color=colour, mfc="white")
    ax.axhline(SPENT, color="0.4", linestyle=":", linewidth=1, label="step limit")
    ax.set(title="Fixed, renewed", xlabel="tolerance", ylabel="forward evaluations")
    ax.legend(loc="upper left", bbox_to_anchor=(0, 0.93))


# A part, the columns that set its groups apart, the column that is summarised, and what that is.
SUMMARIES = [
    ("determinant", ["field", "dim", "tolerance"], "error", "trace - determinant, nats"),
    ("mass", ["field", "dim"], "mass_error", "|mass - 1| on the finest grid"),
    ("printed", ["reading", "field"], "error", "residual of a formula, nats"),
    ("cost", ["quantity", "dim"], "time_s", "time, seconds"),
    ("estimate", ["quantity", "noise", "dim"], "variance", "variance of Hutchinson's estimate"),
    ("noise", ["arm", "tolerance"], "nfe_forward", "forward evaluations"),
]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """The least, median and largest value of each setting of each part; failed solves counted."""
    df = pd.concat([df[df["part"] != "mass"], _finest(df)])
    df["mass_error"] = (df["mass"] - 1).abs()
    rows = []
    for part, columns, value, meaning in SUMMARIES:
        for keys, group in df[df["part"] == part].groupby(columns):
            values = group[group["status"] == "ok"][value]
            settings = [
                k if isinstance(k, str) else f"{c} {k:g}"
                for c, k in zip(columns, keys, strict=True)
            ]
            rows.append(
                {
                    "what": meaning,
                    "setting": ", ".join(settings),
                    "least": number(values.min()),
                    "median": number(values.median()),
                    "largest": number(values.max()),
                    "failed": f"{int((group['status'] != 'ok').sum())} of {len(group)}",
                }
            )
    return pd.DataFrame(rows)


CLAIM = Claim(
    slug=SLUG,
    title="A log-density falls by the integrated trace",
    statement="Along a flow d log p/dt = -tr(df/dz), so that an integrated trace, O(D), takes the"
    " place of a log-determinant, O(D^3).",
    source="Chen et al. 2018, sec. 4, theorem 1",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    cells=cells,
    measure=measure,
    criteria=CRITERIA,
    figure=figure,
    table=table,
)
