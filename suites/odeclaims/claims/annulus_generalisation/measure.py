"""Train one model outside the wedge and look at it, frozen and in float64."""

import math
from collections.abc import Iterator
from functools import partial

import torch

from neural_ode.data import Points, split_wedge
from neural_ode.networks import augmented_model
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.annulus_generalisation.settings import (
    AUGMENT_DIMS,
    CITED,
    COMPARED,
    DRAWN,
    RINGS,
    SLUG,
    TOLERANCES,
    WEDGES,
)
from odeclaims.kits.constants import OUTER_RADII
from odeclaims.kits.toy_models import (
    Frozen,
    accuracies,
    accuracy,
    at,
    circle,
    fit,
    six_digits,
    spheres,
    spheres_grid,
)
from odeclaims.kits.validity import at_each

WIDTH = 32
# Points along either side of the square on which a decision is drawn.
MAP_SIDE = 25
# NODE is right in the wedge or wrong, and the share of seeds in which it is wrong takes many seeds.
SEEDS_COMPARED, SEEDS_ONE_DIMENSION, SEEDS_ELSEWHERE = 40, 16, 20


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained model."""
    size = {
        "points": profile.pick(smoke=96, quick=900, paper=3000),
        "epochs": profile.pick(smoke=2, quick=14, paper=50),
        "batch_size": 64,
        "learning_rate": profile.pick(smoke=5e-3, quick=5e-3, paper=1e-3),
        "training_tolerance": 1e-3,
        "directions": profile.pick(smoke=20, quick=60, paper=200),
        "reference_steps": profile.pick(smoke=16, quick=128, paper=1024),
    }
    for wedge, wedge_rad in WEDGES.items():
        for augment_dim in AUGMENT_DIMS:
            params = {"augment_dim": augment_dim, "wedge": wedge, "wedge_rad": wedge_rad}
            for repetition in _repetitions(profile, wedge, augment_dim):
                # One sample for all; what a wedge leaves of it is the same for every dimension.
                yield Cell(SLUG, {**params, **size}, repetition, paired=tuple(params))


def _repetitions(profile: Profile, wedge: str, augment_dim: int) -> range:
    """The seeds of a model at a width; none where a profile has too few to judge it."""
    if augment_dim in COMPARED and wedge == CITED:
        return profile.repetitions(smoke=1, quick=SEEDS_COMPARED, paper=SEEDS_COMPARED)
    if augment_dim in COMPARED:
        return profile.repetitions(smoke=1, quick=0, paper=SEEDS_ELSEWHERE)
    if wedge == CITED:
        return profile.repetitions(smoke=1, quick=SEEDS_ONE_DIMENSION, paper=SEEDS_ONE_DIMENSION)
    return range(0)


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train one model outside the wedge and look at it, frozen and in float64."""
    size, generator = cell.params, cell.generator()
    data, _ = split_wedge(spheres(size["points"], generator=generator), 0, size["wedge_rad"])
    model = augmented_model(
        2,
        WIDTH,
        augment_dim=size["augment_dim"],
        generator=generator,
        **at(size["training_tolerance"]),
    )
    rows: list[Row] = [{"kind": "training", **row} for row in fit(model, data, size, generator)]
    frozen = Frozen(model, spheres_grid(4, circle(8)).inputs, size["reference_steps"])
    rows += [
        {"kind": "result", **row}
        for row in at_each(TOLERANCES, partial(_observe, frozen, data, cell))
    ]
    compared = size["wedge"] == CITED and size["augment_dim"] in COMPARED
    if compared and cell.repetition < DRAWN and rows[-1]["status"] == "ok":
        rows += _map(frozen)
    return rows


def _observe(frozen: Frozen, data: Points, cell: Cell, tolerance: float) -> Row:
    edge, count = cell.params["wedge_rad"], cell.params["directions"]
    inside = spheres_grid(RINGS, circle(count, 0, edge))
    outside = spheres_grid(RINGS, circle(count, edge, 2 * math.pi))
    parts = [inside.inputs, outside.inputs, data.inputs.double()]
    held_out, seen, trained = frozen.outputs(torch.cat(parts), tolerance).split(
        [len(part) for part in parts]
    )
    inner, outer = accuracies(held_out, inside)
    return {
        "held_out_accuracy": _weighted(inner, outer),
        "held_out_inner": inner,
        "held_out_outer": outer,
        "seen_accuracy": _weighted(*accuracies(seen, outside)),
        "training_accuracy": accuracy(trained, data),
        **frozen.observe(tolerance),
    }


def _weighted(inner: float, outer: float) -> float:
    """The mean over disc and ring, weighted by their shares of the training points."""
    return (inner + 2 * outer) / 3


def _map(frozen: Frozen) -> list[Row]:
    """The outputs on a square grid, to be drawn."""
    axis = torch.linspace(-OUTER_RADII[1], OUTER_RADII[1], MAP_SIDE, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    outputs = frozen.outputs(x, TOLERANCES["checked"])[:, 0]
    return [
        {"kind": "map", "x": round(a, 6), "y": round(b, 6), "output": six_digits(output)}
        for (a, b), output in zip(x.tolist(), outputs.tolist(), strict=True)
    ]
