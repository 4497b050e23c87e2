"""What the steppers of reversible methods share: a second state beside the first."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from neural_ode.kept import lend, own
from neural_ode.step.base import Carried
from neural_ode.step.error import ErrorTest
from neural_ode.step.runge_kutta import RungeKutta
from neural_ode.times import Time


class WithSecondState(RungeKutta):
    """A stepper that carries a second state, which begins as the first one does.

    It stands behind the slope in what a step begins with.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # A step that began with a new slope would also begin with a new second state.
        self.carries = True

    @property
    def for_loop(self) -> None:
        """The compiled loop has no place for the second state."""
        return None

    def slope(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Carried:
        """The slope at ``(t, y)``, with the second state at y."""
        return (*own(self.evaluate(t, lend(y), True)), y)

    def start(
        self,
        t0: Time,
        direction: Time,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        test: ErrorTest,
    ) -> tuple[Carried, Time]:
        """The first slope, with the second state at ``y0``, and a good size of the first step."""
        f0, size = super().start(t0, direction, y0, q0, test)
        return (*f0, y0), size
