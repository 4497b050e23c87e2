"""Residual networks keep gradients alive, and they are Euler's method (the tutorial's first half).

Four things are measured: the gradient of a chain of scalar layers with and without skip
connections, Euler's method on the tutorial's example and the orders of the other methods, a
residual network against an Euler solve with step 1, and what happens as the depth grows.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise, product

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import integrate, special
from torch import Tensor

from neural_ode import METHODS, solve
from odeclaims.claim import Bounds, Cell, Claim, Column, Criterion, Evidence, Profile, Row
from odeclaims.report.style import COLOURS, MARKERS, in_column, label_panels, leave_room, panels
from odeclaims.report.tables import number
from odeclaims.statistics import log_slope, slope

SLUG = "euler_resnet"

LEDGER = [
    Evidence(
        "tutorial",
        "dy/dw1 = w3 w2 x0 (plain), (1 + w3)(1 + w2) x0 written out (residual)",
        "section on residual networks",
        "two hidden scalar layers",
    ),
    Evidence(
        "tutorial",
        "h = 1, 3, 15 and h' = 2, 12, 72 at t = 0, 1, 2",
        "table of solutions",
        "Euler, h' = 5h - 3, h(0) = 1, step 1",
    ),
    Evidence("derived", "h(1) = 59.97, h(2) = 8811.19", "the project's fact sheet", "exact"),
    Evidence(
        "paper",
        "a residual block is a step of Euler's method",
        "Chen et al. 2018, eqs. 1 and 2",
        "the limit of many small steps is an ODE",
    ),
    Evidence(
        "replication",
        "smooth weights: an ODE; independent weights: none at 1/N, an SDE at 1/sqrt(N)",
        "Cohen et al. 2021; Marion et al. 2022; from memory, high confidence",
        "trained and initialised residual networks",
    ),
]

DEVIATIONS = [
    "The tutorial has three layers and no numbers; depths up to 100 and normal weights are chosen"
    " here, as are the networks of the panels on depth.",
    "The adaptive pairs are run with fixed steps, shown and not judged: the high orders among them"
    " reach rounding before the leading term of their error is alone.",
    "The gradient of a residual chain does not vanish, but it may explode; only the former is the"
    " tutorial's claim.",
]

COLUMNS = {
    "part": Column("gradient, table, path, order, equality, limit, field or trajectory"),
    "arm": Column(
        "gradient: plain or residual; order: the method; equality and limit: how the layers'"
        " weights are drawn; trajectory: residual network or ODE network"
    ),
    "scale": Column("gradient: standard deviation of the weights"),
    "problem": Column("order: tutorial (h' = 5h - 3) or logistic (y' = 3y(1 - y))"),
    "step": Column("step of Euler's method or of the method, in units of t"),
    "depth": Column("number of layers, or of steps"),
    "chain": Column("trajectory: its number, from 0"),
    "t": Column("time"),
    "value": Column("h, or the state of a trajectory, or of the field"),
    "slope": Column("table: h'; field: the derivative of the state"),
    "printed": Column("table: h in the tutorial"),
    "printed_slope": Column("table: h' in the tutorial"),
    "exact": Column("the exact solution"),
    "evaluated": Column("trajectory: whether the solver evaluated the field here"),
    "log_gradient": Column("gradient: mean of ln |dy/dw1| over the chains"),
    "expected_slope": Column("gradient: E ln |w| or E ln |1 + w|, per layer"),
    "error": Column(
        "gradient: autograd against the closed form, largest over the chains;"
        " order and limit: against the exact solution, of independent layers with step 1/N against"
        " the input; equality: network against solve; all relative, no unit"
    ),
    "difference": Column("limit: relative distance between depth N and depth 2N"),
}

# --- what is run ---------------------------------------------------------------------------------

SCALES = (0.1, 0.5, 1.0, 2.0)
# Chains in a repetition: their mean takes the slope's standard error to about 0.01.
CHAINS = 200
DEPTHS = (1, 2, 3, 5, *range(10, 101, 10))
PATH_STEPS = (1.0, 0.5, 0.25, 0.1, 0.01)
PROBLEMS = ("tutorial", "logistic")
ARMS = ("tied", "smooth", "independent, 1/N", "independent, 1/sqrt(N)")


def cells(profile: Profile) -> Iterator[Cell]:
    """The tutorial's example once, everything with random weights once for each repetition."""
    yield Cell(SLUG, {"part": "table"})
    yield Cell(SLUG, {"part": "path"})
    methods = profile.pick(smoke=["euler", "rk4"], quick=list(METHODS), paper=list(METHODS))
    for method, problem in product(methods, PROBLEMS):
        yield Cell(SLUG, {"part": "order", "arm": method, "problem": problem})
    yield Cell(SLUG, {"part": "portrait"})
    for repetition in profile.repetitions(smoke=1, quick=5, paper=50):
        for arm, scale in product(("plain", "residual"), SCALES):
            params = {"part": "gradient", "arm": arm, "scale": scale}
            yield Cell(SLUG, params, repetition, paired=("arm",))
        for arm in ("tied", "untied"):
            yield Cell(SLUG, {"part": "equality", "arm": arm}, repetition)
        depths = profile.pick(smoke=(8, 16), quick=POWERS[:7], paper=POWERS)
        for arm, depth in product(ARMS, depths):
            params = {"part": "limit", "arm": arm, "depth": depth}
            yield Cell(SLUG, params, repetition, paired=("arm", "depth"))


