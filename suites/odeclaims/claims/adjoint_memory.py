"""The adjoint's memory is constant in depth (Chen et al. 2018, Table 1, memory column).

The model is held fixed and only its own number of function evaluations is raised, by more steps or
a tighter tolerance. A sweep over the layers of a ResNet, as some replications make, tests another
axis. A second sweep raises the number of output times instead: there the adjoint is not constant,
since the state at every output is stored, which is what users met who could not replicate the
claim. Beside the two arms of the claim stand three other gradient methods, for a reader who has to
choose one: error against memory against time.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from itertools import product

import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor, nn

from neural_ode import (
    Adjoint,
    Backprop,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    Solution,
    solve,
)
from neural_ode.data import mnist
from neural_ode.memory import SavedBytes, peak_allocated
from neural_ode.networks import ConvField, MLPField, conv_stem
from neural_ode.networks.mlp import initialise
from odeclaims.claim import (
    Bounds,
    Cell,
    Claim,
    Column,
    Criterion,
    Evidence,
    FlipMap,
    Profile,
    Row,
    guarded,
)
from odeclaims.report.style import COLOURS, add_legend, label_panels, panels
from odeclaims.report.tables import number
from odeclaims.statistics import log_slope
from odeclaims.validity import STAMP_COLUMNS, reconstruction_error, relative_error, stamp

FIELDS = ("conv", "mlp")
GRADIENTS = {
    "backprop": Backprop(),
    "adjoint": Adjoint(),
    "checkpointed": Checkpointed(),
    "interpolated": InterpolatedAdjoint(),
    "reversible": Reversible(),
}
# Forward and backward passes of which the median time is taken.
TIMED = 3
CONV_BATCH, MLP_BATCH = 8, 512
MIB = 2**20
SWEEPS = {"steps": "more steps", "tolerance": "tighter tolerance", "outputs": "more outputs"}
# A slope that is nearly none, and one that grows much more slowly than the evaluations.
FLAT, NEARLY_FLAT = Bounds(at_most=0.05), Bounds(at_most=0.2)
# Where a ReLU bends the gradient converges only to first order, whatever the method and tolerance,
# so the cheapest reference for the conv field is a low-order one with many steps.
REFERENCE = {"conv": ("midpoint", 128), "mlp": ("rk4", 64)}

LEDGER = [
    Evidence(
        "paper",
        "O(1) against O(L~) for RK-Net and O(L) for ResNet",
        "Chen et al. 2018, Table 1",
        "MNIST, L~ the number of evaluations; an order, no bytes are printed",
    ),
    Evidence(
        "replication",
        "adjoint 442 MB, +0.0007 MB per NFE; backprop 689 to 3185 MB, +31.8 MB per NFE",
        "VanniLeonardo/re-augmented-neural-odes (2026, unreviewed)",
        "conv ODE-Net on CUDA, NFE 14 to 92",
    ),
    Evidence(
        "users",
        "could not replicate O(1)",
        "torchdiffeq issue 259",
        "1000 output times; the stored outputs are the likely cause",
    ),
]

DEVIATIONS = [
    "The paper prints an order; bytes are measured here on a conv field over real MNIST images and"
    " on a small MLP, neither trained, since memory does not depend on the weights.",
    "Fixed steps of rk4 set the NFE in the headline sweep, so that both arms do the same work; a"
    " sweep over dopri5's tolerance stands beside it. The reversible arm has a solver of its own,"
    " reversible Heun, with four steps for one of rk4, which is the same work again.",
    "Bytes are those that autograd holds, parameters apart; the allocator's peak, which also counts"
    " stage buffers, temporaries and gradients, is a column of its own.",
]

COLUMNS = {
    "field": Column("conv (64 x 6 x 6 feature maps of MNIST digits) or mlp (64-64-64, tanh)"),
    "gradient": Column(
        "gradient method: backprop (through the solver), adjoint (default norm), checkpointed,"
        " interpolated, or reversible (with reversible_heun as solver)"
    ),
    "sweep": Column(
        "what raises the cost: steps (rk4; four of reversible_heun for one), tolerance (dopri5) or"
        " outputs (dopri5)"
    ),
    "level": Column("number of steps of rk4, tolerance, or number of output times"),
    "nfe_forward": Column("field evaluations of the forward solve"),
    "nfe_backward": Column("field evaluations on the way back, empty for backprop"),
    "held_bytes": Column("bytes held for the backward pass when the forward pass is done"),
    "peak_saved_bytes": Column("most bytes held for a backward pass at any moment"),
    "peak_allocated_bytes": Column(
        "the allocator's peak over forward and backward, beyond what was there before", varies=True
    ),
    "time_s": Column(
        f"seconds of a forward and a backward pass on one thread, median of {TIMED}", varies=True
    ),
    **STAMP_COLUMNS,
}


def cells(profile: Profile):
    """One cell for each field, gradient and level; all arms share weights and data."""
    levels = {
        "steps": profile.pick(smoke=(1, 16), quick=_doubling(5), paper=_doubling(9)),
        "tolerance": profile.pick(smoke=(1e-2,), quick=_decades(1, 5), paper=_decades(1, 7)),
        "outputs": profile.pick(smoke=(2,), quick=(2, 10, 30), paper=(2, 10, 30, 100, 1000)),
    }
    for repetition in profile.repetitions(smoke=1, quick=1, paper=3):
        for field in profile.pick(smoke=("mlp",), quick=FIELDS, paper=FIELDS):
            for sweep, values in levels.items():
                if sweep == "outputs" and field == "conv" and profile.name != "paper":
                    continue
                for gradient in GRADIENTS:
                    for level in values:
                        yield Cell(
                            "adjoint_memory",
                            {"field": field, "gradient": gradient, "sweep": sweep, "level": level},
                            repetition,
                            profile.device,
                            alone=True,
                            paired=("gradient", "sweep", "level"),
                        )


def _doubling(count: int) -> tuple[int, ...]:
    return tuple(2**i for i in range(count + 1))


def _decades(first: int, last: int) -> tuple[float, ...]:
    return tuple(10.0**-i for i in range(first, last + 1))


@dataclass(frozen=True)
class Problem:
    """A field and a batch of states, both float32, shape [batch, *features]."""

    field: nn.Module
    y0: Tensor


@cache
def _problem(field: str, seed: int, device: str) -> Problem:
    """The conv field with the stem's features of random training digits, or the MLP with noise."""
    generator = torch.Generator().manual_seed(seed)
    if field == "mlp":
        y0 = torch.randn(MLP_BATCH, 64, generator=generator)
        return Problem(MLPField(64, 64, generator=generator).to(device), y0.to(device))
    images = mnist.load("train").images
    batch = images[torch.randperm(len(images), generator=generator)[:CONV_BATCH]]
    stem = conv_stem()
    initialise(stem, generator)
    with torch.no_grad():
        y0 = stem(mnist.normalised(batch))
    return Problem(ConvField(generator=generator).to(device), y0.to(device))


