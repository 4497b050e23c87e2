"""The residuals of each section's equations on random problems.

What the two sides of an equation are stands in the module of its section: ``residual``,
``adjoint``, ``density``, ``augmented``.
"""

from collections.abc import Callable, Iterator

import torch

from odeclaims.cell import Cell, Context, Profile, Row
from odeclaims.claims.equations.adjoint import adjoint, algorithm, proof
from odeclaims.claims.equations.augmented import augmented
from odeclaims.claims.equations.calculus import Generator
from odeclaims.claims.equations.density import change, flows
from odeclaims.claims.equations.evaluation import Evaluation, Sides
from odeclaims.claims.equations.residual import euler, residual

SLUG = "equations"

SECTIONS: dict[str, Callable[[Generator], Iterator[Evaluation]]] = {
    "residual": residual,
    "euler": euler,
    "adjoint": adjoint,
    "proof": proof,
    "algorithm": algorithm,
    "change": change,
    "flows": flows,
    "augmented": augmented,
}


def cells(profile: Profile) -> Iterator[Cell]:
    """A cell for each section of the tutorial and each random problem."""
    for section in SECTIONS:
        for repetition in profile.repetitions(smoke=1, quick=3, paper=20):
            yield Cell(SLUG, {"section": section}, repetition)


def measure(cell: Cell, context: Context) -> list[Row]:
    """The residuals of a section's equations on one random problem."""
    rows = []
    for evaluation in SECTIONS[str(cell.params["section"])](cell.generator()):
        forms = [("printed", i, sides) for i, sides in enumerate(evaluation.printed, start=1)]
        for form, reading, sides in [*forms, ("corrected", 1, evaluation.corrected)]:
            row: Row = {"equation": evaluation.equation, "form": form, "reading": reading}
            rows.append(row | _difference(sides))
    return rows


def _difference(sides: Sides) -> Row:
    """The largest difference of the first side to another, and the two numbers that make it."""
    first = sides[0].detach().reshape(-1)
    others = torch.stack([side.detach().reshape(-1) for side in sides[1:]])
    distance = (others - first).abs()
    worst = int(distance.argmax())
    scale = max(1.0, float(torch.cat([first, others.reshape(-1)]).abs().max()))
    return {
        "left": float(first[worst % len(first)]),
        "right": float(others.reshape(-1)[worst]),
        "residual": float(distance.max()) / scale,
    }
