"""Optimise, then discretise: the continuous adjoint, solved backward in time beside the state.

With ``a(t) = dL/dz(t)`` the augmented system, integrated from T to 0, is

    dz/dt = f(t, z),   da/dt = -(df/dz)^T a,   dg/dt = -(df/dtheta)^T a,

so that ``a(0) = dL/dz(0)`` and ``g(0) = dL/dtheta`` (Chen et al. 2018, appendix B, with the
transpose that the tutorial leaves out). Where an output time carries a loss its gradient is added
to ``a`` when the integration passes there, and ``z`` restarts from the state that the forward pass
stored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neural_ode.integrate import Counts, Field, Settings, Tolerance, integrate
from neural_ode.solution import Stats
from neural_ode.step import Norm, rms_norm
from neural_ode.tableau import find_method

# A norm of one's own takes the parts of the augmented state: z, a, and one tensor a parameter.
PartsNorm = Callable[[Tensor, Tensor, Sequence[Tensor]], Float[Tensor, ""]]


@dataclass(frozen=True)
class Adjoint:
    """The gradient of the exact flow, approximated by a second solve.

    Attributes:
        rtol, atol: tolerances of the backward solve; those of the forward solve where ``None``.
        norm: of which parts of the augmented state the error chooses the steps. ``"rms"``: the
            largest of the root mean squares over z, a and each parameter's gradient;
            ``"seminorm"``: over z and a alone, since nothing feeds back from the parameter
            gradients (Kidger et al. 2021); or a function of (z, a, parameter gradients).
        method: a method for the backward solve; that of the forward solve where ``None``.
        params: the tensors that get a gradient; for an ``nn.Module`` its parameters where ``None``.
        settings: further settings of the backward solve by name, such as ``{"step_size": 0.1}``.

    Memory does not depend on the number of steps, but it does on the number of output times. The
    error of the gradient depends on the backward solve retracing z: see claim C4.

    Raises:
        ValueError: for a field that is not an ``nn.Module`` and has no ``params``, a bad norm, or
            tolerances that are not one positive number each.
    """

    rtol: Tolerance | None = None
    atol: Tolerance | None = None
    norm: Literal["rms", "seminorm"] | PartsNorm = "rms"
    method: str | None = None
    params: Sequence[Tensor] | None = None
    settings: dict = field(default_factory=dict)

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """The solution with the adjoint as its backward pass; it fills ``stats.backward``."""
        stats = Stats()
        problem = _Problem(field, settings, self._backward_settings(settings), self.norm, stats)
        params = self._trainable(field)
        # What autograd's apply returns is not annotated.
        return _AdjointFunction.apply(problem, y0, ts, *params), stats  # type: ignore[return]

    def _trainable(self, field: Field) -> list[Tensor]:
        if self.params is None and not isinstance(field, nn.Module):
            raise ValueError(
                "the adjoint cannot see what a plain function closes over: make the field an"
                " nn.Module or name its tensors in Adjoint(params=...), () if there are none"
            )
        params = self.params if self.params is not None else cast(nn.Module, field).parameters()
        return [p for p in params if p.requires_grad]

    def _backward_settings(self, settings: Settings) -> Settings:
        """The forward settings with the adjoint's own in their place."""
        if not (self.norm in ("rms", "seminorm") or callable(self.norm)):
            raise ValueError(
                f"unknown adjoint norm {self.norm!r}; expected 'rms', 'seminorm' or a function"
            )
        tolerances = {"rtol": self.rtol, "atol": self.atol}
        own: dict = {name: v for name, v in tolerances.items() if v is not None}
        if self.method is not None:
            # Steps chosen for one method say nothing about another.
            own |= {"tableau": find_method(self.method)}
            settings = replace(settings, step_size=None, grid=None, first_step=None)
        own |= self.settings
        backward = replace(settings, **own)
        for name in ("rtol", "atol"):
            value = getattr(backward, name)
            if isinstance(value, Tensor) and value.ndim > 0:
                raise ValueError(
                    f"{name} of the backward solve has shape {tuple(value.shape)}, expected one"
                    f" number, since its state is z, a and the parameter gradients: give the"
                    f" adjoint an {name} of its own"
                )
        return backward


@dataclass(frozen=True)
class _Problem:
    """What the backward pass needs to know beside the tensors that autograd saves for it."""

    field: Field
    forward: Settings
    backward: Settings
    norm: Literal["rms", "seminorm"] | PartsNorm
    stats: Stats


