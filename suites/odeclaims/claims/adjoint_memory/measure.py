"""One gradient: the bytes, evaluations and time that it takes, and its error."""

import gc
import statistics
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn

from neural_ode import (
    Adjoint,
    Backprop,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    Solution,
    SymplecticAdjoint,
    solve,
)
from neural_ode.data import mnist
from neural_ode.delegate import solve_with
from neural_ode.gradients import Gradient
from neural_ode.memory import SavedBytes, peak_allocated
from neural_ode.methods import METHODS
from neural_ode.methods.coupled import Coupled
from neural_ode.networks import ConvField, MLPField, conv_stem
from neural_ode.networks.mlp import initialise
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.adjoint_memory.settings import ARMS, FIELDS, SLUG, TIMED
from odeclaims.kits.timers import durations
from odeclaims.kits.validity import reconstruction_error, relative_error, stamp

DATASETS = {"mnist": mnist.DIGEST}

GRADIENTS: dict[str, Gradient] = {
    "backprop": Backprop(),
    "adjoint": Adjoint(),
    "checkpointed": Checkpointed(),
    "interpolated": InterpolatedAdjoint(),
    "symplectic": SymplecticAdjoint(),
    "reversible": Reversible(),
    "coupled": Reversible(),
}
CONV_BATCH, MLP_BATCH = 8, 512
# The method of the reference and its number of steps. Where a ReLU bends, the gradient converges
# only to first order, whatever the method and tolerance, so the cheapest reference for the conv
# field is a low-order method with many steps.
REFERENCE = {"conv": ("midpoint", 128), "mlp": ("rk4", 64)}


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each field, gradient and level; all arms share weights and data."""
    levels = {
        "steps": profile.pick(smoke=(2, 16), quick=_doubling(5), paper=_doubling(9)),
        "tolerance": profile.pick(smoke=(1e-2,), quick=_decades(2, 6), paper=_decades(1, 7)),
        "outputs": profile.pick(smoke=(2,), quick=(2, 10, 30), paper=(2, 10, 30, 100, 1000)),
    }
    for repetition in profile.repetitions(smoke=1, quick=1, paper=3):
        for field in profile.pick(smoke=("mlp",), quick=FIELDS, paper=FIELDS):
            places = [(sweep, level) for sweep, values in levels.items() for level in values]
            for (sweep, level), arm in product(places, ARMS):
                if profile.name == "paper" or _in_quick(field, sweep, level, arm):
                    yield Cell(
                        SLUG,
                        {"field": field, "gradient": arm, "sweep": sweep, "level": level},
                        repetition,
                        profile.device,
                        paired=("gradient", "sweep", "level"),
                    )


def _in_quick(field: str, sweep: str, level: float, arm: str) -> bool:
    """Whether a cell is cheap enough, or needed for a statement."""
    if sweep == "outputs":
        return field == "mlp"
    return sweep != "tolerance" or level >= 1e-5 or arm in ("adjoint", "backprop")


def alone(cell: Cell) -> bool:
    """Every cell measures time and memory, so nothing else may run beside it."""
    return True


def _doubling(last: int) -> tuple[int, ...]:
    """Powers of two from 2 on: the buffers of a single step have no next step to stand beside."""
    return tuple(2**i for i in range(1, last + 1))


def _decades(first: int, last: int) -> tuple[float, ...]:
    return tuple(10.0**-i for i in range(first, last + 1))


@dataclass(frozen=True)
class FieldOnBatch:
    """A field and the batch of states that it moves, shape [batch, *features]."""

    field: nn.Module
    y0: Float[Tensor, "batch *features"]

    def double(self) -> "FieldOnBatch":
        """A copy in float64."""
        return FieldOnBatch(deepcopy(self.field).double(), self.y0.double())


@cache
def build(field: str, seed: int, device: str) -> FieldOnBatch:
    """The conv field on the stem's features of random training digits, or the MLP on noise.

    Both are in float32.
    """
    generator = torch.Generator().manual_seed(seed)
    if field == "mlp":
        y0 = torch.randn(MLP_BATCH, 64, generator=generator)
        return FieldOnBatch(MLPField(64, 64, generator=generator).to(device), y0.to(device))
    images = mnist.load("train").images
    batch = images[torch.randperm(len(images), generator=generator)[:CONV_BATCH]]
    stem = conv_stem()
    initialise(stem, generator)
    with torch.no_grad():
        y0 = stem(mnist.normalised(batch))
    return FieldOnBatch(ConvField(generator=generator).to(device), y0.to(device))


def output_times(sweep: str, level: float) -> Float32[Tensor, " times"]:
    """The output times in [0, 1] at a level of a sweep: the two ends but in the sweep over them."""
    return torch.linspace(0, 1, int(level) if sweep == "outputs" else 2)


def solver_settings(arm: str, sweep: str, level: float) -> dict[str, Any]:
    """The settings of ``solve`` for an arm at a level of a sweep.

    The reversible arm has its own method, four steps of which are the work of one of rk4. The
    coupled arm takes the steps of the others with a second state, which is twice their work.
    """
    if sweep == "steps":
        if arm == "reversible":
            return {"method": "reversible_heun", "step_size": 1 / (4 * level)}
        method = Coupled(METHODS["rk4"]) if arm == "coupled" else "rk4"
        return {"method": method, "step_size": 1 / level}
    tolerance = level if sweep == "tolerance" else 1e-3
    own = {"reversible": "reversible_heun", "coupled": Coupled(METHODS["dopri5"])}
    return {"rtol": tolerance, "atol": tolerance, "method": own.get(arm, "dopri5")}


def loss_of(ys: Float[Tensor, "time batch *features"]) -> Float[Tensor, ""]:
    """Half the mean square of the states after the first, over all times and entries."""
    return ys[1:].square().mean() / 2


@cache
# The truth is the same for every solver that is measured.
@solve_with(None)
def _reference(
    field: str, seed: int, device: str, outputs: int
) -> tuple[Float64[Tensor, " entries"], float]:
    """The gradient in float64 by many small steps, and its distance to that by half as many."""
    problem = build(field, seed, device).double()
    ts = output_times("outputs", outputs).double().to(device)
    method, steps = REFERENCE[field]
    tight, loose = (
        _gradient(problem, partial(solve, method=method, step_size=1 / n), ts)
        for n in (steps, steps // 2)
    )
    return tight, relative_error(loose, tight)


def _gradient(
    problem: FieldOnBatch, solver: Callable[..., Solution], ts: Float[Tensor, " times"]
) -> Float[Tensor, " entries"]:
    """The loss's gradient with respect to the state and all parameters, as one vector."""
    y0 = problem.y0.detach().requires_grad_(True)
    loss = loss_of(solver(problem.field, y0, ts).ys)
    gradients = torch.autograd.grad(loss, [y0, *problem.field.parameters()])
    return torch.cat([g.reshape(-1) for g in gradients])