def _settings(sweep: str, level: float, gradient: str = "adjoint") -> tuple[Tensor, dict]:
    """The output times and the settings of ``solve`` for a level of a sweep."""
    if gradient == "reversible":
        ts, settings = _settings(sweep, level)
        finer = {"step_size": 1 / (4 * level)} if sweep == "steps" else {}
        return ts, settings | finer | {"method": "reversible_heun"}
    if sweep == "steps":
        return torch.tensor([0.0, 1.0]), {"method": "rk4", "step_size": 1 / level}
    if sweep == "tolerance":
        return torch.tensor([0.0, 1.0]), {"rtol": level, "atol": level}
    return torch.linspace(0, 1, int(level)), {"rtol": 1e-3, "atol": 1e-3}


def loss_of(ys: Tensor) -> Tensor:
    """Half the mean square of the states after the first, over all times and entries."""
    return ys[1:].square().mean() / 2


@cache
def _reference(field: str, seed: int, device: str, sweep: str, level: float) -> tuple:
    """The gradient in float64 by many small steps, and its distance to that by half as many."""
    problem = _problem(field, seed, device)
    double = Problem(deepcopy(problem.field).double(), problem.y0.double())
    ts = _settings(sweep, level)[0].double().to(device)
    method, steps = REFERENCE[field]
    tight, loose = (
        _gradient(double, partial(solve, method=method, step_size=1 / n), ts)
        for n in (steps, steps // 2)
    )
    return tight, relative_error(loose, tight)


def _gradient(problem: Problem, solver: Callable[..., Solution], ts: Tensor) -> Tensor:
    """The loss's gradient with respect to the state and all parameters, as one vector."""
    y0 = problem.y0.detach().requires_grad_(True)
    loss = loss_of(solver(problem.field, y0, ts).ys)
    gradients = torch.autograd.grad(loss, [y0, *problem.field.parameters()])
    return torch.cat([g.reshape(-1) for g in gradients])


def measure(cell: Cell) -> list[Row]:
    """One row: bytes, evaluations, and how good the gradient is that they bought."""
    return [guarded(lambda: _observe(cell))]


def _observe(cell: Cell) -> Row:
    field, gradient = cell.params["field"], cell.params["gradient"]
    sweep, level = cell.params["sweep"], cell.params["level"]
    problem = _problem(field, cell.seed, cell.device)
    ts, settings = _settings(sweep, level, str(gradient))
    ts = ts.to(cell.device)
    solver = partial(solve, gradient=GRADIENTS[gradient], **settings)
    meter, held, solution, value = _metered(problem, solver, ts)
    tight, reference_error = _reference(
        field, cell.seed, cell.device, *((sweep, level) if sweep == "outputs" else ("steps", 1))
    )
    peak = peak_allocated(lambda: _gradient(problem, solver, ts), torch.device(cell.device))
    ends = ts[[0, -1]]
    return {
        "nfe_forward": solution.stats.nfe_forward,
        "nfe_backward": solution.stats.nfe_backward,
        "held_bytes": held,
        "peak_saved_bytes": meter.peak,
        "peak_allocated_bytes": peak,
        "time_s": _time(lambda: _gradient(problem, solver, ts), cell.device),
        **stamp(
            reconstruction_error(problem.field, problem.y0, solution.ys[-1], ends, settings),
            relative_error(value, tight),
            reference_error,
        ),
    }


def _time(work: Callable[[], object], device: str) -> float:
    """The median time of a few runs, all of which find everything warm."""
    times = []
    for _ in range(TIMED):
        started = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _metered(
    problem: Problem, solver: Callable[..., Solution], ts: Tensor
) -> tuple[SavedBytes, int, Solution, Tensor]:
    """One forward and backward pass under the meter, with the bytes held between the two."""
    y0 = problem.y0.detach().requires_grad_(True)
    parameters = list(problem.field.parameters())
    gc.collect()
    with SavedBytes(ignore=[y0, *parameters]) as meter:
        solution = solver(problem.field, y0, ts)
        held = meter.held
        gradients = torch.autograd.grad(loss_of(solution.ys), [y0, *parameters])
    return meter, held, solution, torch.cat([g.reshape(-1) for g in gradients])


def _slopes(df: pd.DataFrame, gradient: str, column: str, sweep: str = "steps") -> list[float]:
    """The log-log slope of a column over forward NFE in a sweep, for each field and repetition.

    In the sweep over outputs it is that over their number.
    """
    rows = df[(df["sweep"] == sweep) & (df["gradient"] == gradient) & (df["status"] == "ok")]
    over = "level" if sweep == "outputs" else "nfe_forward"
    groups = rows.groupby(["field", "repetition"])
    return [log_slope(group[over], group[column]) for _, group in groups]


def flips(df: pd.DataFrame) -> FlipMap:
    """How steeply each method's memory grows with each thing that raises the cost.

    Over the evaluations, and in the last column over the number of output times.
    """
    values = []
    for field, gradient, (sweep, label) in product(FIELDS, GRADIENTS, SWEEPS.items()):
        slopes = _slopes(df[df["field"] == field], gradient, "peak_saved_bytes", sweep)
        steepest = max(map(abs, slopes), default=math.nan)
        values.append({"panel": field, "row": gradient, "column": label, "value": steepest})
    return FlipMap(
        "|slope| of log peak saved bytes over log NFE, or over log number of outputs",
        pd.DataFrame(values),
        "gradient method",
        "what raises the cost",
        FLAT,
        NEARLY_FLAT,
    )


def _shares(df: pd.DataFrame, gradient: str) -> list[float]:
    """A method's peak saved bytes over backprop's at the most steps, for each field."""
    rows = df[(df["sweep"] == "steps") & (df["status"] == "ok")]
    finest = rows[rows["level"] == rows["level"].max()]
    peaks = finest.pivot_table("peak_saved_bytes", ["field", "repetition"], "gradient")
    return list(peaks[gradient] / peaks["backprop"])


def _lacking_span(df: pd.DataFrame) -> str:
    """A slope speaks only over a wide enough range of NFE."""
    nfe = df[(df["sweep"] == "steps") & (df["status"] == "ok")]["nfe_forward"]
    span = nfe.max() / nfe.min() if len(nfe) else 0
    return "" if span >= 16 else f"NFE spans a factor of {span:.3g}, at least 16 needed"


def _finest_gradient_error(df: pd.DataFrame) -> list[float]:
    """The adjoint's gradient error at the most steps, for each field and repetition."""
    rows = df[(df["sweep"] == "steps") & (df["gradient"] == "adjoint") & (df["status"] == "ok")]
    finest = rows[rows["level"] == rows["level"].max()]
    return list(finest["gradient_error"])


CRITERIA = [
    Criterion(
        "adjoint, |slope| of log peak saved bytes over log NFE",
        lambda df: [abs(s) for s in _slopes(df, "adjoint", "peak_saved_bytes")],
        FLAT,
        "a constant has slope 0; 0.05 is 19% more over a factor of 32",
        partly=NEARLY_FLAT,
        statistic="max",
        lacking=_lacking_span,
    ),
    Criterion(
        "adjoint, |slope| of log allocator peak over log NFE",
        lambda df: [abs(s) for s in _slopes(df, "adjoint", "peak_allocated_bytes")],
        FLAT,
        "the same for everything allocated, so that nothing hides from the first meter",
        partly=NEARLY_FLAT,
        statistic="max",
        lacking=_lacking_span,
    ),
    Criterion(
        "backprop, slope of log peak saved bytes over log NFE",
        lambda df: _slopes(df, "backprop", "peak_saved_bytes"),
        Bounds(at_least=0.8),
        "growth in proportion has slope 1; a constant part lowers it a little",
        statistic="min",
        lacking=_lacking_span,
    ),
    Criterion(
        "adjoint, gradient error at the most steps",
        _finest_gradient_error,
        Bounds(at_most=1e-2),
        "little memory is worth nothing with a wrong gradient; 1% is the stamp's limit",
        statistic="max",
        lacking=_lacking_span,
    ),
    Criterion(
        "reversible, |slope| of log peak saved bytes over log NFE",
        lambda df: [abs(s) for s in _slopes(df, "reversible", "peak_saved_bytes")],
        FLAT,
        "steps that are taken back are not kept, so this is a constant as well",
        partly=NEARLY_FLAT,
        statistic="max",
        lacking=_lacking_span,
        decides=False,
    ),
    Criterion(
        "checkpointed, share of backprop's peak saved bytes at the most steps",
        lambda df: _shares(df, "checkpointed"),
        Bounds(at_most=0.25),
        "one state a step against the graph of four evaluations, each of which holds at least one"
        " tensor of the state's size; the graph of a single step comes on top",
        statistic="max",
        lacking=_lacking_span,
        decides=False,
    ),
]


def caveats(df: pd.DataFrame) -> list[str]:
    """What the headline does not say: memory over outputs, and the rows that fail their checks."""
    found = []
    rows = df[(df["sweep"] == "outputs") & (df["gradient"] == "adjoint") & (df["status"] == "ok")]
    for field, group in rows.groupby("field"):
        ordered = group.sort_values("level")
        first, last = ordered.iloc[0], ordered.iloc[-1]
        growth = last["held_bytes"] / first["held_bytes"]
        cost = last["nfe_backward"] / first["nfe_backward"]
        found.append(
            f"The adjoint is not constant over output times ({field}): from {first['level']:g} to"
            f" {last['level']:g} of them it holds {growth:.3g} times the bytes and evaluates the"
            f" field {cost:.3g} times as often on its way back."
        )
    bad = df[(df["status"] == "ok") & ~df["valid"].astype(bool)]
    if len(bad):
        found.append(
            f"{len(bad)} of {len(df)} rows fail a validity check (mostly coarse steps or loose"
            " tolerances); they are drawn hollow."
        )
    return found


def figure(df: pd.DataFrame) -> Figure:
    """Memory over NFE and over output times, and what an error costs in memory and in time."""
    fig, axes = panels(2, 2, height=2.6)
    memory, outputs, by_memory, by_time = axes.flat
    ok = df[df["status"] == "ok"]
    _lines(memory, ok[ok["sweep"] == "steps"], "nfe_forward", "peak_saved_bytes", (1, MIB))
    memory.set(title="Memory over depth", xlabel="NFE forward", ylabel="peak held (MiB)")
    over_outputs = ok[ok["sweep"] == "outputs"]
    _lines(outputs, over_outputs, "level", "peak_saved_bytes", (1, MIB))
    outputs.set(title="Memory over output times", xlabel="output times", ylabel="peak held (MiB)")
    over_tolerance = ok[ok["sweep"] == "tolerance"]
    _lines(by_memory, over_tolerance, "peak_saved_bytes", "gradient_error", (MIB, 1))
    by_memory.set(title="What an error costs in memory", xlabel="peak held (MiB)")
    _lines(by_time, over_tolerance, "time_s", "gradient_error", (1e-3, 1))
    by_time.set(title="What an error costs in time", xlabel="forward and backward (ms)")
    for ax in axes.flat:
        ax.set(xscale="log", yscale="log")
    for ax in (by_memory, by_time):
        ax.axhline(1e-2, color="0.5", linestyle=":", linewidth=1)
        ax.set_ylabel("relative gradient error")
    outputs.sharey(memory)
    _plain_ticks(outputs, over_outputs["level"])
    label_panels(axes.flat)
    add_legend(fig, _legend(), ncols=7)
    return fig


LOOKS = {
    "backprop": (COLOURS[1], "--"),
    "adjoint": (COLOURS[0], "-"),
    "checkpointed": (COLOURS[2], "-."),
    "interpolated": (COLOURS[4], "-"),
    "reversible": (COLOURS[3], ":"),
}
FIELD_MARKERS = {"conv": "s", "mlp": "o"}


def _legend() -> list[Line2D]:
    """Colour and dash say the gradient method, the marker says the field."""
    methods = [Line2D([], [], color=c, ls=d, label=n) for n, (c, d) in LOOKS.items()]
    fields = [
        Line2D([], [], color="0.3", linestyle="", marker=m, label=n)
        for n, m in FIELD_MARKERS.items()
    ]
    return methods + fields


def _plain_ticks(ax, levels: pd.Series) -> None:
    """Ticks at the levels that were measured, as plain numbers."""
    values = sorted(levels.unique())
    ax.set_xticks(values, [f"{value:g}" for value in values])
    ax.set_xticks([], minor=True)


def _groups(df: pd.DataFrame, *columns: str) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """The groups of rows that agree in these columns of words, with the words."""
    for _, group in df.groupby(list(columns)):
        yield [str(group[column].iloc[0]) for column in columns], group


def _lines(ax, df: pd.DataFrame, x: str, y: str, units: tuple[float, float]) -> None:
    """One line an arm: colour and dash by gradient, marker by field, hollow where not valid."""
    for (field, gradient), group in _groups(df, "field", "gradient"):
        middle = group.groupby("level", as_index=False).median(numeric_only=True)
        colour, dash = LOOKS[gradient]
        valid = middle["level"].map(group.groupby("level")["valid"].all()).astype(bool)
        across, up = middle[x] / units[0], middle[y] / units[1]
        marker = FIELD_MARKERS[field]
        ax.plot(across, up, dash, color=colour, marker=marker)
        ax.plot(across[~valid], up[~valid], marker, color=colour, markerfacecolor="white")


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Each arm of each sweep: ranges of NFE and bytes, slope, and the gradient's error."""
    rows = []
    ok = df[df["status"] == "ok"]
    for (field, sweep, gradient), group in _groups(ok, "field", "sweep", "gradient"):
        group = group.sort_values("nfe_forward")
        axis = "level" if sweep == "outputs" else "nfe_forward"
        rows.append(
            {
                "field": field,
                "over": {"steps": "NFE (fixed)", "tolerance": "NFE (adaptive)"}.get(
                    sweep, "outputs"
                ),
                "gradient": gradient,
                "from": number(group[axis].min()),
                "to": number(group[axis].max()),
                "held (MiB)": _range(group["held_bytes"] / MIB),
                "peak held (MiB)": _range(group["peak_saved_bytes"] / MIB),
                "allocator peak (MiB)": _range(group["peak_allocated_bytes"] / MIB),
                "slope": number(log_slope(group[axis], group["peak_saved_bytes"]), 2),
                "gradient error": _range(group["gradient_error"], 2),
                "time (ms)": _range(group["time_s"] * 1e3, 2),
            }
        )
    return pd.DataFrame(rows)


def _range(values: pd.Series, digits: int = 3) -> str:
    low, high = number(values.min(), digits), number(values.max(), digits)
    return low if low == high else f"{low} to {high}"


CLAIM = Claim(
    slug="adjoint_memory",
    title="The adjoint's memory is constant in depth",
    statement="Training with the adjoint needs O(1) memory in the number of function evaluations.",
    source="Chen et al. 2018, Table 1 and sec. 2",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    cells=cells,
    measure=measure,
    criteria=CRITERIA,
    figure=figure,
    flips=flips,
    table=table,
    caveats=caveats,
    datasets={"mnist": mnist.DIGEST},
)