class _AdjointFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, problem, y0, ts, *params):
        ys = integrate(problem.field, y0, ts, problem.forward, problem.stats.forward)
        ctx.problem = problem
        ctx.save_for_backward(ys, ts, *params)
        return ys

    # The decorator hides the signature from the type checker.
    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):  # type: ignore[reportIncompatibleMethodOverride]
        (grad_ys,) = grads
        ys, ts, *params = ctx.saved_tensors
        problem: _Problem = ctx.problem
        counts = problem.stats.backward = Counts()
        parts = _Parts(ys[0], params)
        augmented = _augmented_field(problem.field, parts)
        settings = replace(problem.backward, norm=parts.norm(problem))
        grad_ts = torch.zeros_like(ts) if ts.requires_grad else None
        state = parts.join(ys[-1], grad_ys[-1], [torch.zeros_like(p) for p in params])
        for i in range(len(ts) - 1, 0, -1):
            _, a, gradients = parts.split(state)
            if grad_ts is not None:
                grad_ts[i] = _flow_product(problem.field, ts[i], ys[i], grad_ys[i], counts)
            state = parts.join(ys[i], a, gradients)
            interval = torch.stack([ts[i], ts[i - 1]]).detach()
            piece = _between(settings, *interval.tolist())
            state = integrate(augmented, state, interval, piece, counts)[-1]
            _, a, gradients = parts.split(state)
            if i == 1 and grad_ts is not None:
                # Starting later is the same as starting from where the flow would have been.
                grad_ts[0] = -_flow_product(problem.field, ts[0], ys[0], a, counts)
            state = parts.join(ys[i - 1], a + grad_ys[i - 1], gradients)
        _, a, gradients = parts.split(state)
        return None, a, grad_ts, *gradients


def _between(settings: Settings, start: float, end: float) -> Settings:
    """The settings with the part of a forward grid that lies in this interval, in its direction."""
    if settings.grid is None:
        return settings
    low, high = sorted((start, end))
    inner = sorted((float(t) for t in settings.grid if low < t < high), reverse=start > end)
    return replace(settings, grid=[start, *inner, end])


def _flow_product(
    field: Field,
    t: Float[Tensor, ""],
    y: Float[Tensor, "*state"],
    a: Float[Tensor, "*state"],
    counts: Counts,
) -> Float[Tensor, ""]:
    """``a . f(t, y)``, how fast the loss changes when the time t is moved along the flow."""
    counts.nfe += 1
    return torch.sum(a * field(t.to(y), y))


@dataclass(frozen=True)
class _Parts:
    """The augmented state as one vector: z, then a, then the gradient of every parameter."""

    y: Float[Tensor, "*state"]
    params: Sequence[Tensor]

    @property
    def sizes(self) -> list[int]:
        return [self.y.numel()] * 2 + [p.numel() for p in self.params]

    @staticmethod
    def join(z: Tensor, a: Tensor, gradients: Sequence[Tensor]) -> Float[Tensor, " augmented"]:
        return torch.cat([x.reshape(-1) for x in (z, a, *gradients)])

    def split(self, state: Float[Tensor, " augmented"]) -> tuple[Tensor, Tensor, list[Tensor]]:
        z, a, *gradients = state.split(self.sizes)
        shaped = [g.view(p.shape) for g, p in zip(gradients, self.params, strict=True)]
        return z.view(self.y.shape), a.view(self.y.shape), shaped

    def norm(self, problem: _Problem) -> Norm:
        """The norm of an augmented error vector."""
        state_norm, chosen = problem.forward.norm, problem.norm

        def of(error: Float[Tensor, " augmented"]) -> Float[Tensor, ""]:
            z, a, gradients = self.split(error)
            if callable(chosen):
                return chosen(z, a, gradients)
            norms = [state_norm(z), state_norm(a)]
            if chosen == "rms":
                norms += [rms_norm(g) for g in gradients]
            return torch.stack(norms).amax()

        return of


def _augmented_field(field: Field, parts: _Parts) -> Field:
    """The right-hand side of the augmented system, one evaluation and one VJP of the field."""

    def augmented(
        t: Float[Tensor, ""], state: Float[Tensor, " augmented"]
    ) -> Float[Tensor, " augmented"]:
        z, a, _ = parts.split(state)
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            f = field(t, z)
            inputs = (z, *parts.params)
            if f.requires_grad:
                vjps = torch.autograd.grad(f, inputs, -a, allow_unused=True)
            else:
                vjps = [None] * len(inputs)
        filled = [
            torch.zeros_like(x) if v is None else v for x, v in zip(inputs, vjps, strict=True)
        ]
        return parts.join(f.detach(), filled[0], filled[1:])

    return augmented
