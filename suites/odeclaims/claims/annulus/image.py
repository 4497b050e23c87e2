"""What a map makes of the ball and of the shell around it, and of the circle |x| = 1 between."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from neural_ode.data import Points
from odeclaims.cell import Row
from odeclaims.claims.annulus.settings import LARGEST_STEP, LARGEST_TURN, RINGS
from odeclaims.kits.constants import INNER_RADIUS, OUTER_RADII
from odeclaims.kits.toy_models import accuracies, accuracy, by_volume, circle, spheres_grid

# The circle starts with these many points. A bridge can be so thin that it takes many bisections.
CIRCLE_POINTS, ROUNDS = 512, 40
SIDES = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)


class FrozenMap(NamedTuple):
    """A frozen model in two parts: features [count, state] of inputs, and the outputs of those."""

    features: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]


@torch.no_grad()
def examine(model: FrozenMap, data: Points, fineness: int) -> Row:
    """Accuracies on a dense grid, and the sphere around the ball.

    Args:
        model: the map, in float64.
        data: the points it was trained on, of dimension 1 or 2.
        fineness: directions of the grid in the plane, radii to either side on a line.
    """
    dim = data.inputs.shape[1]
    directions = circle(fineness) if dim == 2 else SIDES
    grid = spheres_grid(RINGS if dim == 2 else fineness, directions)
    parts = [grid.inputs, INNER_RADIUS * directions, data.inputs.double()]
    outputs = model.head(model.features(torch.cat(parts)))
    on_grid, on_edge, on_data = outputs.split([len(part) for part in parts])
    inner, outer = accuracies(on_grid, grid)
    errors = (on_grid - grid.targets).square()
    # A flow takes its least output of the ball on the edge, another map may take it inside.
    least = min(float(on_edge.min()), float(on_grid[grid.targets < 0].min()))
    return {
        "training_accuracy": accuracy(on_data, data),
        "inner_accuracy": inner,
        "outer_accuracy": outer,
        "dense_accuracy": by_volume(inner, outer, dim),
        "mse": float(errors[grid.targets < 0].mean() + 2 * errors[grid.targets > 0].mean()) / 3,
        **(two_points(model, least) if dim == 1 else circle_image(model, least)),
    }


def two_points(model: FrozenMap, least: float) -> Row:
    """What becomes of the sphere |x| = 1 on a line; see ``circle_image``."""
    outputs = model.head(model.features(OUTER_RADII[0] * SIDES))
    return {
        "bridge_share": float((outputs <= 0).double().mean()),
        "forced_share": float((outputs <= least).double().mean()),
        "overhang": least - float(outputs.min()),
    }


@torch.no_grad()
def circle_image(model: FrozenMap, least: float) -> Row:
    """What becomes of the circle |x| = 1 around the disc |x| <= 1/2.

    A homeomorphism of the plane keeps the circle around the disc: the circle's image winds once
    about the image of each point of the disc, and in the positive sense if it keeps the
    orientation, as a flow does. So on any line, such as that across the head's threshold, it
    reaches beyond the disc's image on both sides.

    The angles between finitely many points add up to the winding number as long as none of them
    hides a turn. A thin bridge is a short arc whose image goes around the disc and back. So points
    are put in the middle of every arc that turns by more than ``LARGEST_TURN``, seen from any of
    nine points of the disc, or changes the output by more than ``LARGEST_STEP``, and all are mapped
    anew, in one batch.

    Args:
        model: the map, in float64, on inputs of dimension 2.
        least: the least output of the disc.

    Returns:
        ``winding_number``, for states of dimension 2: of the nine the one farthest from 1, blank
        where the circle is not resolved after ``ROUNDS`` refinements; ``circle_points``,
        ``bridge_share``, ``forced_share`` and ``overhang``.
    """
    angles = torch.linspace(0, 2 * math.pi, CIRCLE_POINTS + 1, dtype=torch.float64)
    curve = _map_circle(model, angles)
    for _ in range(ROUNDS):
        if not curve.coarse.any():
            break
        angles = curve.angles
        middles = (angles[:-1] + angles[1:])[curve.coarse] / 2
        curve = _map_circle(model, torch.cat([angles, middles]).sort().values)
    numbers = (curve.turns.sum(dim=1) / (2 * math.pi)).round()
    resolved = len(numbers) > 0 and not curve.coarse.any()
    return {
        "winding_number": int(numbers[(numbers - 1).abs().argmax()]) if resolved else None,
        "circle_points": len(curve.angles) - 1,
        "bridge_share": _share_below(0, curve),
        "forced_share": _share_below(least, curve),
        "overhang": least - float(curve.outputs.min()),
    }


class Curve(NamedTuple):
    """The image of the circle |x| = 1: its points, and which steps between them are too large."""

    angles: Float64[Tensor, " points"]
    outputs: Float64[Tensor, " points"]
    turns: Float64[Tensor, "centres steps"]
    coarse: Bool[Tensor, " steps"]


def _map_circle(model: FrozenMap, angles: Float64[Tensor, " points"]) -> Curve:
    """The image of these points, with turns seen from nine points of the disc.

    There are no centres, and so no turns, where states have more than two dimensions.
    """
    centres = torch.cat([torch.zeros(1, 2, dtype=torch.float64), INNER_RADIUS * circle(8)])
    points = OUTER_RADII[0] * torch.stack([angles.cos(), angles.sin()], dim=1)
    states = model.features(torch.cat([centres, points]))
    disc, curve = states[: len(centres)], states[len(centres) :]
    outputs = model.head(curve)[:, 0]
    coarse = outputs.diff().abs() > LARGEST_STEP
    turns = _turns(disc if states.shape[1] == 2 else disc[:0], curve)
    return Curve(angles, outputs, turns, coarse | (turns.abs() > LARGEST_TURN).any(dim=0))


def _turns(
    centres: Float64[Tensor, "centres state"], curve: Float64[Tensor, "points state"]
) -> Float64[Tensor, "centres steps"]:
    """The angles, in radians, by which the steps of a curve turn, seen from each centre."""
    away = curve - centres[:, None]
    turns = torch.atan2(away[..., 1], away[..., 0]).diff(dim=1)
    return (turns + math.pi) % (2 * math.pi) - math.pi


def _share_below(level: float, curve: Curve) -> float:
    """The share of the circle whose output is at most ``level``, linear between the points."""
    least, most = torch.stack([curve.outputs[:-1], curve.outputs[1:]]).aminmax(dim=0)
    # Where both ends are at the level themselves that is 0 / 0.
    below = ((level - least) / (most - least)).nan_to_num(nan=1.0).clamp(0, 1)
    return float((below * curve.angles.diff()).sum() / (2 * math.pi))
