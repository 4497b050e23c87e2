"""The trace of a field's Jacobian: in closed form, by autograd, or by an unbiased estimate.

A trace is a function ``trace(field, t, z) -> (f, tr df/dz)`` for states [..., dim] whose rows do
not see each other; it gives the value of the field too, since both share their work.

Sources: Chen et al. 2018, sec. 4; Grathwohl et al., FFJORD, 2019, sec. 3.1, for the estimate with
one noise vector a solve; Hutchinson 1990.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import check_callable, check_choice, check_generator, check_tensor
from neural_ode.field import Field

Trace = Callable[[Any, Tensor, Tensor], tuple[Tensor, Tensor]]


def closed_trace(
    field: Any, t: Float[Tensor, "*each"], z: Float[Tensor, "*batch dim"]
) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch"]]:
    """The field and its trace, as the field's own ``field_and_trace`` gives them.

    Raises:
        ValueError: for a field without one.
    """
    if not hasattr(field, "field_and_trace"):
        raise ValueError(
            f"field is {type(field).__name__}, which has no field_and_trace: use exact_trace or"
            " Hutchinson()"
        )
    return field.field_and_trace(t, z)


def exact_trace(
    field: Field, t: Float[Tensor, "*each"], z: Float[Tensor, "*batch dim"]
) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch"]]:
    """The field and its trace by autograd, one vector-Jacobian product for each dimension.

    Raises:
        ValueError: for states without a dimension, or a field of another shape than theirs.
        TypeError: for a field that is not a function, or states that are not a floating-point
            tensor.
    """
    graph = torch.is_grad_enabled()
    f, z = _differentiable(field, t, z)
    with torch.enable_grad():
        rows = [
            _product(f, z, _unit(f, i), retain=i + 1 < f.shape[-1], graph=graph)[..., i]
            for i in range(f.shape[-1])
        ]
        trace = torch.stack(rows).sum(dim=0)
    return (f, trace) if graph else (f.detach(), trace.detach())


@dataclass(frozen=True)
class FixedNoise:
    """The estimate ``e^T (df/dz) e`` of a trace with noise e that stays the same: one VJP.

    Attributes:
        noise: shaped as the states that it is used for.
    """

    noise: Float[Tensor, "*batch dim"]

    def __post_init__(self) -> None:
        check_tensor("noise", self.noise)

    def __call__(
        self, field: Field, t: Float[Tensor, "*each"], z: Float[Tensor, "*batch dim"]
    ) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch"]]:
        """The field and the estimate of its trace."""
        graph = torch.is_grad_enabled()
        f, z = _differentiable(field, t, z)
        if self.noise.shape != z.shape:
            raise ValueError(
                f"z has the shape {tuple(z.shape)}, the noise that was drawn for it has"
                f" {tuple(self.noise.shape)}"
            )
        with torch.enable_grad():
            product = _product(f, z, self.noise, retain=False, graph=graph)
            trace = (product * self.noise).sum(dim=-1)
        return (f, trace) if graph else (f.detach(), trace.detach())


@dataclass(frozen=True)
class Hutchinson:
    """Hutchinson's estimate of a trace, unbiased for noise of mean zero and unit covariance.

    Attributes:
        kind: ``"rademacher"`` noise, each entry 1 or -1, whose variance is the sum of the squares
            of J + J^T off the diagonal, halved; or ``"gaussian"``, which adds twice the squares on
            the diagonal to that.
        generator: the source of the noise; torch's global one where ``None``.

    Raises:
        ValueError: for another kind.
    """

    kind: Literal["rademacher", "gaussian"] = "rademacher"
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("rademacher", "gaussian"))
        check_generator("generator", self.generator)

    def draw(self, z: Float[Tensor, "*batch dim"]) -> FixedNoise:
        """The estimate with noise for states like ``z``, to be kept for one solve.

        Noise that is drawn anew at each evaluation leaves the solver with a field that is not a
        function, whose error no step size can bring down.
        """
        check_tensor("z", z)
        device = z.device if self.generator is None else self.generator.device
        options = {"generator": self.generator, "dtype": z.dtype, "device": device}
        if self.kind == "gaussian":
            noise = torch.randn(z.shape, **options)
        else:
            noise = torch.randint(0, 2, z.shape, **options).mul_(2).sub_(1)
        return FixedNoise(noise.to(z.device))


def _differentiable(
    field: Field, t: Float[Tensor, "*each"], z: Float[Tensor, "*batch dim"]
) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch dim"]]:
    """The field's value with a graph, and the states at which that graph begins."""
    check_tensor("z", z)
    if not z.ndim or not z.shape[-1]:
        raise ValueError(f"z has the shape {tuple(z.shape)}, expected [..., dim]")
    check_callable("field", field)
    with torch.enable_grad():
        if not z.requires_grad:
            z = z.detach().requires_grad_(True)
        f = field(t, z)
    if not isinstance(f, Tensor) or f.shape != z.shape:
        given = f"the shape {tuple(f.shape)}" if isinstance(f, Tensor) else type(f).__name__
        raise ValueError(f"field returns {given}, expected the shape of z, {tuple(z.shape)}")
    return f, z


def _unit(f: Float[Tensor, "*batch dim"], i: int) -> Float[Tensor, "*batch dim"]:
    direction = torch.zeros_like(f)
    direction[..., i] = 1
    return direction


def _product(
    f: Float[Tensor, "*batch dim"],
    z: Float[Tensor, "*batch dim"],
    direction: Float[Tensor, "*batch dim"],
    *,
    retain: bool,
    graph: bool,
) -> Float[Tensor, "*batch dim"]:
    """``direction^T df/dz``; zero for a field that does not depend on the state."""
    if not f.requires_grad:
        return torch.zeros_like(z)
    (product,) = torch.autograd.grad(
        f,
        z,
        direction,
        retain_graph=retain or graph,
        create_graph=graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return product
