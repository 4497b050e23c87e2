"""An equation as numbers: what each section of the tutorial yields for each of its equations."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

Sides = Sequence[Tensor]


@dataclass(frozen=True)
class Evaluation:
    """The sides of one equation, which are equal where it holds.

    Attributes:
        equation: its key in the catalogue.
        printed: the sides of each reading of the printed form.
        corrected: the sides of the corrected form.
    """

    equation: str
    printed: Sequence[Sides]
    corrected: Sides


def as_printed(equation: str, *sides: Tensor) -> Evaluation:
    """The evaluation of an equation that needs no correction."""
    return Evaluation(equation, [sides], sides)
