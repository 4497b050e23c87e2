"""What the claims about flows share: the cost of a model, how far it is, and pictures in rows."""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from neural_ode.flows import CNF, PlanarFlow
from odeclaims.cell import Row

Flow = PlanarFlow | CNF

# Lines of a picture, and places in a line.
GRID = 64


def evaluations(model: Flow) -> int | None:
    """Field evaluations of the last forward solve; ``None`` for a model without a solver."""
    return model.stats.nfe_forward if isinstance(model, CNF) and model.stats else None


def progress(step: int, steps: int, loss: Float[Tensor, " runs"], model: Flow) -> str:
    """Where a training is, for the one who waits; ``step`` counts from 0, losses are in nats."""
    spent = evaluations(model)
    cost = "" if spent is None else f", {spent} evaluations"
    return f"step {step + 1} of {steps}, mean loss {loss.mean().item():.3f} nats{cost}"


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


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


def picture(rows: pd.DataFrame) -> Float64[Tensor, "y x"]:
    """The picture, in thousandths, out of the rows of one; zeros where there are none."""
    texts = rows.sort_values("line")["densities"]
    lines = [list(map(int, text.split())) for text in texts]
    return torch.tensor(lines or [[0] * GRID] * GRID, dtype=torch.float64)