POWERS = tuple(2**k for k in range(3, 13))


def measure(cell: Cell) -> list[Row]:
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
PRINTED = ((1, 2), (3, 12), (15, 72))


def _example(t: Tensor, h: Tensor) -> Tensor:
    """The tutorial's right-hand side."""
    return 5 * h - 3


def _example_exact(t: float) -> float:
    return 3 / 5 + 2 / 5 * math.exp(5 * t)


def _table(cell: Cell) -> list[Row]:
    """The tutorial's table, by this project's solver."""
    times = torch.arange(3, dtype=torch.float64)
    h = solve(_example, START, times, method="euler").ys
    return [
        {
            "step": 1.0,
            "depth": n,
            "t": float(n),
            "value": float(h[n]),
            "slope": float(_example(times[n], h[n])),
            "printed": float(PRINTED[n][0]),
            "printed_slope": float(PRINTED[n][1]),
            "exact": _example_exact(float(n)),
        }
        for n in range(len(PRINTED))
    ]


def _path(cell: Cell) -> list[Row]:
    """Euler's method on the tutorial's example with smaller steps, at the ends of (at most) 20."""
    rows: list[Row] = []
    for step in PATH_STEPS:
        count = round(2 / step)
        times = torch.arange(count + 1, dtype=torch.float64) * step
        h = solve(_example, START, times, method="euler").ys
        for n in range(0, count + 1, max(1, count // 20)):
            t = float(times[n])
            row: Row = {"step": step, "depth": n, "t": t, "value": float(h[n])}
            rows.append(row | {"exact": _example_exact(t)})
    return rows


def _order(cell: Cell) -> list[Row]:
    """The relative error at t = 1 over the number of steps."""
    method = str(cell.params["arm"])
    field, start, exact = {
        "tutorial": (_example, START, _example_exact(1.0)),
        "logistic": (lambda t, y: 3 * y * (1 - y), START / 10, 1 / (1 + 9 * math.exp(-3))),
    }[str(cell.params["problem"])]
    rows: list[Row] = []
    for count in _counts(METHODS[method].order):
        times = torch.tensor([0.0, 1.0], dtype=torch.float64)
        y = solve(field, start, times, method=method, step_size=1 / count).ys[-1]
        rows.append({"depth": count, "step": 1 / count, "error": abs(float(y) / exact - 1)})
    return rows


def _counts(order: int) -> tuple[int, ...]:
    """Numbers of steps: beyond the first large steps, and before the error is all rounding."""
    if order <= 3:
        return (64, 128, 256, 512)
    return (32, 64, 128, 256) if order <= 5 else (4, 8, 16, 32)


# Below this an error is rounding, and says nothing about the order.
ROUNDING = 1e-13

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
    drawn = [_Weights(generator) for _ in range(max(depths))]
    blocks = drawn[:1] * max(depths) if cell.params["arm"] == "tied" else drawn
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

PORTRAIT_DEPTH = 5
STARTS = (-4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5)


def portrait_field(t: Tensor | float, x: Tensor) -> Tensor:
    """A field in one dimension over the depth, chosen for the picture: nothing is trained."""
    t = torch.as_tensor(t, dtype=torch.float64)
    return 1.6 * torch.cos(0.9 * t) * torch.sin(0.8 * x + 0.5) - 0.1 * x


def _portrait(cell: Cell) -> list[Row]:
    """The same field as the blocks of a residual network and as an ODE: states and evaluations."""
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
    """A trajectory of the ODE, and where an adaptive solver looks at the field on its way."""
    seen = {0.0}

    def recorded(t: Tensor, x: Tensor) -> Tensor:
        seen.add(float(t))
        return portrait_field(t, x)

    ends = torch.tensor([0.0, PORTRAIT_DEPTH], dtype=torch.float64)
    solve(recorded, start, ends, method="bosh3", rtol=1e-2, atol=1e-2)
    looked_at = torch.tensor(sorted(t for t in seen if t <= PORTRAIT_DEPTH), dtype=torch.float64)
    smooth = torch.linspace(0, PORTRAIT_DEPTH, 51, dtype=torch.float64)
    rows: list[Row] = []
    for times, evaluated in ((smooth, False), (looked_at, True)):
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


# --- how it is judged ----------------------------------------------------------------------------


def part(df: pd.DataFrame, name: str, **where: str | float) -> pd.DataFrame:
    """The rows of a part whose columns have the given values."""
    chosen = (df["part"] == name) & (df["status"] == "ok")
    for column, value in where.items():
        chosen &= df[column] == value
    return df.loc[chosen]


def _numbers(df: pd.DataFrame, column: str) -> np.ndarray:
    return df[column].to_numpy(dtype=float)


def _worst(name: str) -> Callable[[pd.DataFrame], list[float]]:
    """For each repetition of a part, its largest error."""

    def worst(df: pd.DataFrame) -> list[float]:
        rows = part(df, name)
        errors, repetitions = _numbers(rows, "error"), _numbers(rows, "repetition")
        return [float(errors[repetitions == r].max()) for r in np.unique(repetitions)]

    return worst


def _three_layer_errors(df: pd.DataFrame) -> list[float]:
    """For each repetition, the largest error at the depth at which the tutorial writes it out."""
    return _worst("gradient")(df[(df["part"] != "gradient") | (df["depth"] == 3)])


def gradient_slopes(df: pd.DataFrame, arm: str, scale: float) -> np.ndarray:
    """For each repetition, the slope of ln |gradient| over the depth."""
    rows = part(df, "gradient", arm=arm, scale=scale)
    repetitions = _numbers(rows, "repetition")
    depth, log = _numbers(rows, "depth"), _numbers(rows, "log_gradient")
    return np.array(
        [slope(depth[repetitions == r], log[repetitions == r]) for r in np.unique(repetitions)]
    )


def _slope_errors(arm: str) -> Callable[[pd.DataFrame], list[float]]:
    """For each repetition, the distance of a slope to its expectation at the worst scale."""

    def errors(df: pd.DataFrame) -> list[float]:
        distances = []
        for scale in SCALES:
            expected = _numbers(part(df, "gradient", arm=arm, scale=scale), "expected_slope")[:1]
            distances.append(np.abs(gradient_slopes(df, arm, scale) - expected))
        return list(np.max(distances, axis=0))

    return errors


def _small_weights(df: pd.DataFrame) -> list[float]:
    """|slope| of the residual chain over that of the plain one at the smallest weights."""
    scale = min(SCALES)
    ratio = gradient_slopes(df, "residual", scale) / gradient_slopes(df, "plain", scale)
    return list(np.abs(ratio))


def _wrong_digits(df: pd.DataFrame) -> list[float]:
    """How many entries of the table are not equal to the tutorial's."""
    rows = part(df, "table")
    wrong = (_numbers(rows, "value") != _numbers(rows, "printed")).sum()
    wrong += (_numbers(rows, "slope") != _numbers(rows, "printed_slope")).sum()
    return [float(wrong)] if len(rows) == len(PRINTED) else []


def _step_one_error(df: pd.DataFrame) -> list[float]:
    """The relative error of the table's h at its last time."""
    last = part(df, "table", t=2.0)
    return list(np.abs(_numbers(last, "value") / _numbers(last, "exact") - 1))


def order_of(df: pd.DataFrame, method: str, problem: str) -> float:
    """The slope of log error over log step, errors that are rounding left out."""
    rows = part(df, "order", arm=method, problem=problem)
    step, error = _numbers(rows, "step"), _numbers(rows, "error")
    return log_slope(step[error > ROUNDING], error[error > ROUNDING])


def _euler_orders(df: pd.DataFrame) -> list[float]:
    return _order_distance(df, ["euler"])


def _other_orders(df: pd.DataFrame) -> list[float]:
    fixed = [m for m, tableau in METHODS.items() if not tableau.adaptive and m != "euler"]
    return _order_distance(df, fixed)


def _order_distance(df: pd.DataFrame, methods: list[str]) -> list[float]:
    pairs = product(methods, PROBLEMS)
    return [float(np.max([abs(order_of(df, m, p) - METHODS[m].order) for m, p in pairs]))]


def _rates(arm: str, column: str) -> Callable[[pd.DataFrame], list[float]]:
    """For each repetition, the slope of the log of a distance over the log of the depth."""

    def rates(df: pd.DataFrame) -> list[float]:
        rows = part(df, "limit", arm=arm)
        repetitions = _numbers(rows, "repetition")
        depth, distance = _numbers(rows, "depth"), _numbers(rows, column)
        groups = [repetitions == r for r in np.unique(repetitions)]
        return [log_slope(depth[g], distance[g]) for g in groups]

    return rates


def _too_shallow(df: pd.DataFrame) -> str:
    depth = _numbers(part(df, "limit"), "depth")
    if len(depth) and depth.max() / depth.min() >= 32:
        return ""
    return "depths over a factor of at least 32"


CRITERIA = [
    Criterion(
        "gradient by autograd against the closed form at depth 3, largest relative error",
        _three_layer_errors,
        Bounds(at_most=1e-12),
        because="a few roundings in float64; deeper chains cancel where a w is near -1",
        statistic="max",
    ),
    Criterion(
        "plain chain: distance of d ln|gradient| / d depth to E ln|w|, worst scale",
        _slope_errors("plain"),
        Bounds(at_most=0.05),
        because="the slope over 100 layers of 200 chains has a standard error of about 0.01",
        least_seeds=3,
    ),
    Criterion(
        "residual chain: distance of d ln|gradient| / d depth to E ln|1 + w|, worst scale",
        _slope_errors("residual"),
        Bounds(at_most=0.05),
        because="the slope over 100 layers of 200 chains has a standard error of about 0.01",
        least_seeds=3,
    ),
    Criterion(
        f"slope of the residual chain over that of the plain one at weights of {min(SCALES)}",
        _small_weights,
        Bounds(at_most=0.1),
        because="for the residual chain not to vanish, its slope has to be small beside the plain"
        " chain's; small weights are those of an initialised network",
        statistic="max",
        least_seeds=3,
    ),
    Criterion(
        "entries of the Euler table that differ from the tutorial's",
        _wrong_digits,
        Bounds(at_most=0),
        because="the table holds integers, which float64 computes without rounding",
    ),
    Criterion(
        "order of Euler's method, distance to 1",
        _euler_orders,
        Bounds(at_most=0.1),
        because="at these steps the next term of the error is a few percent",
        statistic="max",
    ),
    Criterion(
        "orders of the other fixed-grid methods, largest distance to their own",
        _other_orders,
        Bounds(at_most=0.3),
        because="a distance of one half would be as near to the next order",
        statistic="max",
    ),
    Criterion(
        "residual network against Euler with step 1, largest relative difference",
        _worst("equality"),
        Bounds(at_most=1e-12),
        because="both are the same sums, which may be rounded in another order",
        statistic="max",
    ),
    Criterion(
        "tied weights: d log(error) / d log N against the ODE",
        _rates("tied", "error"),
        Bounds(at_least=-1.1, at_most=-0.9),
        because="Euler's method has order 1",
        lacking=_too_shallow,
        least_seeds=3,
    ),
    Criterion(
        "weights smooth in depth: d log(error) / d log N against the ODE",
        _rates("smooth", "error"),
        Bounds(at_least=-1.1, at_most=-0.9),
        because="Euler's method has order 1 for a field that depends on time, too",
        lacking=_too_shallow,
        least_seeds=3,
    ),
    Criterion(
        "independent weights, step 1/N: d log(distance of N to 2N) / d log N",
        _rates("independent, 1/N", "difference"),
        Bounds(at_least=-0.75),
        because="independent layers only average out, at -1/2 by the central limit theorem; midway"
        " to the -1 of an ODE tells the two apart",
        lacking=_too_shallow,
        least_seeds=3,
    ),
    Criterion(
        "independent weights, step 1/sqrt(N): d log(distance of N to 2N) / d log N",
        _rates("independent, 1/sqrt(N)", "difference"),
        Bounds(at_least=-0.1),
        because="without a limit the distance does not shrink",
        lacking=_too_shallow,
        least_seeds=3,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """What the criteria do not say: exploding gradients, a useless step, the trivial limit."""
    sentences = []
    for scale in SCALES:
        found = gradient_slopes(df, "residual", scale)
        if len(found) and abs(value := float(np.median(found))) > 0.05:
            verb = "explodes" if value > 0 else "vanishes"
            sentences.append(
                f"With weights of {scale:g} the residual chain's gradient {verb} as well, by a"
                f" factor of {math.exp(value):.2f} a layer."
            )
    if errors := _worst("gradient")(df):
        sentences.append(
            f"Over all depths to {max(DEPTHS)} the largest error of a gradient by autograd is"
            f" {max(errors):.1e}, where 1 + w cancels."
        )
    if error := _step_one_error(df):
        sentences.append(
            f"The table's h(2) is off by {error[0]:.1%} of the solution: step times rate is 5."
        )
    arm = "independent, 1/N"
    rates = [r for c in ("difference", "error") for r in _rates(arm, c)(df) if math.isfinite(r)]
    if rates:
        sentences.append(
            "Independent layers with step 1/N do settle, on the input itself: the distances of N to"
            f" 2N and to the input shrink with exponents around {np.median(rates):.2f}. It takes"
            " 1/sqrt(N) to leave no limit."
        )
    return sentences


# --- what is shown -------------------------------------------------------------------------------


def table(df: pd.DataFrame) -> pd.DataFrame:
    """The numbers behind the panels: slopes, the Euler table, orders, exponents."""
    rows = []
    for arm, scale in product(("plain", "residual"), SCALES):
        expected = _numbers(part(df, "gradient", arm=arm, scale=scale), "expected_slope")
        measured = gradient_slopes(df, arm, scale)
        rows.append(_entry(f"ln|gradient| per layer, {arm}, s = {scale:g}", measured, expected[:1]))
    for _, row in part(df, "table").iterrows():
        rows.append(_entry(f"h({row['t']:g}) by Euler, step 1", [row["value"]], [row["printed"]]))
        rows.append(_entry(f"h({row['t']:g}) exact", [row["exact"]], []))
    for method, problem in product(METHODS, PROBLEMS):
        order = order_of(df, method, problem)
        rows.append(_entry(f"order of {method}, {problem}", [order], [METHODS[method].order]))
    for arm, column, theory in (
        ("tied", "error", [-1]),
        ("smooth", "error", [-1]),
        ("independent, 1/N", "difference", [-0.5]),
        ("independent, 1/sqrt(N)", "difference", [0]),
    ):
        rows.append(_entry(f"exponent of {column} in N, {arm}", _rates(arm, column)(df), theory))
    return pd.DataFrame(rows)


def _entry(quantity: str, values, expected) -> dict[str, str]:
    finite = [v for v in values if math.isfinite(v)]
    return {
        "quantity": quantity,
        "measured": number(float(np.median(finite)), 4) if finite else "",
        "expected": number(float(expected[0]), 4) if len(expected) else "",
    }


def figure(df: pd.DataFrame) -> Figure:
    """Six panels: gradients, Euler's steps, orders, depth to infinity, and the paper's Fig. 1."""
    fig, axes = panels(3, 2, height=2.4, narrow="a;b;c;d;ef")
    _draw_gradients(axes[0, 0], df)
    _draw_paths(axes[0, 1], df)
    _draw_orders(axes[1, 0], df)
    _draw_limits(axes[1, 1], df)
    _draw_network(axes[2, 0], df)
    _draw_ode(axes[2, 1], df)
    label_panels(axes.flat)
    return fig


def _draw_gradients(ax: Axes, df: pd.DataFrame) -> None:
    """Medians over the repetitions."""
    for arm, dash, mark in (("residual", "-", "o"), ("plain", ":", "s")):
        for i, scale in enumerate(SCALES):
            rows = part(df, "gradient", arm=arm, scale=scale)
            median = _medians(rows, "log_gradient") / math.log(10)
            ax.plot(_values(rows, "depth"), median, dash, marker=mark, color=COLOURS[i], ms=3)
    for i, scale in enumerate(SCALES):
        ax.plot([], [], color=COLOURS[i], label=f"s = {scale:g}")
    ax.plot([], [], "-", marker="o", color="0.3", ms=3, label="residual")
    ax.plot([], [], ":", marker="s", color="0.3", ms=3, label="plain")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_yticks([-100, -10, -1, 0, 1, 10], ["-100", "-10", "-1", "0", "1", "10"])
    ax.set(xlabel="Depth (layers)", ylabel=r"Mean $\log_{10}|\mathrm{d}y/\mathrm{d}w_1|$")
    ax.set_ylim(-300, 2000)
    ax.set_title("Gradient of a chain, $w \\sim N(0, s^2)$")
    if in_column():
        leave_room(ax, 0.15)
    ax.legend(ncols=3, loc="upper center")


def _values(rows: pd.DataFrame, column: str) -> np.ndarray:
    return np.unique(_numbers(rows, column))


def _medians(rows: pd.DataFrame, column: str, by: str = "depth") -> np.ndarray:
    """The median over the repetitions at each value of another column."""
    where, values = _numbers(rows, by), _numbers(rows, column)
    return np.array([np.median(values[where == v]) for v in np.unique(where)])


def _draw_paths(ax: Axes, df: pd.DataFrame) -> None:
    t = np.linspace(0, 2, 101)
    ax.plot(t, [_example_exact(x) for x in t], color="0.2", label="exact")
    for i, step in enumerate((0.01, 0.1, 0.5, 1.0)):
        path = part(df, "path", step=step)
        label = rf"Euler, $\alpha$ = {step:g}"
        x, y = _numbers(path, "t"), _numbers(path, "value")
        ax.plot(x, y, "--", marker=MARKERS[i], color=COLOURS[i], ms=3, label=label)
    rows = part(df, "table")
    for t_n, h, exact in zip(*(_numbers(rows, c) for c in ("t", "value", "exact")), strict=True):
        if t_n == 0:
            continue
        for y, text, side in ((h, f"{h:g}", "top"), (exact, f"{exact:.2f}", "bottom")):
            shift = (-2, -3 if side == "top" else 3)
            ax.annotate(
                text, (t_n, y), shift, textcoords="offset points", fontsize=7, ha="right", va=side
            )
    ax.set_yscale("log")
    ax.set(xlabel="t", ylabel="h(t)", ylim=(0.4, 4e4))
    ax.set_title("The tutorial's table, $h' = 5h - 3$")
    if in_column():
        leave_room(ax, 0.25)
    ax.legend(loc="upper left", ncols=2 if in_column() else 1)


ORDER_CURVES = ("euler", "midpoint", "bosh3", "rk4", "dopri5", "dopri8")


def _draw_orders(ax: Axes, df: pd.DataFrame) -> None:
    """Errors and, at the left end of each curve, the fitted order."""
    for i, method in enumerate(ORDER_CURVES):
        rows = part(df, "order", arm=method, problem="tutorial")
        step, error = _numbers(rows, "step"), _numbers(rows, "error")
        step, error = step[error > ROUNDING], error[error > ROUNDING]
        if not len(step):
            continue
        ax.plot(step, error, marker=MARKERS[i % len(MARKERS)], color=COLOURS[i])
        ax.annotate(
            f"{method}: {order_of(df, method, 'tutorial'):.2f}",
            (step[-1], error[-1]),
            xytext=(-5, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=7,
            color=COLOURS[i],
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(1.5e-4, 0.4)
    ax.set(xlabel=r"Step $\alpha$", ylabel="Relative error at t = 1")
    ax.set_title("Fitted order of convergence")


def _draw_limits(ax: Axes, df: pd.DataFrame) -> None:
    """Medians and ranges over the repetitions."""
    names = {
        "independent, 1/sqrt(N)": r"independent, $1/\sqrt{N}$",
        "independent, 1/N": "independent, $1/N$",
        "smooth": "smooth, $1/N$",
        "tied": "tied, $1/N$",
    }
    for i, (arm, name) in enumerate(names.items()):
        rows = part(df, "limit", arm=arm)
        depth, distance = _numbers(rows, "depth"), _numbers(rows, "difference")
        n = np.unique(depth)
        low, high = (np.array([f(distance[depth == d]) for d in n]) for f in (np.min, np.max))
        ax.fill_between(n, low, high, color=COLOURS[i], alpha=0.2, linewidth=0)
        ax.plot(n, _medians(rows, "difference"), marker=MARKERS[i], color=COLOURS[i], label=name)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_ylim(top=1e3)
    ax.set(xlabel="Depth N (layers)", ylabel="Relative distance, N to 2N")
    ax.set_title("Depth to infinity")
    if in_column():
        leave_room(ax, 0.2)
    ax.legend(loc="upper left", ncols=2, title="weights, step", alignment="left")


def _draw_network(ax: Axes, df: pd.DataFrame) -> None:
    """Finite moves at whole depths, as in the left half of Fig. 1 of Chen et al."""
    field, moves = part(df, "field"), part(df, "trajectory", arm="residual network")
    whole = field.loc[np.isin(field["t"], np.arange(PORTRAIT_DEPTH))]
    _arrows(ax, whole)
    for _, path in moves.groupby("chain"):
        ax.plot(path["value"], path["t"], "-", marker="o", color="0.1", linewidth=0.9, ms=3.5)
    _dress(ax, "Residual network")


def _draw_ode(ax: Axes, df: pd.DataFrame) -> None:
    """A vector field and its trajectories, as in the right half of that figure."""
    _arrows(ax, part(df, "field"))
    for evaluated, line in ((False, "-"), (True, "o")):
        rows = part(df, "trajectory", arm="ODE network", evaluated=evaluated)
        for _, path in rows.groupby("chain"):
            ax.plot(path["value"], path["t"], line, color="0.1", linewidth=0.9, ms=2.2)
    _dress(ax, "ODE network")


def _arrows(ax: Axes, rows: pd.DataFrame) -> None:
    ax.quiver(
        rows["value"],
        rows["t"],
        rows["slope"],
        np.ones(len(rows)),
        angles="xy",
        color=COLOURS[9],
        width=0.0035,
        scale=30,
    )


def _dress(ax: Axes, title: str) -> None:
    ax.set(xlabel="State x", ylabel="Depth t", xlim=(-5.4, 5.4), ylim=(-0.15, 5.45))
    ax.set_title(title)
    ax.grid(visible=False)


CLAIM = Claim(
    slug=SLUG,
    title="Residual networks, their gradients and Euler's method",
    statement="Skip connections keep gradients of small weights from vanishing, a residual network"
    " is Euler's method with step 1, and its limit in depth is an ODE.",
    source="the tutorial of 2020-04-10, first half; Chen et al. 2018, section 1",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    cells=cells,
    measure=measure,
    criteria=CRITERIA,
    figure=figure,
    table=table,
    caveats=caveats,
)
