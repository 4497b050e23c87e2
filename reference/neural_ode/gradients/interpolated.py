"""The continuous adjoint along the stored trajectory: z is read off the forward pass.

    da/dt = -(df/dz)^T a,   dg/dt = -(df/dtheta)^T a,

at the dense output z(t) of the forward solve. So the gradient is right also for a flow that cannot
be solved backward. The price is the memory of the dense output.

Source: Daulbaev et al., Interpolation technique to speed up gradients propagation in neural ODEs,
NeurIPS 2020, with the solver's own dense output in place of their barycentric interpolation.
"""

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.field import Field, Plain
from neural_ode.gradients.adjoint import (
    AugmentedNorm,
    ChosenNorm,
    backward_settings,
    between,
    sweep,
)
from neural_ode.gradients.first_derivative import link
from neural_ode.gradients.parameters import (
    OutsideGraph,
    Wanted,
    flat,
    keep_params,
    kinds,
    prepare,
    vjp,
)
from neural_ode.gradients.way_back import way_back
from neural_ode.integrate import integrate
from neural_ode.methods.base import Method
from neural_ode.run import Visit
from neural_ode.settings import Settings
from neural_ode.solution import Counts, Stats
from neural_ode.step.base import Slope
from neural_ode.step.error import Tolerance
from neural_ode.times import Times, as_vector


@dataclass(frozen=True)
class InterpolatedAdjoint:
    """The adjoint with the forward trajectory kept instead of solved again.

    Attributes:
        rtol, atol, norm, method, params, settings: as for ``Adjoint``, for a backward solve of a
            and the parameter gradients alone; a norm that is a function gets zeros for z.

    Memory grows with the number of steps: one state and the polynomial of the dense output a step.
    The error is that of the dense output and of the backward solve.

    Raises:
        ValueError: as for ``Adjoint``, and for a method without dense output.
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
        if not settings.method.has_dense_output:
            raise ValueError(
                "InterpolatedAdjoint() needs a dense output, which method"
                f" {settings.method.name!r} does not have"
            )
        stats = Stats()
        field, wanted = prepare(field, self.params, y0, "InterpolatedAdjoint()")
        # The trajectory is looked up by the value of the time, which a compiler cannot follow.
        own = replace(backward_settings(self, settings, y0.dtype), compile=False)
        norm = AugmentedNorm(settings.norm, self.norm, kinds(wanted.tensors))
        own = norm.put_into(own, bool(wanted.tensors))
        problem = _KeptTrajectory(field, settings, own, stats, wanted, [])
        return _InterpolatedFunction.apply(problem, y0, ts, *wanted.tensors), stats


@dataclass(frozen=True)
class _KeptTrajectory:
    field: Field
    forward: Settings
    backward: Settings
    stats: Stats
    wanted: Wanted
    steps: list[tuple[float, float]]


class _InterpolatedFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, problem, y0, ts, *params):
        pieces = []

        def remember(visit: Visit) -> None:
            step = visit.step
            problem.steps.append((float(step.t), float(step.h)))
            problem.stats.forward.nfe += visit.stepper.extend(step)
            pieces.append(torch.cat([step.y0[None], visit.stepper.polynomial(step)]))

        plain, counts = Plain(problem.field, y0), problem.stats.forward
        ys, _ = integrate(plain, y0, Times.read(ts), problem.forward, counts, on_step=remember)
        if y0.is_cuda and pieces:
            pieces = [torch.stack(pieces)]
        ctx.link = link(y0)
        ctx.problem, ctx.count = problem, len(params)
        ctx.save_for_backward(ys, ts, *params, *pieces)
        return ys

    @staticmethod
    @way_back("InterpolatedAdjoint()")
    def backward(ctx, saved, *grads):
        (grad_ys,) = grads
        ys, ts, *rest = saved
        problem: _KeptTrajectory = ctx.problem
        pieces = rest[ctx.count :]
        counts = problem.stats.backward = Counts()
        pieces = pieces[0] if ys.is_cuda and pieces else pieces
        along = _Along(problem.field, problem.wanted, problem.steps, pieces)
        times = Times.read(ts.detach())

        def back(i: int, a: Tensor, g: Tensor | None) -> tuple[Tensor, Tensor | None]:
            interval = times.interval(i, i - 1)
            piece = between(problem.backward, *interval.floats)
            ends, g = integrate(along, a[None], interval, piece, counts, q0=g)
            return ends[-1, 0], g

        given = problem.field, problem.wanted, problem.forward.jump_t
        return None, *sweep(*given, ys, ts, times, grad_ys, back, counts)


class _Along:
    """The right-hand side of the adjoint alone, at the stored trajectory; state [1, *state]."""

    def __init__(
        self,
        field: Field,
        wanted: Wanted,
        steps: Sequence[tuple[float, float]],
        pieces: Sequence[Float[Tensor, "terms *state"]] | Float[Tensor, "steps terms *state"],
    ) -> None:
        self.field, self.params, self.pieces = field, wanted.tensors, pieces
        self.steps, self.outside = steps, OutsideGraph(wanted)
        self.direction = 1.0 if not steps or steps[0][1] > 0 else -1.0
        self.begins = [self.direction * t for t, _ in steps]
        if isinstance(pieces, Tensor):
            rows = [(self.direction * t, t, h) for t, h in steps]
            table = as_vector([x for row in rows for x in row], pieces.device)
            self._table = table.view(-1, 3).T.contiguous()
            self._powers = torch.arange(pieces.shape[1], device=pieces.device)

    @property
    def key(self) -> Hashable:
        """Its own identity, since no other solve can share its compiled steps."""
        return id(self)

    def state(self, t: Float[Tensor, ""]) -> Float[Tensor, "*state"]:
        """The forward solution at time ``t``."""
        if isinstance(self.pieces, Tensor):
            return self._state_on_gpu(self.pieces, t.double())
        now = float(t)
        number = max(bisect_right(self.begins, self.direction * now) - 1, 0)
        begin, h = self.steps[number]
        piece, x = self.pieces[number], (now - begin) / h
        weights = piece.new_tensor([x**p for p in range(len(piece))])
        return torch.tensordot(weights, piece, dims=1)

    def _state_on_gpu(
        self, pieces: Float[Tensor, "steps terms *state"], t: Float[Tensor, ""]
    ) -> Float[Tensor, "*state"]:
        """The same without asking for the time, for which the host would wait."""
        begins, *step = self._table
        number = torch.searchsorted(begins, self.direction * t[None], right=True) - 1
        number = number.clamp(min=0)
        begin, h = (values.index_select(0, number) for values in step)
        weights = (((t - begin) / h) ** self._powers).to(pieces.dtype)
        return torch.tensordot(weights, pieces.index_select(0, number)[0], dims=1)

    def __call__(self, t: Tensor, state: Tensor, integral: bool) -> Slope:
        """The derivative of a and the rates of the parameters' gradients."""
        params = self.params if integral else ()
        z = self.state(t)
        _, by_z, by_params = vjp(self.field, t, z, -state[0], params, self.outside)
        return by_z[None], flat(by_params, z.dtype) if params else None
