"""What the claims about flows share: cost, mean, round trip and picture of a model, as rows."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from neural_ode.flows import CNF, PlanarFlow
from odeclaims.cell import Row
from odeclaims.kits.constants import GRID
from odeclaims.kits.validity import relative_error

Flow = PlanarFlow | CNF


def evaluations(model: Flow) -> int | None:
    """Field evaluations of the last forward solve; ``None`` for a model without a solver."""
    return model.stats.nfe_forward if isinstance(model, CNF) and model.stats else None


def progress(step: int, steps: int, loss: Float[Tensor, " runs"], model: Flow) -> str:
    """How far a training is, in words; ``step`` counts from 0, losses are in nats."""
    spent = evaluations(model)
    cost = "" if spent is None else f", {spent} evaluations"
    return f"step {step + 1} of {steps}, mean loss {loss.mean().item():.3f} nats{cost}"


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are known; ``None`` where no value is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def means_and_errors(
    parts: Sequence[Float64[Tensor, "runs _"]],
) -> tuple[list[float], list[float]]:
    """For each run the mean over the points of all parts, and the standard error of that mean."""
    whole = torch.cat(list(parts), dim=1)
    return whole.mean(dim=1).tolist(), (whole.std(dim=1) / math.sqrt(whole.shape[1])).tolist()


def round_trip_errors(model: Flow, x: Float[Tensor, "runs count 2"]) -> list[float]:
    """How far points of the data are from where they were, taken to the base and back.

    Args:
        model: as many flows as there are runs.
        x: the points of each.

    Returns:
        For each run the relative L2 distance between its points before and after.

    Raises:
        SolverFailure: where a solve of a CNF fails.
    """
    if isinstance(model, CNF):
        z = model.transport(x, [model.end, 0.0])[-1]
        again = model.transport(z, [0.0, model.end])[-1]
    elif model.towards == "base":
        again = model.inverse(model(x)[0])
    else:
        again = model(model.inverse(x))[0]
    return [relative_error(after, before) for before, after in zip(x, again, strict=True)]


def centres(left: float, right: float, lower: float, upper: float) -> Float64[Tensor, "places 2"]:
    """The centres of a picture's cells, line by line from below."""
    unit = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    second, first = torch.meshgrid(
        lower + (upper - lower) * unit, left + (right - left) * unit, indexing="ij"
    )
    return torch.stack([first, second], dim=-1).reshape(-1, 2)


def picture_rows(log_prob: Float64[Tensor, " places"]) -> list[Row]:
    """A density at the ``centres``, in thousandths: a row for each line of the picture."""
    thousandths = (1000 * log_prob.exp()).nan_to_num().round().long().reshape(GRID, GRID).tolist()
    return [
        {"kind": "density", "line": i, "densities": " ".join(map(str, line))}
        for i, line in enumerate(thousandths)
    ]
