"""Optimise, then discretise: the continuous adjoint, solved backward in time beside the state.

With ``a(t) = dL/dz(t)`` the augmented system, integrated from T to 0, is

    dz/dt = f(t, z),   da/dt = -(df/dz)^T a,   dg/dt = -(df/dtheta)^T a,

so that ``a(0) = dL/dz(0)`` and ``g(0) = dL/dtheta`` (Chen et al. 2018, appendix B; the transpose is
missing in "A tutorial on neural ordinary differential equations" by Alek Dimitriev, 2020-04-10).
Where an output time carries a loss, its gradient is added to ``a`` when the integration passes
there, and ``z`` restarts from the state that the forward pass stored. The parameter gradients g
feed nothing back, so the solver carries them as integrals.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import describe, shorten
from neural_ode.failures import NonFinite, SolverFailure, StepUnderflow, ToleranceUnderflow
from neural_ode.field import Field, Plain, identity
from neural_ode.gradients.first_derivative import link
from neural_ode.gradients.parameters import (
    Kind,
    OutsideGraph,
    Wanted,
    flat,
    keep_params,
    kinds,
    prepare,
    split,
    vjp,
)
from neural_ode.gradients.way_back import way_back
from neural_ode.integrate import integrate
from neural_ode.methods import find_method
from neural_ode.methods.base import Method
from neural_ode.settings import NO_CALLBACKS, Settings
from neural_ode.solution import Counts, Stats
from neural_ode.step.base import Slope
from neural_ode.step.error import Norm, Tolerance, check_representable, rms_norm
from neural_ode.times import Times, as_time, nudge

# A function of the parts of the augmented state: z, a, and one tensor for each parameter.
PartsNorm = Callable[[Tensor, Tensor, Sequence[Tensor]], Float[Tensor, ""]]
ChosenNorm = Literal["rms", "seminorm"] | PartsNorm


@dataclass(frozen=True)
class Adjoint:
    """The gradient of the exact flow, approximated by a second solve.

    Attributes:
        rtol, atol: tolerances of the backward solve; those of the forward solve where ``None``.
        norm: the parts of the augmented state whose error chooses the steps. ``"rms"``: the
            largest of the root mean squares over z, a and each parameter's gradient;
            ``"seminorm"``: over z and a alone, since nothing feeds back from the parameter
            gradients (Kidger et al. 2021); or a function of (z, a, parameter gradients).
        method: a method for the backward solve; that of the forward solve where ``None``.
        params: the tensors that get a gradient; for an ``nn.Module`` its parameters where ``None``.
        settings: further settings of the backward solve by name, such as ``{"step_size": 0.1}``.

    Memory does not depend on the number of steps, but it does on the number of output times. The
    gradient is exact only as far as z, solved again backward, meets z of the forward solve.

    Raises:
        ValueError: for a field that is not an ``nn.Module`` and has no ``params``, a bad norm, or
            tolerances that are not one positive number each.
        NonFinite, StepUnderflow: at the backward pass, where the flow cannot be reversed.
    """

    rtol: Tolerance | None = None
    atol: Tolerance | None = None
    norm: ChosenNorm = "rms"
    method: str | Method | None = None
    params: Sequence[Tensor] | None = None
    settings: dict = field(default_factory=dict)

    def __post_init__(self):
        keep_params(self)

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """The solution with the adjoint as its backward pass; it fills ``stats.backward``."""
        stats = Stats()
        field, wanted = prepare(field, self.params, y0, "the adjoint")
        backward = backward_settings(self, settings, y0.dtype)
        norm = AugmentedNorm(settings.norm, self.norm, kinds(wanted.tensors))
        own = norm.put_into(backward, bool(wanted.tensors))
        problem = _BothSolves(field, settings, own, stats, wanted)
        return _AdjointFunction.apply(problem, y0, ts, *wanted.tensors), stats


def backward_settings(chosen: Any, settings: Settings, dtype: torch.dtype) -> Settings:
    """The settings of the forward solve with a gradient method's own in their place.

    ``chosen`` has ``rtol``, ``atol``, ``norm``, ``method`` and ``settings`` as ``Adjoint`` does.

    Raises:
        ValueError: for an unknown norm, a tolerance that is not one number that the ``dtype`` of
            the state has, or samples with steps of their own.
    """
    own_norm = callable(chosen.norm) and not isinstance(chosen.norm, type)
    if not (own_norm or (isinstance(chosen.norm, str) and chosen.norm in ("rms", "seminorm"))):
        raise ValueError(
            f"unknown adjoint norm {shorten(repr(chosen.norm))}; expected 'rms', 'seminorm' or a"
            " function"
        )
    tolerances = {"rtol": chosen.rtol, "atol": chosen.atol}
    own: dict = {name: v for name, v in tolerances.items() if v is not None}
    if chosen.method is not None:
        # Steps chosen for one method say nothing about another.
        own |= {"method": find_method(chosen.method)}
        compiled = settings.compile and own["method"].accepts("compile")
        settings = replace(settings, step_size=None, grid=None, first_step=None, compile=compiled)
    # Callbacks watch the forward solve, whose state is another.
    own["callbacks"] = NO_CALLBACKS
    # The parameters' gradients are integrals of the whole batch.
    own["batch"] = "joint"
    _check_names(chosen.settings)
    backward = replace(settings, **(own | chosen.settings))
    if backward.batch != "joint":
        raise ValueError(
            "the way back of an adjoint takes the same steps for the whole batch, so its settings"
            " must not have batch='independent'"
        )
    if backward.method.fixed_norm and callable(chosen.norm):
        raise ValueError(
            f"method {backward.method.name!r} takes the adjoint norms 'rms' and 'seminorm' alone"
        )
    for name in ("rtol", "atol"):
        value = getattr(backward, name)
        if isinstance(value, Tensor) and value.ndim > 0:
            raise ValueError(
                f"{name} of the backward solve has shape {tuple(value.shape)}, expected one"
                f" number, since its state is z, a and the parameter gradients: give the"
                f" adjoint an {name} of its own"
            )
        check_representable(name, value, dtype)
    return backward


def _check_names(settings: Any) -> None:
    """Raise TypeError for settings of a backward solve that are none."""
    if not isinstance(settings, dict):
        raise TypeError(f"settings is {describe(settings)}, expected a dict of settings by name")
    known = [f.name for f in fields(Settings) if f.name not in ("method", "joint_norm")]
    for name in settings:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise TypeError(f"unknown setting {describe(name)} of the backward solve; {hint}")


@dataclass(frozen=True)
class AugmentedNorm:
    """The norm of an error of the adjoint's state, a stack of some parts, and of its integrals.

    Attributes:
        of_state: the norm of each part of the stack.
        chosen: what the user asked for.
        params: the shapes and dtypes of the parameters.
    """

    of_state: Norm
    chosen: ChosenNorm
    params: tuple[Kind, ...]

    @property
    def sizes(self) -> Callable[[Tensor], Tensor]:
        """What errors are relative to: as for the state alone, whose dimensions come last."""
        return getattr(self.of_state, "sizes", torch.abs)

    def put_into(self, settings: Settings, params: bool) -> Settings:
        """The settings with this norm; without parameters there is nothing to join."""
        alone = self.chosen == "seminorm" or not params
        return replace(settings, norm=self, joint_norm=None if alone else self)

    def __call__(
        self,
        error: Float[Tensor, "parts *state"],
        integrals: Float[Tensor, " entries"] | None = None,
    ) -> Float[Tensor, ""]:
        """The norm; without the integrals only the state counts."""
        gradients = [] if integrals is None else split(integrals, self.params)
        if callable(self.chosen):
            # Where z is read off the forward solve it has no error.
            *z, a = error.unbind()
            return self.chosen(z[0] if z else torch.zeros_like(a), a, gradients)
        norms = [self.of_state(part) for part in error.unbind()]
        return torch.stack(norms + [rms_norm(g) for g in gradients]).amax()


@dataclass(frozen=True)
class _BothSolves:
    """What the backward pass needs beside the tensors that autograd saves for it."""

    field: Field
    forward: Settings
    backward: Settings
    stats: Stats
    wanted: Wanted


class _AdjointFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, problem, y0, ts, *params):
        plain = Plain(problem.field, y0)
        ys, _ = integrate(plain, y0, Times.read(ts), problem.forward, problem.stats.forward)
        ctx.link = link(y0)
        ctx.problem = problem
        ctx.save_for_backward(ys, ts, *params)
        return ys

    @staticmethod
    @way_back("Adjoint()")
    def backward(ctx, saved, *grads):
        (grad_ys,) = grads
        ys, ts, *_ = saved
        problem: _BothSolves = ctx.problem
        counts = problem.stats.backward = Counts()
        augmented = Augmented(problem.field, problem.wanted)
        times = Times.read(ts.detach())

        def back(i: int, a: Tensor, g: Tensor | None) -> tuple[Tensor, Tensor | None]:
            interval = times.interval(i, i - 1)
            piece = between(problem.backward, *interval.floats)
            state = torch.stack([ys[i], a])
            ends, g = integrate(augmented, state, interval, piece, counts, q0=g)
            return ends[-1, 1], g

        try:
            given = problem.field, problem.wanted, problem.forward.jump_t
            return None, *sweep(*given, ys, ts, times, grad_ys, back, counts)
        except (NonFinite, StepUnderflow) as failure:
            raise _not_reversed(failure) from failure


def _not_reversed(failure: SolverFailure) -> SolverFailure:
    """The failure of a backward solve, with what else there is."""
    if isinstance(failure, ToleranceUnderflow):
        return ToleranceUnderflow(f"on the adjoint's way back {failure}", failure.t)
    return type(failure)(
        f"on the adjoint's way back {failure}: a flow that contracts cannot be reversed for long,"
        " while Checkpointed(), InterpolatedAdjoint() and Backprop() do not reverse it",
        failure.t,
    )


# From the number of an output time, the adjoint there and the parameters' gradients so far, to both
# at the output time before.
Back = Callable[[int, Tensor, Tensor | None], tuple[Tensor, Tensor | None]]


def sweep(
    field: Field,
    wanted: Wanted,
    jumps: Sequence[float],
    ys: Float[Tensor, "time *state"],
    ts: Float[Tensor, " time"],
    times: Times,
    grad_ys: Float[Tensor, "time *state"],
    back: Back,
    counts: Counts,
) -> list[Tensor | None]:
    """The gradients by y0, by the times (``None`` where not wanted) and by each parameter.

    From the last output time to the first, ``back`` does what lies between two of them, and the
    gradient of the loss by an output joins the adjoint where the integration passes it. Where the
    field jumps at an output time (``jumps``), the side of the solve counts.
    """
    grad_ts = torch.zeros_like(ts) if ts.requires_grad else None
    a, params = grad_ys[-1], wanted.tensors

    def moved(i: int, a: Tensor, towards: float) -> Tensor:
        """What a loss with this adjoint gains where a time is moved along the flow beside it."""
        time = as_time(ts[i], ys[i])
        if times.meets(times.floats[i], jumps):
            time = nudge(time, towards * times.direction * torch.inf)
        return _flow_product(field, time, ys[i], a, counts)

    g = flat([torch.zeros_like(p) for p in params], a.dtype) if params else None
    for i in range(len(ts) - 1, 0, -1):
        if grad_ts is not None:
            grad_ts[i] = moved(i, grad_ys[i], -1)
        a, g = back(i, a, g)
        if i == 1 and grad_ts is not None:
            # Starting later is the same as starting from where the flow would have been.
            grad_ts[0] = -moved(0, a, 1)
        a = a + grad_ys[i - 1]
    of_params = split(g, kinds(params)) if g is not None else []
    return [a, grad_ts, *of_params]


def between(settings: Settings, start: float, end: float) -> Settings:
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
    return torch.sum(a * field(t, y.clone()))


class Augmented:
    """The right-hand side of the augmented system: one evaluation and one VJP of the field.

    Its state is z above a, shape [2, *state]; its integrals are the parameters' gradients.
    """

    def __init__(self, field: Field, wanted: Wanted) -> None:
        self.field, self.params = field, wanted.tensors
        self.outside = OutsideGraph(wanted)

    @property
    def key(self) -> Hashable:
        """The key under which compiled steps of this system are kept."""
        return ("adjoint", identity(self.field), tuple(map(id, self.params)))

    def __call__(self, t: Tensor, state: Tensor, integral: bool) -> Slope:
        """The derivatives of z and a, and the rates of the parameters' gradients."""
        z, a = state.unbind()
        params = self.params if integral else ()
        f, by_z, by_params = vjp(self.field, t, z, -a, params, self.outside)
        return torch.stack([f, by_z]), flat(by_params, z.dtype) if params else None
