"""Train the models of all seeds as one batch, and look at their maps, solved more tightly."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode import SolverFailure
from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.parity.nets import Models, at, matched_width, parameters
from odeclaims.claims.parity.settings import (
    AGAIN,
    ARMS,
    CHECKED,
    FLOWS,
    FOLLOWED,
    LOOSE,
    MAPPED,
    RADII,
    SLUG,
    TRAINED,
)
from odeclaims.claims.parity.spheres import determinants, farthest, misses, sobol
from odeclaims.kits.validity import relative_error

LEARNING_RATE = 1e-2
# Of the points of the test: those that are solved back, and those where dF is taken.
RETURNED, DIFFERENTIATED = 256, 256
# Points of the map of the line; starts on a circle in the plane, and times of their trajectories.
MAP_POINTS, STARTS, TIMES = 41, 8, 21

Outputs = Callable[[Tensor], Tensor]


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each model and dimension, with all seeds; the most expensive first."""
    size = {
        "repetitions": len(profile.repetitions(smoke=2, quick=12, paper=12)),
        "points": profile.pick(smoke=8, quick=50, paper=50),
        # The released results are those of 700, and the paper names 1,000.
        "updates": profile.pick(smoke=2, quick=700, hour=3000, paper=1000),
        "test_points": profile.pick(smoke=16, quick=2048, hour=4096, paper=8192),
        "climbs": profile.pick(smoke=1, quick=25, paper=25),
    }
    largest = profile.pick(smoke=2, quick=4, hour=6, paper=10)
    for dim in range(largest, 0, -1):
        cases = [(arm, TRAINED) for arm in ARMS] + [("node", LOOSE)] * (dim == 1)
        for arm, tolerance in cases:
            params = {"arm": arm, "training_tolerance": tolerance, "dim": dim, **size}
            yield Cell(SLUG, params, paired=("arm", "training_tolerance"))


def seeds_of(cell: Cell) -> list[Cell]:
    """A cell for each seed, the same for every arm."""
    return [replace(cell, repetition=i) for i in range(cell.params["repetitions"])]


def measure(cell: Cell, context: Context) -> list[Row]:
    """Train the models of all seeds, then look at their maps as trained and solved more tightly."""
    generators = [each.generator() for each in seeds_of(cell)]
    points = torch.stack([draw(cell, each) for each in generators])
    models = Models(cell.params["arm"], cell.params["dim"], generators)
    size = parameters(models.arm, models.dim, matched_width(models.arm, models.dim))
    common: Row = {"kind": "result", "parameters": size}
    try:
        common["training_nfe"] = _train(models, points, cell, context)
    except SolverFailure as failure:
        return rows_of(cell, {}, {**common, "role": "trained", "status": failure.status})
    models = models.double().requires_grad_(False)
    return [
        *_guarded(cell, common, lambda: _as_trained(models, points.double(), cell, common)),
        *_guarded(cell, common, lambda: _checked(models, points.double(), cell, common)),
        *_pictures(models, cell),
    ]


def draw(cell: Cell, generator: torch.Generator) -> Float[Tensor, "points dim"]:
    """The points that one seed learns from, uniform in the cube."""
    return 2 * torch.rand(cell.params["points"], cell.params["dim"], generator=generator) - 1


def rows_of(cell: Cell, columns: dict[str, list[float]], common: Row) -> list[Row]:
    """A row for each seed, from one value of each column for each."""
    return [
        {
            "repetition": each.repetition,
            "seed": each.seed,
            **{name: values[each.repetition] for name, values in columns.items()},
            **common,
        }
        for each in seeds_of(cell)
    ]


def _guarded(cell: Cell, common: Row, look: Callable[[], list[Row]]) -> list[Row]:
    """The rows, or for each seed one that says why there are none."""
    try:
        return look()
    except SolverFailure as failure:
        return rows_of(cell, {}, {**common, "status": failure.status})


def _train(models: Models, points: Tensor, cell: Cell, context: Context) -> float:
    """Train in place by Adam, with all points in every update; the mean evaluations of a solve."""
    optimiser = torch.optim.Adam(models.parameters(), lr=LEARNING_RATE)
    solver, updates = at(cell.params["training_tolerance"]), cell.params["updates"]
    evaluations = 0
    for update in range(updates):
        solution = models.flow(points, **solver)
        losses = mean_square(solution.ys[-1][..., : models.dim] + points)
        optimiser.zero_grad()
        # The seeds share no parameter, so that each is trained by its own loss.
        losses.sum().backward()
        optimiser.step()
        evaluations += solution.stats.nfe_forward
        worst = float(losses.detach().max())
        context.tell(f"update {update + 1} of {updates}, largest error {worst:.3g}")
    return evaluations / updates


def mean_square(x: Float[Tensor, "seeds batch dim"]) -> Float[Tensor, " seeds"]:
    """The mean square of the entries of each seed."""
    return x.square().mean(dim=(1, 2))


def test_points(cell: Cell) -> Float[Tensor, "seeds count dim"]:
    """Points all over the cube, the same for every seed."""
    cube = 2 * sobol(cell.params["test_points"], cell.params["dim"]) - 1
    return cube.expand(cell.params["repetitions"], -1, -1)


