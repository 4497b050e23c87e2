"""What a solve gives back, and what it has cost."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from neural_ode.dense import Trajectory


# Equality would compare tensors, which have no single truth value.
@dataclass(eq=False)
class SampleCounts:
    """What each sample of a batch cost, in a solve with ``batch="independent"``.

    Attributes:
        nfe: field evaluations until the sample was at its last output, shape [batch].
        accepted, rejected: its steps, shape [batch].
    """

    nfe: Int64[Tensor, " batch"]
    accepted: Int64[Tensor, " batch"]
    rejected: Int64[Tensor, " batch"]

    @classmethod
    def zero(cls, count: int) -> "SampleCounts":
        """Those before the first step, on the host."""
        return cls(*torch.zeros(3, count, dtype=torch.int64).unbind())


@dataclass
class Counts:
    """What one or several integrations cost.

    Attributes:
        nfe: field evaluations; with ``batch="independent"`` each is one of the whole batch.
        accepted, rejected: steps; with ``batch="independent"`` those of all samples together. What
            the implicit solvers of ``scipy_solver`` reject is not known, and not counted.
        compile_s: seconds spent compiling; zero where everything was compiled before.
        samples: what each sample cost, where each has its own steps.
    """

    nfe: int = 0
    accepted: int = 0
    rejected: int = 0
    compile_s: float = 0.0
    samples: SampleCounts | None = None


@dataclass
class Stats:
    """The cost of one solve, counted in the solver and not in the user's field.

    Attributes:
        forward: the counts of the forward integration.
        backward: the counts of the adjoint's own integrations, filled when ``.backward()`` has run;
            ``None`` before that, and always for a method that re-solves nothing.
    """

    forward: Counts = field(default_factory=Counts)
    backward: Counts | None = None

    @property
    def nfe_forward(self) -> int:
        """Field evaluations of the forward integration, those of the initial step included."""
        return self.forward.nfe

    @property
    def nfe_backward(self) -> int | None:
        """Evaluations of the field, each with its vector-Jacobian product, on the way back."""
        return None if self.backward is None else self.backward.nfe

    @property
    def compile_s(self) -> float:
        """Seconds that ``compile=True`` spent compiling in this solve, on the way back included."""
        return self.forward.compile_s + (self.backward.compile_s if self.backward else 0.0)

    @property
    def samples(self) -> SampleCounts | None:
        """What each sample of the forward integration cost, with ``batch="independent"``."""
        return self.forward.samples

    @property
    def accepted(self) -> int:
        """Accepted steps of the forward integration."""
        return self.forward.accepted

    @property
    def rejected(self) -> int:
        """Rejected steps of the forward integration."""
        return self.forward.rejected


@dataclass(frozen=True)
class Solution:
    """The solution of an initial value problem.

    Attributes:
        ts: the output times, shape [time].
        ys: the states at those times, shape [time, *state], in the dtype of ``y0``.
        stats: what the solve has cost.
        trajectory: the steps, where ``dense=True`` has kept them.
    """

    ts: Float[Tensor, " time"]
    ys: Float[Tensor, "time *state"]
    stats: Stats
    trajectory: Trajectory | None = field(default=None, repr=False)

    def at(self, t: float | Float[Tensor, "*time"]) -> Float[Tensor, "..."]:
        """The state at any time between the first and the last of a solve with ``dense=True``.

        It comes from the dense output of the method, which has the method's order, or from the
        ``interpolation`` of a grid. ``Backprop()`` gives it a gradient by the state, the parameters
        and the times, ``t`` included. The gradient of any other way reaches ``ts`` alone, so that a
        backward pass from here says to put the time there.

        Args:
            t: a number or a tensor without dimensions, or several times, shape [time].

        Returns:
            The state, or the states, shape [time, *state].

        Raises:
            ValueError: for a solve without ``dense=True``, and for times outside it.
            TypeError: for anything but times.
        """
        if self.trajectory is None:
            raise ValueError("the steps were not kept: solve with dense=True to have at(t)")
        return self.trajectory.at(t, self.ts, self.ys)
