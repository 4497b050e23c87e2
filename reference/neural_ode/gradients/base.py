"""What ``solve`` asks of a way to the gradient."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from neural_ode.field import Field
from neural_ode.settings import Settings
from neural_ode.solution import Stats


@runtime_checkable
class Gradient(Protocol):
    """How the gradient of a loss reaches the initial state, the parameters and the times.

    An object with this one method, which need not inherit anything. Its class may also say what the
    tests hold it to, each ``False`` where it does not say it: ``higher_derivatives``, that its
    gradient can be differentiated again; ``needs_undo``, that it works with a method whose steps
    can be undone alone.
    """

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """The solution at ``ts``, which autograd can differentiate, and what it has cost.

        Args:
            field: the derivative of the state.
            y0: the initial state.
            ts: the output times.
            settings: everything else that ``solve`` was given.

        Raises:
            ValueError: for what this way to the gradient cannot do.
        """
        ...
