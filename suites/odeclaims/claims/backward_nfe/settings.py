"""What the rooms of this claim share: its name, the solvers, and the settings of the way back."""

from dataclasses import dataclass
from typing import Literal

SLUG = "backward_nfe"
Norm = Literal["rms", "seminorm"]
# The first is the paper's.
METHODS = ("adams", "dopri5", "bosh3")
# Where one thing at a time is changed, the summed squares end at this tolerance: with them each
# decade costs three times more.
TIGHTEST_SQUARES = 1e-3
# Where settings are changed, here; the published one goes on to tolerances whose solves are valid.
TIGHTEST_CHANGED = 1e-5


@dataclass(frozen=True)
class Setting:
    """What can be chosen for the way back; by default the published choice.

    Attributes:
        adjoint_factor: how many times looser its tolerance is.
        norm: the norm of its error.
        loss: what is differentiated: mean, sum or squares.
    """

    adjoint_factor: int = 1
    norm: Norm = "rms"
    loss: str = "mean"


PUBLISHED = Setting()
