"""Shared by the backends on torch: the backward pass, conversion to NumPy, and a counting field."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from neural_ode import Stats
from neural_ode.failures import not_finite
from neural_ode.field import Field
from neural_ode.solution import Counts
from odeclaims.backends.base import Ending
from odeclaims.workloads import Problem, Training, loss_of

# From initial states to the states at the output times, shape [time, batch, *features], and what
# the solver reports about its cost.
Solve = Callable[[Tensor], tuple[Tensor, Any]]


@dataclass(frozen=True)
class Pass:
    """A forward pass, and the backward pass where a gradient was asked for.

    Attributes:
        ys: the states at the output times, with or without the first.
        stats: what the solver reports about its cost.
        gradients: those of the initial states and of each parameter; where a net is trained, those
            of the parameters of stem, field and head; ``None`` without a gradient.
    """

    ys: Float[Tensor, "time batch *features"]
    stats: Any
    gradients: Sequence[Tensor] | None


def run(solve: Solve, problem: Problem, gradient: str | None) -> Pass:
    """Solve, and differentiate if a gradient is asked for; wait until all of it is done."""
    output = _run(solve, problem, gradient)
    wait_for(problem)
    return output


def wait_for(problem: Problem) -> None:
    """Wait until the problem's device has done all work that it was given."""
    if problem.y0.is_cuda:
        torch.cuda.synchronize(problem.y0.device)


def _run(solve: Solve, problem: Problem, gradient: str | None) -> Pass:
    if gradient is None:
        with torch.no_grad():
            return Pass(*solve(problem.y0), None)
    if problem.training is not None:
        return _iteration(solve, problem.field, problem.training)
    y0 = problem.y0.clone().requires_grad_()
    ys, stats = solve(y0)
    gradients = torch.autograd.grad(loss_of(ys), [y0, *problem.field.parameters()])
    return Pass(ys, stats, gradients)


def _iteration(solve: Solve, field: nn.Module, training: Training) -> Pass:
    """One iteration of training, with a rate of zero, so that each round does the same work."""
    ys, stats = solve(training.stem(training.images))
    parameters = [p for part in (training.stem, field, training.head) for p in part.parameters()]
    gradients = torch.autograd.grad(training.loss(ys[-1]), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    torch.optim.SGD(parameters, lr=0.0).step()
    return Pass(ys, stats, gradients)


def states(output: Pass, problem: Problem) -> Float64[np.ndarray, "time batch *features"]:
    """The states after the first output time."""
    return output.ys[-(len(problem.ts) - 1) :].detach().double().cpu().numpy()


def gradient_vector(output: Pass) -> Float64[np.ndarray, " inputs"] | None:
    """The gradients one after another, as one vector."""
    if output.gradients is None:
        return None
    return torch.cat([g.reshape(-1) for g in output.gradients]).double().cpu().numpy()


def ending(
    solve: Callable[[Tensor], tuple[Tensor, Tensor]], problem: Problem, gradient: str | None
) -> Ending:
    """The end at an event, with the gradient of its time if one is asked for.

    Args:
        solve: from initial states to the time of the event and the state there.
        problem: the problem.
        gradient: the way to the gradient; ``None`` for none.
    """
    y0 = problem.y0.clone().requires_grad_(gradient is not None)
    with torch.set_grad_enabled(gradient is not None):
        t, y = solve(y0)
    vector = None
    if gradient is not None:
        inputs = [y0, *problem.field.parameters()]
        # A gradient that is lost is zero, so that it is seen as a wrong number.
        parts = torch.autograd.grad(t, inputs, allow_unused=True, materialize_grads=True)
        vector = torch.cat([part.reshape(-1) for part in parts]).double().cpu().numpy()
    return Ending(t.item(), y.detach().double().cpu().numpy(), vector)


class CountedField(nn.Module):
    """A field that counts how often it is evaluated, for solvers that do not count.

    Attributes:
        stats: evaluations on the way there, and those of the last way back.
        ended: whether the way there has ended.
    """

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        self.stats = Stats()
        self.ended = False

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The field's derivative."""
        self.counts.nfe += 1
        return self.field(t, y)

    def end_forward(self, ys: Float[Tensor, "time *state"]) -> Stats:
        """From here on evaluations count as those of the way back, for each backward pass anew.

        Args:
            ys: the states of the solve, through which every backward pass goes.
        """
        self.ended = True
        if ys.requires_grad:
            ys.register_hook(self._begin_backward)
        return self.stats

    def _begin_backward(self, gradient: Tensor) -> None:
        self.stats.backward = None

    @property
    def count(self) -> int:
        """All evaluations so far, on the last way back alone."""
        return self.stats.nfe_forward + (self.stats.nfe_backward or 0)

    @property
    def counts(self) -> Counts:
        """The counts of the way that the solve is on."""
        if not self.ended:
            return self.stats.forward
        if self.stats.backward is None:
            self.stats.backward = Counts()
        return self.stats.backward


def finish(
    counted: CountedField, ys: Float[Tensor, "time *state"], ts: Float[Tensor, " time"]
) -> tuple[Float[Tensor, "time *state"], Stats]:
    """What ``Backend.solve`` returns.

    Raises:
        NonFinite: for a state that is not finite.
    """
    finite = ys.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        raise not_finite(float(ts[int(finite.int().argmin())]), "at")
    return ys, counted.end_forward(ys)