def _outputs_at(models: Models, tolerance: float) -> Outputs:
    return lambda x: models(x, **at(tolerance))


def _as_trained(models: Models, points: Tensor, cell: Cell, common: Row) -> list[Row]:
    """A row for each seed, of the map as the solver of the training computes it."""
    tolerance = float(cell.params["training_tolerance"])
    said = {**common, "role": "trained", "tolerance": tolerance}
    return rows_of(cell, _errors(models, points, cell, tolerance), said)


def _checked(models: Models, points: Tensor, cell: Cell, common: Row) -> list[Row]:
    """Rows of errors and spheres of the map itself, and of what no flow may do solved again."""
    tested, outputs = test_points(cell), _outputs_at(models, CHECKED)
    values = determinants(outputs, tested[:, :DIFFERENTIATED])
    columns = {
        **_errors(models, points, cell, CHECKED),
        "least_determinant": values.amin(dim=1).tolist(),
        **_by_acceleration(models, tested),
    }
    said = {**common, "role": "checked", "tolerance": CHECKED}
    far = farthest(outputs, models.dim, len(points), RADII, cell.params["climbs"])
    rows = [*rows_of(cell, columns, said), *_spheres(outputs, far, cell, said)]
    if models.arm in FLOWS and models.dim % 2:
        said = {**common, "role": "again", "tolerance": AGAIN}
        outputs = _outputs_at(models, AGAIN)
        rows += rows_of(cell, {"mse": _error(outputs, tested)}, said)
        rows += _spheres(outputs, far, cell, said)
    return rows


@torch.no_grad()
def _error(outputs: Outputs, x: Tensor) -> list[float]:
    """The mean squared error of each seed."""
    return mean_square(outputs(x) + x).tolist()


@torch.no_grad()
def _errors(models: Models, points: Tensor, cell: Cell, tolerance: float) -> dict[str, list[float]]:
    """Mean squared errors of each seed and how near its starts a solve returns that goes back."""
    tested, outputs = test_points(cell), _outputs_at(models, tolerance)
    returned = tested[:, :RETURNED]
    pairs = zip(models.returned(returned, **at(tolerance)), models.start(returned), strict=True)
    return {
        "mse": _error(outputs, tested),
        "train_mse": _error(outputs, points),
        "reconstruction_error": [relative_error(back, start) for back, start in pairs],
    }


@torch.no_grad()
def _by_acceleration(models: Models, x: Tensor) -> dict[str, list[float]]:
    """Second order: the root mean square of what is not x + v0, over that of the way from x."""
    if models.arm != "second_order":
        return {}
    way = models(x, **at(CHECKED)) - x
    rest = way - models.start(x)[..., models.dim :]
    return {"by_acceleration": (mean_square(rest) / mean_square(way)).sqrt().tolist()}


@torch.no_grad()
def _spheres(outputs: Outputs, far: Tensor, cell: Cell, said: Row) -> list[Row]:
    """A row for each seed and sphere: the distance from -x over the radius, where it is largest."""
    found = misses(outputs, far)
    common = {"kind": "sphere", "role": said["role"], "tolerance": said["tolerance"]}
    rows = []
    for i, radius in enumerate(RADII):
        rows += rows_of(cell, {"maximum": found[:, i].tolist()}, {**common, "radius": radius})
    return rows


def _pictures(models: Models, cell: Cell) -> list[Row]:
    """The map of the line, or trajectories in the plane, of the first seeds."""
    if models.dim == 1:
        return _guarded(cell, {"kind": "map"}, lambda: _map(models, cell))
    if models.dim == 2 and models.arm == "node":
        return _guarded(cell, {"kind": "path"}, lambda: _paths(models, cell))
    return []


def _map(models: Models, cell: Cell) -> list[Row]:
    """Rows of x and F(x)."""
    x = torch.linspace(-1, 1, MAP_POINTS, dtype=torch.float64)[None, :, None]
    with torch.no_grad():
        y = models(x.expand(cell.params["repetitions"], -1, -1), **at(CHECKED))
    return [
        {"kind": "map", "repetition": each.repetition, "seed": each.seed, "x1": a, "y1": b}
        for each in seeds_of(cell)[:MAPPED]
        for a, b in zip(x.flatten().tolist(), y[each.repetition].flatten().tolist(), strict=True)
    ]


def _paths(models: Models, cell: Cell) -> list[Row]:
    """Rows of where points of a circle are at some times."""
    angles = 2 * torch.pi * torch.arange(STARTS, dtype=torch.float64) / STARTS
    x = 0.8 * torch.stack([angles.cos(), angles.sin()], dim=1)
    times = torch.linspace(0, 1, TIMES).tolist()
    with torch.no_grad():
        ys = models.flow(x.expand(cell.params["repetitions"], -1, -1), times, **at(CHECKED)).ys
    return [
        {
            "kind": "path",
            "repetition": each.repetition,
            "seed": each.seed,
            "start": start,
            "time": time,
            "y1": float(ys[i, each.repetition, start, 0]),
            "y2": float(ys[i, each.repetition, start, 1]),
        }
        for each in seeds_of(cell)[:FOLLOWED]
        for start in range(STARTS)
        for i, time in enumerate(times)
    ]
