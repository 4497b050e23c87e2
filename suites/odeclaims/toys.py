"""What the claims about toy problems share: the training loop, and the look at a frozen model."""

import math
from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from neural_ode import Solution, solve
from neural_ode.data import Points
from neural_ode.networks import OdeModel, ResidualModel
from odeclaims.claim import Row
from odeclaims.validity import reconstruction_error, relative_error, stamp

# As in the released code of the ANODE paper.
STEP_LIMIT = 1000

# The ball and the shell of ``concentric_spheres``.
INNER_RADIUS, OUTER_RADII = 0.5, (1.0, 1.5)

Model = OdeModel | ResidualModel


def fit(
    model: Model,
    data: Points,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> list[Row]:
    """Train in place by Adam on the smooth L1 loss; a row for each epoch.

    Args:
        model: maps inputs [batch, dim] to outputs [batch, 1].
        data: the training points, on the device of the model.
        epochs: how often each is seen.
        batch_size: points in a batch; the last one of an epoch may be smaller.
        learning_rate: that of Adam.
        generator: orders the points.

    Returns:
        ``epoch`` from 1, ``loss`` and ``training_nfe`` (mean forward evaluations of a batch, blank
        without a solver).

    Raises:
        SolverFailure: where a solve fails.
    """
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    rows: list[Row] = []
    for epoch in range(1, epochs + 1):
        losses, evaluations = [], []
        for chosen in torch.randperm(len(data.inputs), generator=generator).split(batch_size):
            outputs = model(data.inputs[chosen])
            loss = nn.functional.smooth_l1_loss(outputs, data.targets[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append((loss.item(), len(chosen)))
            if isinstance(model, OdeModel) and model.stats:
                evaluations.append(model.stats.nfe_forward)
        total = sum(loss * count for loss, count in losses)
        mean = sum(evaluations) / len(evaluations) if evaluations else None
        rows.append({"epoch": epoch, "loss": total / len(data.inputs), "training_nfe": mean})
    return rows


class Frozen:
    """A trained model with a flow, in float64, and some points on which its cost is looked at.

    Args:
        model: the model; it is copied.
        points: the points [batch, dim], which are solved as one batch.
        reference_steps: midpoint steps of the gradient's reference; the looser one has half.
    """

    def __init__(self, model: OdeModel, points: Tensor, reference_steps: int) -> None:
        self.model = deepcopy(model).double()
        with torch.no_grad():
            self.y0 = self.model.lift(points.double())
        self.ts = self.y0.new_tensor([0.0, 1.0])
        self.reference_steps = reference_steps

    def flow(self, x: Tensor, ts: Tensor, tolerance: float) -> Float64[Tensor, "time batch state"]:
        """The states of the points ``x`` at the times ``ts``."""
        with torch.no_grad():
            y0 = self.model.lift(x.double())
            return solve(self.model.field, y0, ts.double(), **at(tolerance)).ys

    def observe(self, tolerance: float) -> Row:
        """The cost of a forward solve at a tolerance, and its validity stamp."""
        solution, gradient = self.gradient(**at(tolerance))
        reference, reference_error = self.reference
        reconstruction = reconstruction_error(
            self.model.field, self.y0, solution.ys[-1], self.ts, at(tolerance)
        )
        return {
            "nfe_forward": solution.stats.nfe_forward,
            "rejected": solution.stats.rejected,
            **stamp(reconstruction, relative_error(gradient, reference), reference_error),
        }

    @cached_property
    def reference(self) -> tuple[Float64[Tensor, " entries"], float]:
        """The gradient by many small steps, and its distance from that by half as many.

        Where a ReLU bends a gradient converges to first order only, so tight tolerances do not pay.
        """
        fine, coarse = (
            self.gradient(method="midpoint", step_size=1 / steps)[1]
            for steps in (self.reference_steps, self.reference_steps // 2)
        )
        return fine, relative_error(coarse, fine)

    def gradient(self, **solver: Any) -> tuple[Solution, Float64[Tensor, " entries"]]:
        """A solve, and the gradient of the mean output for the start and the field.

        That of the loss is no measure: where a model fits, it is zero but for errors.
        """
        y0 = self.y0.clone().requires_grad_(True)
        solution = solve(self.model.field, y0, self.ts, **solver)
        output = self.model.head(solution.ys[-1]).mean()
        gradients = torch.autograd.grad(output, [y0, *self.model.field.parameters()])
        return solution, torch.cat([g.reshape(-1) for g in gradients])


def at(tolerance: float) -> dict[str, Any]:
    """The keyword arguments of ``solve`` for a tolerance."""
    return {"rtol": tolerance, "atol": tolerance, "max_num_steps": STEP_LIMIT}


def circle(count: int, start: float = 0.0, stop: float = 2 * math.pi) -> Float64[Tensor, "count 2"]:
    """Unit vectors at the middles of ``count`` equal arcs between two angles, in radians."""
    angles = start + (stop - start) * (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def spheres_grid(rings: int, directions: Float64[Tensor, "directions dim"]) -> Points:
    """A dense grid over the ball and the shell of ``concentric_spheres``, the ball first.

    Args:
        rings: radii in either region, at the middles of as many parts of equal volume, so that
            every point of a region stands for the same share of it.
        directions: unit vectors.

    Returns:
        ``2 * rings * len(directions)`` points in float64.
    """
    dim = directions.shape[1]
    u = (torch.arange(rings, dtype=torch.float64) + 0.5) / rings
    parts = []
    for a, b in ((0.0, INNER_RADIUS), OUTER_RADII):
        radii = (a**dim + u * (b**dim - a**dim)) ** (1 / dim)
        parts.append((radii[:, None, None] * directions).flatten(end_dim=1))
    targets = torch.ones(2 * len(parts[0]), 1, dtype=torch.float64)
    targets[: len(parts[0])] = -1
    return Points(torch.cat(parts), targets)


def accuracies(outputs: Float[Tensor, "count 1"], points: Points) -> tuple[float, float]:
    """The shares of the points with target -1 and with target 1 whose output has that sign."""
    right = (outputs * points.targets > 0).double()
    inner = points.targets < 0
    return float(right[inner].mean()), float(right[~inner].mean())
