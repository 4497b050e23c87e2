"""The small models that Dupont et al. compare, and further ways around what a flow cannot do.

All but the residual network are ``head(flow(lift(x)))``: a start made from the input, the flow of a
field over [0, 1], and what is read off its end. A flow is a homeomorphism of its own space, so what
the models can represent depends on the lift.

Sources: Dupont, Doucet and Teh, Augmented Neural ODEs, 2019, and the code released with it
(``anode/models.py``, ``anode/discrete_models.py``); Norcliffe et al., On second order behaviour in
augmented neural ODEs, 2020; Massaroli et al., Dissecting neural ODEs, 2020 (the input layer).
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.arguments import (
    MOST_LAYERS,
    check_call,
    check_count,
    check_flag,
    check_input,
    check_module,
)
from neural_ode.networks.classifiers import OdeBlock
from neural_ode.networks.mlp import initialise
from neural_ode.solution import Stats


class ReluField(nn.Module):
    """``dy/dt = MLP([y, t])`` with two hidden layers and ReLU, the field of the ANODE paper.

    Args:
        dim: the dimension of the state.
        width: the width of each hidden layer.
        outputs: the dimension of the result; that of the state by default.
        time_dependent: whether the time is an input.

    Raises:
        ValueError: for a dimension or a width below 1.
        TypeError: for an argument of another type. What it is called with is checked as well.
    """

    def __init__(
        self, dim: int, width: int = 32, outputs: int | None = None, *, time_dependent: bool = True
    ) -> None:
        super().__init__()
        check_count("dim", dim)
        check_count("width", width)
        check_flag("time_dependent", time_dependent)
        if outputs is None:
            outputs = dim
        check_count("outputs", outputs)
        self.dim, self.time_dependent = dim, time_dependent
        self.layers = nn.Sequential(
            nn.Linear(dim + time_dependent, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, outputs),
        )

    def forward(
        self, t: Float[Tensor, "*each"], y: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch outputs"]:
        """The derivative at time ``t``, or at one for each, for a batch of states."""
        try:
            x = torch.cat([y, t.expand(len(y), 1)], dim=1) if self.time_dependent else y
            return self.layers(x)
        except Exception:
            check_call(self, t, "y", y, "batch", self.dim)
            raise


class SecondOrderField(nn.Module):
    """The field of ``x'' = a(t, x, x')`` on states [x, x'].

    Args:
        acceleration: maps a time and states [batch, 2 dim] to accelerations [batch, dim].

    Raises:
        TypeError: for an acceleration that is not a module.
        ValueError: for states with an odd number of coordinates.
    """

    def __init__(self, acceleration: nn.Module) -> None:
        super().__init__()
        check_module("acceleration", acceleration)
        self.acceleration = acceleration

    def forward(
        self, t: Float[Tensor, "*each"], y: Float[Tensor, "batch two_dim"]
    ) -> Float[Tensor, "batch two_dim"]:
        """The velocity and the acceleration."""
        try:
            half, odd = divmod(y.shape[1], 2)
            if not odd:
                return torch.cat([y[:, half:], self.acceleration(t, y)], dim=1)
        except Exception:
            check_call(self, t, "y", y, "batch", "2 dim")
            raise
        raise ValueError(f"y has the shape {tuple(y.shape)}, expected [batch, 2 dim]")


class ZeroPad(nn.Module):
    """``[x, 0]``: the augmentation of the ANODE paper; ``augment_dim`` zeros are appended."""

    def __init__(self, augment_dim: int) -> None:
        super().__init__()
        self.augment_dim = augment_dim

    def forward(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch state"]:
        """The padded points."""
        return nn.functional.pad(x, (0, self.augment_dim))


class WithVelocity(nn.Module):
    """``[x, v(x)]``: the point and an initial velocity that is learned, by one hidden layer."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.velocity = nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, dim))

    def forward(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch two_dim"]:
        """The points with their velocities."""
        return torch.cat([x, self.velocity(x)], dim=1)


class FirstCoordinates(nn.Module):
    """The first ``count`` coordinates of a state, which are the output without a linear head."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, y: Float[Tensor, "batch state"]) -> Float[Tensor, "batch count"]:
        """The first coordinates."""
        return y[:, : self.count]


class OdeModel(nn.Module):
    """``head(flow(lift(x)))``; the functions below make the usual ones.

    Args:
        lift: from inputs [batch, dim] to states [batch, state].
        field: the field on those states.
        head: from states to outputs [batch, outputs].
        dim: the dimension of the inputs, if a wrong one is to be named in the error.
        generator: the source of the initial weights.
        solver: keyword arguments of ``solve``, such as ``rtol`` and ``method``.

    Raises:
        TypeError: for a part that is not a module, or a keyword that ``solve`` does not know. What
            it is called with is checked as well.
    """

    def __init__(
        self,
        lift: nn.Module,
        field: nn.Module,
        head: nn.Module,
        *,
        dim: int | None = None,
        generator: torch.Generator | None = None,
        **solver: Any,
    ) -> None:
        super().__init__()
        check_module("lift", lift)
        check_module("head", head)
        if dim is not None:
            check_count("dim", dim)
        self.lift, self.block, self.head = lift, OdeBlock(field, **solver), head
        self.dim = dim
        initialise(self, generator)

    def features(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch state"]:
        """The states at the end of the flow, from which the head reads."""
        try:
            return self.block(self.lift(x))
        except Exception:
            check_input(self, "x", x, "batch", self.dim or "dim")
            raise

    def forward(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch outputs"]:
        """The outputs."""
        return self.head(self.features(x))

    @property
    def field(self) -> nn.Module:
        """The field."""
        return self.block.field

    @property
    def stats(self) -> Stats | None:
        """The cost of the last solve; ``None`` before the first."""
        return self.block.stats


def _head(state: int, dim: int, outputs: int | None) -> nn.Module:
    if outputs is not None:
        check_count("outputs", outputs)
    return FirstCoordinates(dim) if outputs is None else nn.Linear(state, outputs)


def augmented_model(
    dim: int,
    width: int = 32,
    *,
    augment_dim: int = 0,
    outputs: int | None = 1,
    time_dependent: bool = True,
    generator: torch.Generator | None = None,
    **solver: Any,
) -> OdeModel:
    """An augmented Neural ODE (ANODE); with ``augment_dim=0`` a plain one (NODE).

    Args:
        dim: the dimension of the inputs.
        width: the width of the field's hidden layers.
        augment_dim: how many zeros are appended to an input.
        outputs: the dimension of a linear head; without one (``None``) the output is where the flow
            takes the input's own coordinates.
        time_dependent: whether the field depends on time.
        generator, solver: as for ``OdeModel``.

    Raises:
        ValueError: for a negative ``augment_dim``, or another number below 1.
        TypeError: for an argument of another type.
    """
    check_count("dim", dim)
    check_count("augment_dim", augment_dim, 0)
    state = dim + augment_dim
    field = ReluField(state, width, time_dependent=time_dependent)
    head = _head(state, dim, outputs)
    lift = ZeroPad(augment_dim)
    return OdeModel(lift, field, head, dim=dim, generator=generator, **solver)


def input_layer_model(
    dim: int,
    width: int = 32,
    *,
    augment_dim: int = 0,
    outputs: int | None = 1,
    time_dependent: bool = True,
    generator: torch.Generator | None = None,
    **solver: Any,
) -> OdeModel:
    """The same with a learned linear layer before the flow, in the place of the zeros."""
    check_count("dim", dim)
    check_count("augment_dim", augment_dim, 0)
    state = dim + augment_dim
    field = ReluField(state, width, time_dependent=time_dependent)
    head = _head(state, dim, outputs)
    lift = nn.Linear(dim, state)
    return OdeModel(lift, field, head, dim=dim, generator=generator, **solver)


def second_order_model(
    dim: int,
    width: int = 32,
    *,
    outputs: int | None = 1,
    time_dependent: bool = True,
    generator: torch.Generator | None = None,
    **solver: Any,
) -> OdeModel:
    """A second-order Neural ODE: ``x'' = a(t, x, x')``, with a learned initial velocity.

    Points may pass each other where their velocities differ; the flow is one of positions and
    velocities.
    """
    check_count("dim", dim)
    acceleration = ReluField(2 * dim, width, dim, time_dependent=time_dependent)
    head = _head(2 * dim, dim, outputs)
    lift, field = WithVelocity(dim, width), SecondOrderField(acceleration)
    return OdeModel(lift, field, head, dim=dim, generator=generator, **solver)


class ResidualModel(nn.Module):
    """The discrete residual network of the ANODE paper: ``x + f_l(x)`` in each block, then a head.

    Args:
        dim: the dimension of the inputs and of every state.
        width: the width of the hidden layer of each block.
        blocks: how many there are.
        outputs: as for ``augmented_model``.
        last_relu: whether a block ends with a ReLU, as in the released code. Its updates are then
            never negative, so that without a head nothing can be taken from +1 to -1.
        generator: the source of the initial weights.

    Raises:
        ValueError: for a dimension or a width below 1, or a negative number of blocks.
        TypeError: for an argument of another type. What it is called with is checked as well.
    """

    def __init__(
        self,
        dim: int,
        width: int = 32,
        blocks: int = 5,
        *,
        outputs: int | None = 1,
        last_relu: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count("dim", dim)
        check_count("width", width)
        check_count("blocks", blocks, 0, MOST_LAYERS)
        check_flag("last_relu", last_relu)
        self.dim = dim
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            layers: Sequence[nn.Module] = [nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, dim)]
            self.blocks.append(nn.Sequential(*layers, *[nn.ReLU()] * last_relu))
        self.head = _head(dim, dim, outputs)
        initialise(self, generator)

    def states(
        self, x: Float[Tensor, "batch dim"], substeps: int = 1
    ) -> Float[Tensor, "steps batch dim"]:
        """The states before the first and after every step.

        With more than one ``substeps`` every block is taken so many times with that part of its
        update: Euler's method with step ``1 / substeps`` for a field that is constant in time
        within a block. With ever smaller steps that becomes a flow.
        """
        check_count("substeps", substeps)
        states = [x]
        try:
            for block in self.blocks:
                for _ in range(substeps):
                    states.append(states[-1] + block(states[-1]) / substeps)
            return torch.stack(states)
        except Exception:
            check_input(self, "x", x, "batch", self.dim)
            raise

    def features(
        self, x: Float[Tensor, "batch dim"], substeps: int = 1
    ) -> Float[Tensor, "batch dim"]:
        """The states after the last block, from which the head reads."""
        return self.states(x, substeps)[-1]

    def forward(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch outputs"]:
        """The outputs."""
        return self.head(self.features(x))
