"""Discretise, then optimise: backpropagation through every operation of the solver."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from neural_ode.field import Field, Plain
from neural_ode.integrate import integrate
from neural_ode.settings import Settings
from neural_ode.solution import Stats
from neural_ode.times import Times


@dataclass(frozen=True)
class Backprop:
    """The exact gradient of the numbers that the solver computed, by automatic differentiation.

    Memory grows with the number of accepted steps, since the graph of every evaluation is kept; the
    step sizes are constants of the graph. The loss may use every output, and higher derivatives
    work. In the paper's terms this is the RK-Net (Chen et al. 2018, sec. 3).
    """

    higher_derivatives: ClassVar[bool] = True

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """The solution under autograd; ``stats.nfe_backward`` stays ``None``."""
        stats = Stats()
        ys, _ = integrate(Plain(field, y0), y0, Times.read(ts), settings, stats.forward)
        return ys, stats
