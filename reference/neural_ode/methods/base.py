"""What the loops, the settings and the gradients ask of a method.

A method is an object with the members of ``Method``; it need not inherit anything. Each method, or
family of methods, is a file of this package, and ``find_method`` finds it there by its name.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from neural_ode.solution import Counts
from neural_ode.step.base import Evaluate, Stepper
from neural_ode.step.samples import SampleRungeKutta
from neural_ode.times import Times

if TYPE_CHECKING:
    import neural_ode.settings


class Taken(NamedTuple):
    """An accepted step as it is remembered for the way back.

    Attributes:
        t, h: where it began and its signed size.
        outputs: the numbers of the output times inside it, and their fractions of the step.
    """

    t: float
    h: float
    outputs: Sequence[tuple[int, float]]


@runtime_checkable
class Differentiate(Protocol):
    """The field of a solve, as its steps are taken back."""

    def __call__(
        self, t: float, y: Float[Tensor, "*state"], a: Float[Tensor, "*state"]
    ) -> tuple[Float[Tensor, "*state"], Float[Tensor, "*state"]]:
        """The field there, and the product of ``a`` with its derivative by the point.

        The product with the derivative by the parameters is added to their gradients.
        """
        ...

    def value(self, t: float, y: Float[Tensor, "*state"]) -> Float[Tensor, "*state"]:
        """The field there."""
        ...


def iterates(method: "Method") -> bool:
    """Whether a method heeds the tolerances in steps of given sizes, for an iteration."""
    return getattr(method, "iterates", False)


def ends_at_outputs(method: "Method") -> bool:
    """Whether a step of a method has to end at each output time."""
    return getattr(method, "ends_at_outputs", False)


@runtime_checkable
class Undo(Protocol):
    """Takes the steps of a solve back, from the last to the first, and differentiates them."""

    def __call__(
        self,
        taken: Sequence[Taken],
        y: Float[Tensor, "*state"],
        memory: Sequence[Tensor],
        grad_ys: Float[Tensor, "time *state"],
        differentiate: Differentiate,
    ) -> Float[Tensor, "*state"]:
        """The gradient by ``y0`` through the steps.

        Args:
            taken: the steps, in the order in which they were taken.
            y: the state at the end of the last.
            memory: what the method itself carried there: its ``Carried`` without the slope.
            grad_ys: the gradient of the loss by each output.
            differentiate: the field and its derivative.
        """
        ...


@runtime_checkable
class Integrate(Protocol):
    """Solves a whole problem; see ``integrate.integrate`` for the arguments and the results."""

    def __call__(
        self,
        evaluate: Evaluate,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        times: Times,
        settings: "neural_ode.settings.Settings",
        counts: Counts,
    ) -> tuple[Float[Tensor, "time *state"], Float[Tensor, " integrals"] | None]:
        """The solution at ``times``, and the integrals at the last of them."""
        ...


@runtime_checkable
class Method(Protocol):
    """A method by which ``solve`` steps, or to which it leaves the whole problem.

    It may have five further members. ``options``: the names of those of its fields, as a
    dataclass, that ``odeint(options=...)`` may set. ``iterates``: whether its steps are solved for
    by an iteration, so that it heeds the tolerances also in steps of given sizes.
    ``ends_at_outputs``: whether its adaptive steps end at output times, since it knows the solution
    better there. ``sample_stepper``: see ``SampleMethod``. ``coefficients``: the tableau of an
    explicit Runge-Kutta method.
    """

    @property
    def name(self) -> str:
        """The name by which ``solve(method=...)`` finds it."""
        ...

    @property
    def order(self) -> int:
        """The order of the solution that is carried forward; the highest where it varies."""
        ...

    @property
    def adaptive(self) -> bool:
        """Whether it estimates its error, and so can choose its steps."""
        ...

    @property
    def fixed_norm(self) -> bool:
        """Whether its norm of errors cannot be chosen, so that ``solve`` takes none."""
        ...

    @property
    def one_step(self) -> bool:
        """Whether a step needs the state at its beginning alone, and so can be taken again."""
        ...

    @property
    def has_dense_output(self) -> bool:
        """Whether the solution is known at any time inside a step; the steps can be watched."""
        ...

    @property
    def undo(self) -> Undo | None:
        """Takes steps back exactly; ``None`` for a method whose steps cannot be undone."""
        ...

    @property
    def integrate(self) -> Integrate | None:
        """Solves the whole problem, where a library takes the steps.

        It is ``None`` for a method whose steps the loops of this package take, by its ``stepper``.
        """
        ...

    def accepts(self, setting: str) -> bool:
        """Whether the setting of this name, a field of ``Settings``, means something to it."""
        ...

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> Stepper:
        """What takes its steps.

        Args:
            y: a state; its shape, dtype and device are those of every later one.
            evaluate: the field.
            traced: whether a compiler reads the steps, or a transform of ``torch.func``.

        Raises:
            ValueError: for a method whose steps a library takes.
        """
        ...


@runtime_checkable
class SampleMethod(Protocol):
    """A method that can take steps in which each sample of a batch has its own size."""

    def sample_stepper(
        self, y: Float[Tensor, "batch *sample"], evaluate: Evaluate
    ) -> SampleRungeKutta:
        """What takes such steps; times and sizes are [batch, 1, ..., 1].

        Args:
            y: a state; its shape, dtype and device are those of every later one.
            evaluate: the field, which is called with a time of that shape.
        """
        ...
