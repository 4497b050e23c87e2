"""What the claims about digit classifiers share: their digits, and a trained net held fixed.

A net is frozen in one of two ways. ``freeze`` gives its block as it was trained, in float32, so
that what a solve costs and how wrong it is can be set against a float64 reference. ``frozen_flow``
gives the flow in float64 with the usual validity stamp.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from neural_ode import Backprop, Checkpointed, Solution, solve
from neural_ode.data import MNIST, mnist
from neural_ode.delegate import is_delegated, solve_with
from neural_ode.networks import ImageOdeModel, OdeClassifier
from odeclaims.kits.validity import FrozenFlow, reconstruction_error, relative_error

# Far more steps than a solve takes that comes to an end.
STEP_LIMIT = 20_000


def at(tolerance: float, **more: Any) -> dict[str, Any]:
    """The keyword arguments of ``solve`` for a tolerance, and ``more`` of them."""
    return {"rtol": tolerance, "atol": tolerance, "max_num_steps": STEP_LIMIT, **more}


def first(data: MNIST, count: int) -> MNIST:
    """The first digits of a split; all of them where there are fewer."""
    return MNIST(data.images[:count], data.labels[:count])


def draw(data: MNIST, count: int, generator: torch.Generator) -> MNIST:
    """So many different digits of a split, drawn at random."""
    places = torch.randperm(len(data.images), generator=generator)[:count]
    return MNIST(data.images[places], data.labels[places])


@dataclass(frozen=True, eq=False)
class FrozenBlock:
    """The flow of a trained net over [0, 1], from the features of a batch of digits.

    Attributes:
        field: the field.
        head: maps the final state to logits.
        y0: the features.
        labels: the digits that are shown.
    """

    field: nn.Module
    head: nn.Module
    y0: Float[Tensor, "batch channels height width"]
    labels: Int64[Tensor, " batch"]

    @cached_property
    def ts(self) -> Float[Tensor, " two"]:
        """The ends of the interval."""
        return self.y0.new_tensor([0.0, 1.0])

    def double(self) -> "FrozenBlock":
        """A copy in float64."""
        field, head = (deepcopy(module).double() for module in (self.field, self.head))
        return FrozenBlock(field, head, self.y0.double(), self.labels)

    def loss(
        self, name: str, y1: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, ""]:
        """A loss of the final state.

        Args:
            name: ``mean`` or ``sum`` of the cross-entropy, or ``squares``, the summed squares of
                the final state.
            y1: the final state.
        """
        if name == "squares":
            return y1.square().sum()
        return nn.functional.cross_entropy(self.head(y1), self.labels, reduction=name)

    @torch.no_grad()
    def flow(self, **solver: Any) -> Solution:
        """A solve that is not differentiated; ``solver`` are arguments of ``solve``."""
        return solve(self.field, self.y0, self.ts, **solver)

    def forward(self, **solver: Any) -> "ForwardPass":
        """A solve that can be differentiated; ``solver`` are arguments of ``solve``."""
        y0 = self.y0.clone().requires_grad_(True)
        return ForwardPass(self, y0, solve(self.field, y0, self.ts, **solver))

    def reconstruction_error(self, **solver: Any) -> float:
        """How far from the start the solver ends when it goes there and back."""
        y1 = self.flow(**solver).ys[-1]
        return reconstruction_error(self.field, self.y0, y1, self.ts, solver)


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """One solve of a block, through which several losses can be differentiated in turn.

    Attributes:
        block: the block.
        y0: its start, for which the losses are differentiated.
        solution: the solve, whose statistics also count the last backward pass.
    """

    block: FrozenBlock
    y0: Float[Tensor, "batch channels height width"]
    solution: Solution

    def gradient(self, loss: str = "mean") -> Float[Tensor, " entries"]:
        """The gradient of a loss for the start and the parameters of the field, as one vector."""
        inputs = [self.y0, *self.block.field.parameters()]
        value = self.block.loss(loss, self.solution.ys[-1])
        gradients = torch.autograd.grad(value, inputs, retain_graph=True)
        return torch.cat([g.reshape(-1) for g in gradients])


@dataclass(frozen=True, eq=False)
class Reference:
    """A gradient in float64, and its relative distance from that by half as many steps."""

    gradient: Float64[Tensor, " entries"]
    error: float


def references(
    block: FrozenBlock, steps: int, losses: Sequence[str] = ("mean",), **solver: Any
) -> dict[str, Reference]:
    """The reference of the gradient of each loss, by many small steps in float64.

    Where a ReLU bends, a gradient converges to first order only, so tight tolerances do not pay.

    Args:
        block: the block, in any precision.
        steps: equal steps of the reference; the looser one has half as many.
        losses: their names, as for ``FrozenBlock.loss``.
        solver: further arguments of ``solve``, ``method`` among them.
    """
    double = block.double()

    # The truth is the same for every solver that is measured.
    @solve_with(None)
    def gradients(count: int) -> list[Tensor]:
        solved = double.forward(step_size=1 / count, **solver)
        return [solved.gradient(loss) for loss in losses]

    return {
        loss: Reference(fine, relative_error(coarse, fine))
        for loss, fine, coarse in zip(losses, gradients(steps), gradients(steps // 2), strict=True)
    }


def freeze(model: OdeClassifier, digits: MNIST) -> FrozenBlock:
    """The block of a net as it is now, on some digits. The net's modules are not copied."""
    device = next(model.parameters()).device
    with torch.no_grad():
        y0 = model.stem(mnist.normalised(digits.images.to(device)))
    return FrozenBlock(model.field, model.head, y0, digits.labels.to(device))


def frozen_flow(
    model: OdeClassifier | ImageOdeModel, digits: MNIST, reference_steps: int, **solver: Any
) -> FrozenFlow:
    """The flow of a copy of a net in float64, on some digits; it is judged by the mean loss.

    Args:
        model: the net.
        digits: solved as one batch.
        reference_steps: as for ``FrozenFlow``.
        solver: further arguments of ``solve``; by default a solve ends at ``STEP_LIMIT`` steps, and
            its gradient is that of the computed steps: in the memory of one of them by this
            project's solver, and by backprop through another's.
    """
    net, device = deepcopy(model).double(), next(model.parameters()).device
    start = net.stem if isinstance(net, OdeClassifier) else net.lift
    labels = digits.labels.to(device)
    by_steps = Backprop() if is_delegated() else Checkpointed()
    with torch.no_grad():
        y0 = start(mnist.normalised(digits.images.to(device)).double())
    return FrozenFlow(
        net.field,
        y0,
        lambda y1: nn.functional.cross_entropy(net.head(y1), labels),
        reference_steps,
        **{"max_num_steps": STEP_LIMIT, "gradient": by_steps, **solver},
    )