def measure(cell: Cell, context: Context) -> list[Row]:
    """One row: bytes, evaluations and time of one gradient, and its error."""
    return [guarded(lambda: _observe(cell))]


def _observe(cell: Cell) -> Row:
    field, arm = str(cell.params["field"]), str(cell.params["gradient"])
    sweep, level = str(cell.params["sweep"]), cell.params["level"]
    problem = build(field, cell.seed, cell.device)
    ts, settings = output_times(sweep, level).to(cell.device), solver_settings(arm, sweep, level)
    solver = partial(solve, gradient=GRADIENTS[arm], **settings)
    meter, held, solution, value = meter_gradient(problem, solver, ts)
    tight, reference_error = _reference(field, cell.seed, cell.device, len(ts))
    work = partial(_gradient, problem, solver, ts)
    peak = peak_allocated(work, torch.device(cell.device))
    ends = ts[[0, -1]]
    return {
        "nfe_forward": solution.stats.nfe_forward,
        "nfe_backward": solution.stats.nfe_backward,
        "held_bytes": held,
        "peak_saved_bytes": meter.peak,
        "peak_allocated_bytes": peak,
        "time_s": statistics.median(durations(work, cell.device, least=TIMED)),
        **stamp(
            reconstruction_error(problem.field, problem.y0, solution.ys[-1], ends, settings),
            relative_error(value, tight),
            reference_error,
        ),
    }


def meter_gradient(
    problem: FieldOnBatch, solver: Callable[..., Solution], ts: Float[Tensor, " times"]
) -> tuple[SavedBytes, int, Solution, Float[Tensor, " entries"]]:
    """One forward and backward pass under the meter.

    Returns:
        The meter, the bytes held between the two passes, the solution, and the gradient.
    """
    y0 = problem.y0.detach().requires_grad_(True)
    parameters = list(problem.field.parameters())
    gc.collect()
    with SavedBytes(ignore=[y0, *parameters]) as meter:
        solution = solver(problem.field, y0, ts)
        held = meter.held
        gradients = torch.autograd.grad(loss_of(solution.ys), [y0, *parameters])
    return meter, held, solution, torch.cat([g.reshape(-1) for g in gradients])
