"""Train one model and look at it, frozen and in float64."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from neural_ode import solve
from neural_ode.data import crossing
from neural_ode.networks import OdeModel, ResidualModel, augmented_model
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.crossing_1d.settings import (
    CONFIRMING,
    REFINEMENTS,
    SLUG,
    STARTS,
    TIMES,
    TOLERANCES,
)
from odeclaims.kits.toy_models import Frozen, Model, at, fit
from odeclaims.kits.validity import at_each

WIDTH, BLOCKS = 16, 5


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained model, and one for the linear field."""
    size = {
        "points": profile.pick(smoke=64, quick=500, paper=500),
        "batch_size": 32,
        "learning_rate": profile.pick(smoke=5e-3, quick=5e-3, paper=5e-4),
        "reference_steps": profile.pick(smoke=16, quick=256, paper=1024),
    }
    flows = {"epochs": profile.pick(smoke=2, quick=8, paper=50)}
    # What has no adaptive solver to pay for is trained until its loss falls no more.
    jumps = {"epochs": profile.pick(smoke=2, quick=50, paper=200)}
    tolerances = {"loose": 1e-3, "checked": profile.pick(smoke=1e-4, quick=1e-5, paper=1e-6)}
    arms: list[dict[str, Any]] = [
        {
            "arm": arm,
            "augment_dim": augment_dim,
            "training": training,
            "training_tolerance": value,
            **flows,
        }
        for arm, augment_dim in (("node", 0), ("anode", 1))
        for training, value in tolerances.items()
    ]
    trained_steps = profile.pick(smoke=(1,), quick=(1, 4), paper=(1, 2, 4, 8, 16, 32))
    arms += [{"arm": "euler", "augment_dim": 0, "steps": n, **jumps} for n in trained_steps]
    arms += [{"arm": arm, **jumps} for arm in ("resnet", "resnet_relu")]
    # The arms share their data.
    paired = ("arm", "augment_dim", "training", "training_tolerance", "steps", "epochs")
    for repetition in profile.repetitions(smoke=1, quick=8, paper=10):
        for arm in arms:
            yield Cell(SLUG, {**arm, **size}, repetition, paired=paired)
    yield Cell(SLUG, {"arm": "linear", "steps": 1})


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train one model and look at it, frozen and in float64."""
    if cell.params["arm"] == "linear":
        return [_refined(partial(_euler, lambda t, y: -2 * y, 1), n) for n in REFINEMENTS]
    size, generator = cell.params, cell.generator()
    data = crossing(size["points"], generator=generator)
    model = _model(cell, generator)
    epochs = fit(model, data, size, generator)
    rows: list[Row] = [{"kind": "training", **row} for row in epochs]
    return rows + LOOKS[size["arm"]](model, cell)


def _model(cell: Cell, generator: torch.Generator) -> Model:
    size = cell.params
    if size["arm"].startswith("resnet"):
        relu = size["arm"] == "resnet_relu"
        return ResidualModel(1, WIDTH, BLOCKS, outputs=None, last_relu=relu, generator=generator)
    if size["arm"] == "euler":
        solver: dict[str, Any] = {"method": "euler", "step_size": 1 / size["steps"]}
    else:
        solver = at(size["training_tolerance"])
    augment_dim = size["augment_dim"]
    return augmented_model(
        1, WIDTH, augment_dim=augment_dim, outputs=None, generator=generator, **solver
    )


def _starts() -> Float64[Tensor, "starts 1"]:
    return torch.linspace(-1, 1, STARTS, dtype=torch.float64)[:, None]


def _errors(states: Float64[Tensor, "time starts 1"]) -> Row:
    """The error at the two ends of the starts, and whether their order is kept."""
    ends = states[-1, [0, -1], 0]
    wanted = ends.new_tensor([1.0, -1.0])
    return {
        "mse": float((ends - wanted).square().mean()),
        "order_violations": int((states.diff(dim=1) <= 0).sum()),
    }


def _look_at_flow(model: OdeModel, cell: Cell) -> list[Row]:
    ends = _starts()[[0, -1]]
    frozen = Frozen(model, ends, cell.params["reference_steps"])
    times = torch.linspace(0, 1, TIMES, dtype=torch.float64)

    def observe(tolerance: float) -> Row:
        states = frozen.flow(_starts(), times, tolerance)
        return {**_errors(states[:, :, :1]), **frozen.observe(tolerance)}

    rows: list[Row] = [
        {"kind": "result", **row} for row in at_each(TOLERANCES | CONFIRMING, observe)
    ]
    if cell.repetition == 0 and cell.params["training"] == "checked":
        rows += _paths(frozen.flow(_starts()[::2], times, TOLERANCES["checked"]), times)
        rows += _field(frozen.model, cell.params["augment_dim"])
    return rows


def _euler(field: Callable, steps: int, substeps: int) -> Float64[Tensor, "time starts 1"]:
    """The starts and where Euler's method takes them in ``steps * substeps`` steps."""
    ts = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with torch.no_grad():
        return solve(field, _starts(), ts, method="euler", step_size=1 / (steps * substeps)).ys


def _refined(run: Callable[[int], Tensor], substeps: int) -> Row:
    return {"kind": "result", "substeps": substeps, **_errors(run(substeps)[-1:])}


def _look_at_euler(model: OdeModel, cell: Cell) -> list[Row]:
    frozen, steps = deepcopy(model).double(), int(cell.params["steps"])
    rows = [_refined(partial(_euler, frozen.field, steps), n) for n in REFINEMENTS]
    if cell.repetition == 0 and steps == 1:
        times = torch.tensor([0.0, 1.0], dtype=torch.float64)
        rows += _paths(_euler(frozen.field, 1, 1)[:, [0, -1]], times)
        rows += _field(frozen, 0)
    return rows


@torch.no_grad()
def _look_at_residual(model: ResidualModel, cell: Cell) -> list[Row]:
    frozen = deepcopy(model).double()
    return [_refined(partial(frozen.states, _starts()), n) for n in REFINEMENTS]


LOOKS: dict[str, Callable[[Any, Cell], list[Row]]] = {
    "node": _look_at_flow,
    "anode": _look_at_flow,
    "euler": _look_at_euler,
    "resnet": _look_at_residual,
    "resnet_relu": _look_at_residual,
}


def _paths(states: Float64[Tensor, "time starts dim"], times: Tensor) -> list[Row]:
    """The trajectories to be drawn."""
    rows: list[Row] = []
    for path in states.unbind(1):
        for t, state in zip(times.tolist(), path.tolist(), strict=True):
            rows.append({"kind": "path", "start": float(path[0, 0]), "t": t, **_point(state)})
    return rows


def _point(state: list[float]) -> Row:
    return {"h": state[0], "a": state[1] if len(state) > 1 else None}


@torch.no_grad()
def _field(model: OdeModel, augment_dim: int) -> list[Row]:
    """The vector field to be drawn: over time in 1-D, at t = 1/2 in the augmented plane."""
    axis = torch.linspace(-1.5, 1.5, 13, dtype=torch.float64)
    if augment_dim == 0:
        times, states = torch.linspace(0, 1, 13, dtype=torch.float64), axis[:, None]
    else:
        times, states = axis.new_tensor([0.5]), torch.cartesian_prod(axis, axis)
    rows: list[Row] = []
    for t in times:
        for state, slope in zip(states.tolist(), model.field(t, states).tolist(), strict=True):
            slopes = {"slope_h": slope[0], "slope_a": slope[1] if len(slope) > 1 else None}
            rows.append({"kind": "field", "t": float(t), **_point(state), **slopes})
    return rows
