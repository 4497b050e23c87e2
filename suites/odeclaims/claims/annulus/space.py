"""Whether a flow tells a ball from the shell around it in a space that no grid covers.

Random points miss what is thin. So two searches start from them. Gradient descent goes from the
worst points to worse ones, whatever the model is. For a flow of the space itself there is more: a
line in the space of the features, along which the output falls, is followed back through the flow.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from neural_ode import solve
from neural_ode.data import Points
from odeclaims.cell import Row
from odeclaims.claims.annulus.settings import LINES, RINGS, STEPS, WORST
from odeclaims.kits.constants import INNER_RADIUS, OUTER_RADII
from odeclaims.kits.toy_models import (
    Frozen,
    accuracies,
    at,
    by_volume,
    spheres_grid,
)

# The steps of the descent have a length, which shrinks; its gradients are those of a loose solve,
# and what it finds is solved tightly.
STRIDE, SHRINK, LOOSE = 0.1, 0.9, 1e-3
# A line is cut into these many parts, so many times.
PARTS, ROUNDS = 16, 6
# How often a line is made twice as long before it is given up.
DOUBLINGS = 12


def random_points(count: int, dim: int, generator: torch.Generator) -> Points:
    """Points to train on: a third in the ball, the others in the shell, radii uniform in each.

    The radii of ``concentric_spheres`` would leave the shell's inner edge without a point where the
    dimension is large.
    """
    directions = unit_vectors(count, dim, generator)
    inside = torch.arange(count)[:, None] < count // 3
    u = torch.rand(count, 1, dtype=torch.float64, generator=generator)
    thick = OUTER_RADII[1] - OUTER_RADII[0]
    radii = torch.where(inside, u * INNER_RADIUS, OUTER_RADII[0] + u * thick)
    targets = torch.where(inside, -1.0, 1.0)
    return Points((radii * directions).float(), targets)


def unit_vectors(
    count: int, dim: int, generator: torch.Generator
) -> Float64[Tensor, "count {dim}"]:
    """Directions that are uniform on the sphere."""
    normal = torch.randn(count, dim, dtype=torch.float64, generator=generator)
    return torch.nn.functional.normalize(normal, dim=1)


@torch.no_grad()
def examine_space(
    frozen: Frozen, directions: Float64[Tensor, "directions dim"], tolerance: float
) -> Row:
    """Accuracies on random points, and the least margins that they and the two searches find.

    The margin of a point is its target times its output: it is wrong where that is not positive.

    Args:
        frozen: the model.
        directions: unit vectors, in each of which points of ball, shell and both edges lie.
        tolerance: that of the solves that count.
    """
    dim = directions.shape[1]
    grid = spheres_grid(RINGS, directions)
    edges = torch.cat([INNER_RADIUS * directions, OUTER_RADII[0] * directions])
    on_edges = torch.ones(len(edges), 1, dtype=torch.float64)
    on_edges[: len(directions)] = -1
    sampled = Points(torch.cat([grid.inputs, edges]), torch.cat([grid.targets, on_edges]))
    outputs = frozen.outputs(sampled.inputs, tolerance)
    on_grid, on_sphere = outputs[: len(grid.inputs)], outputs[-len(directions) :]
    inner, outer = accuracies(on_grid, grid)
    errors = (on_grid - grid.targets).square()

    searched = descend(frozen, _worst(sampled, outputs))
    found = frozen.outputs(searched.inputs, tolerance)
    looked_at = Looked(
        torch.cat([sampled.inputs, searched.inputs]),
        torch.cat([sampled.targets, searched.targets])[:, 0],
        torch.cat([outputs, found])[:, 0],
    )
    traced = _traced_outputs(frozen, looked_at, tolerance)
    margins = {
        "sampled_margin": float((sampled.targets * outputs).min()),
        "searched_margin": float((looked_at.targets * looked_at.outputs).min()),
        "traced_margin": float(traced.min()) if len(traced) else None,
    }
    return {
        "inner_accuracy": inner,
        "outer_accuracy": outer,
        "dense_accuracy": by_volume(inner, outer, dim),
        "mse": float(errors[grid.targets < 0].mean() + 2 * errors[grid.targets > 0].mean()) / 3,
        "bridge_share": float((on_sphere <= 0).double().mean()),
        "overhang": float(looked_at.ball.min() - torch.cat([looked_at.shell, traced]).min()),
        **margins,
        "margin": min(value for value in margins.values() if value is not None),
    }


class Looked(NamedTuple):
    """Points that were looked at, with their targets and outputs."""

    inputs: Float64[Tensor, "points dim"]
    targets: Float64[Tensor, " points"]
    outputs: Float64[Tensor, " points"]

    @property
    def ball(self) -> Float64[Tensor, " inner"]:
        """The outputs of the ball."""
        return self.outputs[self.targets < 0]

    @property
    def shell(self) -> Float64[Tensor, " outer"]:
        """The outputs of the shell."""
        return self.outputs[self.targets > 0]


def _worst(points: Points, outputs: Float64[Tensor, "points 1"]) -> Points:
    """The points of either region with the least margins."""
    margins = (points.targets * outputs)[:, 0]
    parts = []
    for target in (-1, 1):
        of_region = (points.targets[:, 0] == target).nonzero()[:, 0]
        parts.append(of_region[margins[of_region].argsort()[:WORST]])
    chosen = torch.cat(parts)
    return Points(points.inputs[chosen], points.targets[chosen])


def descend(frozen: Frozen, starts: Points) -> Points:
    """Points of the same regions with smaller margins, by gradient descent that stays in them."""
    inside = starts.targets < 0
    least = torch.where(inside, 0.0, OUTER_RADII[0])
    most = torch.where(inside, INNER_RADIUS, OUTER_RADII[1])
    ts = torch.tensor([0.0, 1.0], dtype=torch.float64)
    x = starts.inputs
    for step in range(STEPS):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            states = solve(frozen.model.field, frozen.model.lift(x), ts, **at(LOOSE)).ys[-1]
            margins = starts.targets * frozen.model.head(states)
            slope = torch.autograd.grad(margins.sum(), x)[0]
        x = x.detach() - STRIDE * SHRINK**step * torch.nn.functional.normalize(slope, dim=1)
        radii = x.norm(dim=1, keepdim=True).clamp_min(1e-9)
        x = x * radii.clamp(least, most) / radii
    return Points(x, starts.targets)


def _traced_outputs(frozen: Frozen, points: Looked, tolerance: float) -> Float64[Tensor, " found"]:
    """The outputs of the points of the shell that ``trace`` finds; none for an augmented flow."""
    if frozen.y0.shape[1] != points.inputs.shape[1]:
        return points.outputs[:0]
    ball = points.inputs[points.targets < 0]
    found = trace(frozen, ball[points.ball.argsort()[:LINES]], tolerance)
    return frozen.outputs(found, tolerance)[:, 0] if len(found) else points.outputs[:0]


@torch.no_grad()
def trace(
    frozen: Frozen, starts: Float64[Tensor, "starts dim"], tolerance: float
) -> Float64[Tensor, "found dim"]:
    """Points of the shell whose outputs are below those of points of the ball.

    From the image of such a point a line runs straight against the head's weights, so that the
    output falls all along it. Followed back through the flow the line starts in the ball and goes
    on to infinity, so that it crosses the shell. Where it does is found by cutting the line
    into parts, again and again.

    Args:
        frozen: a model whose flow is one of the inputs' own space.
        starts: points of the ball.
        tolerance: that of the solves.

    Returns:
        For each line that was seen to cross, a point of the shell. A line that stays in the ball
        however long it is made, or that crosses in a step that is never resolved, gives none.
    """
    head: Any = frozen.model.head
    weights = head.weight[0]
    ends, down = frozen.end(starts, tolerance), -weights / weights.norm()

    def back(lengths: Float64[Tensor, "starts parts"]) -> Float64[Tensor, "starts parts dim"]:
        states = (ends[:, None] + lengths[..., None] * down).flatten(end_dim=1)
        ts = torch.tensor([1.0, 0.0], dtype=torch.float64)
        inputs = solve(frozen.model.field, states, ts, **at(tolerance)).ys[-1]
        return inputs.reshape(*lengths.shape, -1)

    low, high = torch.zeros(len(ends), 1).double(), torch.full((len(ends), 1), 0.25).double()
    for _ in range(DOUBLINGS):
        inside = back(high).norm(dim=2) < OUTER_RADII[0]
        if not inside.any():
            break
        low, high = torch.where(inside, high, low), torch.where(inside, 2 * high, high)
    places = back(high)[:, 0]
    cuts = torch.linspace(0, 1, PARTS + 1, dtype=torch.float64)
    for _ in range(ROUNDS):
        beyond = places.norm(dim=1) > OUTER_RADII[1]
        if not beyond.any():
            break
        lengths = low + (high - low) * cuts
        inputs = back(lengths)
        # The end of the line is outside, so that there is a first one that is.
        first = (inputs.norm(dim=2) >= OUTER_RADII[0]).int().argmax(dim=1, keepdim=True)
        low, high = lengths.gather(1, (first - 1).clamp_min(0)), lengths.gather(1, first)
        nearer = inputs[torch.arange(len(ends)), first[:, 0]]
        places = torch.where(beyond[:, None], nearer, places)
    radii = places.norm(dim=1)
    return places[(radii >= OUTER_RADII[0]) & (radii <= OUTER_RADII[1])]
