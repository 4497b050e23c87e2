"""What the claims about toy problems share: data, the training loop, and frozen models."""

import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from neural_ode import solve
from neural_ode.data import Points, concentric_spheres
from neural_ode.networks import OdeModel, ResidualModel
from odeclaims.cell import Row
from odeclaims.kits.constants import INNER_RADIUS, OUTER_RADII
from odeclaims.kits.validity import FrozenFlow

# As in the released code of the ANODE paper.
STEP_LIMIT = 1000

Model = OdeModel | ResidualModel


def training_epochs(
    model: Model,
    data: Points,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> Iterator[Row]:
    """Train in place by Adam on the smooth L1 loss; a row after each epoch.

    An epoch is trained when its row is asked for, so that the model can be looked at in between.

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
    for epoch in range(1, epochs + 1):
        losses, evaluations = [], []
        for batch in torch.randperm(len(data.inputs), generator=generator).split(batch_size):
            outputs = model(data.inputs[batch])
            loss = nn.functional.smooth_l1_loss(outputs, data.targets[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append((loss.item(), len(batch)))
            if isinstance(model, OdeModel) and model.stats:
                evaluations.append(model.stats.nfe_forward)
        total = sum(loss * count for loss, count in losses)
        mean = sum(evaluations) / len(evaluations) if evaluations else None
        yield {"epoch": epoch, "loss": total / len(data.inputs), "training_nfe": mean}


def fit(
    model: Model, data: Points, size: Mapping[str, Any], generator: torch.Generator
) -> list[Row]:
    """Train to the end: the rows of ``training_epochs`` as a list.

    Args:
        model, data, generator: as for ``training_epochs``.
        size: the ``epochs``, ``batch_size`` and ``learning_rate``, such as a cell's parameters.
    """
    budget = {name: size[name] for name in ("epochs", "batch_size", "learning_rate")}
    return list(training_epochs(model, data, generator=generator, **budget))


class Frozen(FrozenFlow):
    """A trained model with a flow, in float64, and some points on which its cost is measured.

    The gradient that is judged is that of the mean output. That of the training loss would be no
    measure: where a model fits it is zero but for errors.

    Args:
        model: the model; it is copied.
        points: the points [batch, dim], which are solved as one batch.
        reference_steps: as for ``FrozenFlow``.
    """

    def __init__(self, model: OdeModel, points: Tensor, reference_steps: int) -> None:
        self.model = deepcopy(model).double()
        with torch.no_grad():
            y0 = self.model.lift(points.double())
        head = self.model.head
        super().__init__(
            self.model.field,
            y0,
            lambda y1: head(y1).mean(),
            reference_steps,
            max_num_steps=STEP_LIMIT,
        )

    def flow(self, x: Tensor, ts: Tensor, tolerance: float) -> Float64[Tensor, "time batch state"]:
        """The states of the points ``x`` at the times ``ts``."""
        with torch.no_grad():
            y0 = self.model.lift(x.double())
            return solve(self.model.field, y0, ts.double(), **at(tolerance)).ys

    def end(self, x: Tensor, tolerance: float) -> Float64[Tensor, "batch state"]:
        """The states to which the flow takes the points ``x``."""
        return self.flow(x, x.new_tensor([0.0, 1.0]), tolerance)[-1]

    @torch.no_grad()
    def outputs(self, x: Tensor, tolerance: float) -> Float64[Tensor, "batch 1"]:
        """What the model's head makes of those states."""
        return self.model.head(self.end(x, tolerance))


def at(tolerance: float) -> dict[str, Any]:
    """The keyword arguments of ``solve`` for a tolerance."""
    return {"rtol": tolerance, "atol": tolerance, "max_num_steps": STEP_LIMIT}


def spheres(count: int, dim: int = 2, *, generator: torch.Generator) -> Points:
    """Training points of ``concentric_spheres``, a third of them in the ball."""
    return concentric_spheres(count // 3, count - count // 3, dim, generator=generator)


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


def accuracy(outputs: Float[Tensor, "count 1"], points: Points) -> float:
    """The share of the points whose output has the sign of the target."""
    return float((outputs * points.targets > 0).double().mean())


def by_volume(inner: float, outer: float, dim: int = 2) -> float:
    """The mean of a number for the ball and one for the shell, weighted by their volumes."""
    ball, shell = INNER_RADIUS**dim, OUTER_RADII[1] ** dim - OUTER_RADII[0] ** dim
    return (ball * inner + shell * outer) / (ball + shell)


def six_digits(value: float | Tensor) -> float:
    """A number as it is written for a picture."""
    return float(f"{float(value):.6g}")
