"""Train one model and look at it, frozen and in float64."""

import math
import time
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from neural_ode.data import Points
from neural_ode.networks import OdeModel, ResidualModel, augmented_model
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.annulus.image import SIDES, FrozenMap, examine
from odeclaims.claims.annulus.settings import (
    CONFIRMING,
    SLUG,
    SPACES,
    STARTS,
    TIMES,
    TOLERANCES,
    below_floor,
    represents,
    told_apart_in_space,
)
from odeclaims.claims.annulus.space import examine_space, random_points, unit_vectors
from odeclaims.kits.constants import INNER_RADIUS, OUTER_RADII
from odeclaims.kits.toy_models import (
    Frozen,
    Model,
    at,
    circle,
    six_digits,
    spheres,
    spheres_grid,
    training_epochs,
)
from odeclaims.kits.validity import at_each

WIDTH, BLOCKS, AUGMENT_DIM = 32, 5, 5
# What is drawn of the checked flows, at these many times, and rings of starts: radius and count.
DRAWN = (("node", 1), ("node", 2), ("anode", 2))
DRAWN_TIMES = 17
# When the features are drawn besides the end, in parts of the training.
WATCHED = (0.0, 0.1, 0.3)
DRAWN_RINGS = ((0.25, 14), (INNER_RADIUS, 26), (OUTER_RADII[0], 48), (OUTER_RADII[1], 20))


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained model."""
    size = {
        "points": profile.pick(smoke=96, quick=900, paper=3000),
        "epochs": profile.pick(smoke=2, quick=20, paper=50),
        "batch_size": 64,
        "learning_rate": profile.pick(smoke=5e-3, quick=5e-3, paper=1e-3),
        "fineness": profile.pick(smoke=60, quick=720, paper=1440),
        "reference_steps": profile.pick(smoke=16, quick=256, paper=1024),
    }
    # Every point is new, so that none can be learnt by heart.
    in_space = {
        **size,
        "points": profile.pick(smoke=512, quick=51_200, paper=153_600),
        "epochs": 1,
        "batch_size": 256,
        "learning_rate": 5e-3,
        "fineness": profile.pick(smoke=30, quick=360, paper=2000),
        "reference_steps": profile.pick(smoke=16, quick=256, paper=512),
    }
    # That something cannot be done takes several seeds, and so does a comparison; that it can takes
    # one.
    few = profile.repetitions(smoke=1, quick=4, paper=10)
    several = profile.repetitions(smoke=1, quick=6, paper=10)
    many = profile.repetitions(smoke=1, quick=8, paper=10)
    for dim in (1, 2):
        yield from _arm(_flow("node", "checked"), dim, size, many)
        yield from _arm(_flow("anode", "checked"), dim, size, several if dim == 2 else few)
        yield from _arm({"arm": "resnet"}, dim, size, few)
        yield from _arm({"arm": "resnet_relu"}, dim, size, few)
    yield from _arm(_flow("node", "loose"), 2, size, many)
    least = profile.repetitions(smoke=1, quick=2, paper=5)
    # That a lift is right in every direction of ten dimensions takes more points than that a flow
    # is nearly right.
    lifted = {**in_space, "points": profile.pick(smoke=512, quick=153_600, paper=153_600)}
    for dim in SPACES:
        yield from _arm(_flow("node", "loose"), dim, in_space, several)
        yield from _arm(_flow("anode", "loose"), dim, lifted if dim == 10 else in_space, least)


def _flow(arm: str, training: str) -> dict[str, Any]:
    """The parameters of an arm with a flow."""
    return {
        "arm": arm,
        "augment_dim": AUGMENT_DIM if arm == "anode" else 0,
        "training": training,
        "training_tolerance": {"loose": 1e-3, "checked": 1e-5}[training],
    }


def _arm(arm: dict[str, Any], dim: int, size: dict[str, Any], repetitions: range) -> Iterator[Cell]:
    """An arm's cells in a dimension; the arms share their data."""
    paired = ("arm", "augment_dim", "training", "training_tolerance")
    for repetition in repetitions:
        yield Cell(SLUG, {**arm, "dim": dim, **size}, repetition, paired=paired)


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train one model and look at it, frozen and in float64."""
    size, generator = cell.params, cell.generator()
    draw = random_points if size["dim"] in SPACES else spheres
    data = draw(size["points"], size["dim"], generator=generator)
    model = _model(cell, generator)
    rows = _train(model, data, cell, generator)
    if isinstance(model, OdeModel):
        return rows + _look_at_flow(model, data, cell, generator)
    return [*rows, {"kind": "result", **_look_at_residual(model, data, cell)}]


def _train(model: Model, data: Points, cell: Cell, generator: torch.Generator) -> list[Row]:
    """The epochs that are kept, each with the time that it took, and features in between."""
    budget = {name: cell.params[name] for name in ("epochs", "batch_size", "learning_rate")}
    epochs = training_epochs(model, data, generator=generator, **budget)
    watched = {int(part * budget["epochs"]) for part in WATCHED} if _is_drawn(cell, 2) else set()
    rows = _features(model, 0) if 0 in watched else []
    started = time.process_time()
    for k, row in enumerate(epochs, 1):
        if k <= 10 or k % 5 == 0:
            rows.append({"kind": "training", **row, "cpu_s": time.process_time() - started})
        if k in watched:
            rows += _features(model, k)
        started = time.process_time()
    return rows


def _model(cell: Cell, generator: torch.Generator) -> Model:
    size = cell.params
    if size["arm"].startswith("resnet"):
        relu = size["arm"] == "resnet_relu"
        return ResidualModel(size["dim"], WIDTH, BLOCKS, last_relu=relu, generator=generator)
    return augmented_model(
        size["dim"],
        WIDTH,
        augment_dim=size["augment_dim"],
        generator=generator,
        **at(size["training_tolerance"]),
    )


def _is_drawn(cell: Cell, *dims: int) -> bool:
    """Whether the flow is one of those that are drawn, in one of these dimensions."""
    arm, dim = cell.params["arm"], cell.params["dim"]
    checked = cell.repetition == 0 and cell.params.get("training") == "checked"
    return checked and (arm, dim) in DRAWN and dim in dims


def _look_at_flow(
    model: OdeModel, data: Points, cell: Cell, generator: torch.Generator
) -> list[Row]:
    dim = cell.params["dim"]
    if dim in SPACES:
        directions = unit_vectors(cell.params["fineness"], dim, generator)
        frozen = _freeze(model, spheres_grid(4, directions[:8]), cell)
        observe = partial(_observe_in_space, frozen, directions)
    else:
        batch = spheres_grid(4, circle(8)) if dim == 2 else spheres_grid(16, SIDES)
        frozen = _freeze(model, batch, cell)
        observe = partial(_observe, frozen, data, cell)
    solved = at_each(TOLERANCES[dim], observe)
    does = told_apart_in_space if dim in SPACES else below_floor if dim == 1 else represents
    if cell.params["arm"] == "node" and solved[-1]["status"] == "ok" and does(solved[-1]):
        solved += at_each(CONFIRMING, observe)
    rows: list[Row] = [{"kind": "result", **row} for row in solved]
    if _is_drawn(cell, 1, 2) and rows[-1]["status"] == "ok":
        rows += _paths(frozen, dim)
    return rows


def _freeze(model: OdeModel, batch: Points, cell: Cell) -> Frozen:
    return Frozen(model, batch.inputs, cell.params["reference_steps"])


def _observe_in_space(frozen: Frozen, directions: Tensor, tolerance: float) -> Row:
    return {
        **examine_space(frozen, directions, tolerance),
        **frozen.observe(tolerance),
    }


def _observe(frozen: Frozen, data: Points, cell: Cell, tolerance: float) -> Row:
    model = FrozenMap(partial(frozen.end, tolerance=tolerance), frozen.model.head)
    row = examine(model, data, cell.params["fineness"])
    if cell.params["dim"] == 1:
        starts = torch.linspace(-OUTER_RADII[1], OUTER_RADII[1], STARTS, dtype=torch.float64)
        times = torch.linspace(0, 1, TIMES, dtype=torch.float64)
        states = frozen.flow(starts[:, None], times, tolerance)[:, :, 0]
        row["order_violations"] = int((states.diff(dim=1) <= 0).sum())
    return {**row, **frozen.observe(tolerance)}


@torch.no_grad()
def _look_at_residual(model: ResidualModel, data: Points, cell: Cell) -> Row:
    frozen = deepcopy(model).double()
    return examine(FrozenMap(frozen.features, frozen.head), data, cell.params["fineness"])


@torch.no_grad()
def _paths(frozen: Frozen, dim: int) -> list[Row]:
    """The trajectories to be drawn: from rings in the plane, or from all along the line."""
    if dim == 2:
        starts = torch.cat([_ring(frozen, radius, count) for radius, count in DRAWN_RINGS])
    else:
        starts = torch.linspace(-OUTER_RADII[1], OUTER_RADII[1], 25, dtype=torch.float64)[:, None]
    times = torch.linspace(0, 1, DRAWN_TIMES, dtype=torch.float64)
    states = frozen.flow(starts, times, TOLERANCES[dim]["checked"])
    return [
        {"kind": "path", "t": times[k].item(), **row}
        for point in range(len(starts))
        for k in range(len(times))
        for row in [_drawn_point(frozen, point, starts[point], states[k, point])]
    ]


@torch.no_grad()
def _features(model: Model, epoch: int) -> list[Row]:
    """Where points of the rings end after some epochs of training."""
    assert isinstance(model, OdeModel)
    starts = torch.cat([radius * circle(count) for radius, count in DRAWN_RINGS])
    frozen = Frozen(model, starts, 0)
    states = frozen.end(starts, TOLERANCES[2]["checked"])
    return [
        {"kind": "features", "epoch": epoch, **_drawn_point(frozen, k, starts[k], states[k])}
        for k in range(len(starts))
    ]


def _drawn_point(frozen: Frozen, point: int, start: Tensor, state: Tensor) -> Row:
    """A state to be drawn, to six digits."""
    head: Any = frozen.model.head
    dim = len(start)
    along = head.weight[0, dim:]
    lift = state[dim:] @ along / along.norm() if len(along) else None
    return {
        "point": point,
        "radius": six_digits(start.norm()),
        "x": six_digits(state[0]),
        "y": six_digits(state[1]) if dim == 2 else None,
        "lift": None if lift is None else six_digits(lift),
        "output": six_digits(head(state)),
    }


def _ring(frozen: Frozen, radius: float, count: int) -> Float64[Tensor, "count 2"]:
    """Points of a circle, half of them spread over it and half over its image.

    Spread over the circle alone they would miss a thin bridge, which is most of its image.
    """
    angles = np.linspace(0, 2 * math.pi, 4097)
    points = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    image = frozen.end(torch.from_numpy(points), TOLERANCES[2]["checked"]).numpy()
    steps = np.linalg.norm(np.diff(image, axis=0), axis=1)
    along = np.concatenate([[0], steps.cumsum() / steps.sum()]) + angles / (2 * math.pi)
    spread = np.interp(2 * np.arange(count) / count, along, angles)
    return radius * torch.from_numpy(np.column_stack([np.cos(spread), np.sin(spread)]))
