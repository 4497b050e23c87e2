"""Train one model and look at it, frozen and in float64."""

import math
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
    STARTS,
    TIMES,
    TOLERANCES,
    below_floor,
    represents,
)
from odeclaims.kits.constants import INNER_RADIUS, OUTER_RADII
from odeclaims.kits.toy_models import (
    Frozen,
    Model,
    at,
    circle,
    fit,
    six_digits,
    spheres,
    spheres_grid,
)
from odeclaims.kits.validity import at_each

WIDTH, BLOCKS, AUGMENT_DIM = 32, 5, 5
# What is drawn of the checked flows, at these many times, and rings of starts: radius and count.
DRAWN = (("node", 1), ("node", 2), ("anode", 2))
DRAWN_TIMES = 17
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
    tolerances = {"loose": 1e-3, "checked": 1e-5}
    arms: list[dict[str, Any]] = [
        {"arm": arm, "augment_dim": augment_dim, "training": training, "training_tolerance": value}
        for arm, augment_dim in (("node", 0), ("anode", AUGMENT_DIM))
        for training, value in tolerances.items()
    ]
    arms += [{"arm": arm} for arm in ("resnet", "resnet_relu")]
    # The arms share their data.
    paired = ("arm", "augment_dim", "training", "training_tolerance")
    # That something cannot be done takes several seeds, that it can takes one.
    seeds = {
        "node": profile.repetitions(smoke=1, quick=8, paper=10),
        "others": profile.repetitions(smoke=1, quick=4, paper=10),
    }
    for arm in arms:
        for repetition in seeds.get(arm["arm"], seeds["others"]):
            for dim in (1, 2):
                yield Cell(SLUG, {**arm, "dim": dim, **size}, repetition, paired=paired)


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train one model and look at it, frozen and in float64."""
    size, generator = cell.params, cell.generator()
    data = spheres(size["points"], size["dim"], generator=generator)
    model = _model(cell, generator)
    epochs = fit(model, data, size, generator)
    rows: list[Row] = [
        {"kind": "training", **row} for k, row in enumerate(epochs, 1) if k <= 10 or k % 5 == 0
    ]
    if isinstance(model, OdeModel):
        return rows + _look_at_flow(model, data, cell)
    return [*rows, {"kind": "result", **_look_at_residual(model, data, cell)}]


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


def _look_at_flow(model: OdeModel, data: Points, cell: Cell) -> list[Row]:
    dim = cell.params["dim"]
    batch = spheres_grid(4, circle(8)) if dim == 2 else spheres_grid(16, SIDES)
    frozen = Frozen(model, batch.inputs, cell.params["reference_steps"])
    observe = partial(_observe, frozen, data, cell)
    solved = at_each(TOLERANCES[dim], observe)
    does = below_floor if dim == 1 else represents
    if cell.params["arm"] == "node" and solved[-1]["status"] == "ok" and does(solved[-1]):
        solved += at_each(CONFIRMING, observe)
    rows: list[Row] = [{"kind": "result", **row} for row in solved]
    drawn = cell.repetition == 0 and cell.params["training"] == "checked"
    if drawn and (cell.params["arm"], dim) in DRAWN and rows[-1]["status"] == "ok":
        rows += _paths(frozen, dim)
    return rows


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
    head: Any = frozen.model.head
    outputs = head(states)[..., 0]
    along = head.weight[0, dim:]
    lifts = states[..., dim:] @ along / along.norm()
    rows: list[Row] = []
    for point, start in enumerate(starts):
        for k, t in enumerate(times.tolist()):
            state = states[k, point]
            rows.append(
                {
                    "kind": "path",
                    "point": point,
                    "radius": six_digits(start.norm()),
                    "t": t,
                    "x": six_digits(state[0]),
                    "y": six_digits(state[1]) if dim == 2 else None,
                    "lift": six_digits(lifts[k, point]) if len(along) else None,
                    "output": six_digits(outputs[k, point]),
                }
            )
    return rows


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
