"""Continuous normalizing flows: a density carried along a flow.

Along a trajectory of ``dz/dt = f(t, z)`` the log-density changes by

    d log p(z(t)) / dt = -tr(df/dz),

the derivative being the total one (Chen et al. 2018, theorem 1; eq. 10 has lost the minus). The
state of a solve is [..., dim + 1]: a point, and the change of the log-density since the start.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.arguments import (
    check_callable,
    check_input,
    check_keywords,
    check_module,
    check_number,
    check_numbers,
    check_positive,
    check_shape,
    check_tensor,
    describe,
    shorten,
)
from neural_ode.flows.bases import Base, check_base, draw_points
from neural_ode.flows.fields import Generators
from neural_ode.flows.traces import Hutchinson, Trace, closed_trace, exact_trace
from neural_ode.solution import Stats
from neural_ode.solve import solve


def runs_norm(x: Float[Tensor, "runs *state"]) -> Float[Tensor, ""]:
    """The largest over the runs of the root mean square over a run's entries.

    As the ``norm`` of a solve whose state holds one run beside another it accepts a step where each
    run by itself would accept it, so that none is solved less accurately than alone. The steps are
    joint: as small as the most demanding run needs. It serves the adjoint too, whose norm takes it
    for z and for a; the parameters' gradients are then a joint matter of all runs in the adjoint's
    norm ``"rms"``, and do not count in ``"seminorm"``.
    """
    try:
        each = torch.linalg.vector_norm(x.flatten(start_dim=1), dim=1)
        return each.amax() / math.sqrt(max(x[0].numel(), 1))
    except Exception:
        check_tensor("x", x)
        if x.ndim < 2 or not len(x):
            raise ValueError(
                f"x has the shape {tuple(x.shape)}, expected [runs, ...] with at least one run"
            ) from None
        raise


class LogDensityField(nn.Module):
    """The field on [..., dim + 1] of points and of the change of their log-density.

    Args:
        field: a module for states [..., dim] whose rows do not see each other.
        trace: ``closed_trace``, ``exact_trace`` or a ``Hutchinson()``, whose field for one
            solve ``with_fixed_noise`` gives.

    Raises:
        TypeError: for a field that is not a module, or a trace that cannot be called.
    """

    def __init__(self, field: nn.Module, trace: Trace | Hutchinson) -> None:
        super().__init__()
        check_module("field", field)
        if not isinstance(trace, Hutchinson):
            check_callable("trace", trace)
        self.field, self.trace = field, trace

    def with_fixed_noise(self, x: Float[Tensor, "*batch dim"]) -> "LogDensityField":
        """The field for one solve from points like ``x``: itself, or with noise that is drawn."""
        if isinstance(self.trace, Hutchinson):
            return LogDensityField(self.field, self.trace.draw(x))
        return self

    def forward(
        self, t: Float[Tensor, "*each"], state: Float[Tensor, "*batch dim_and_1"]
    ) -> Float[Tensor, "*batch dim_and_1"]:
        """``f`` and ``-tr(df/dz)``; nothing depends on the last column of the state.

        Raises:
            ValueError: for a ``Hutchinson()`` whose noise is not drawn.
        """
        if isinstance(self.trace, Hutchinson):
            raise ValueError(
                "trace is Hutchinson(), which has drawn no noise: use the field that"
                " with_fixed_noise(x) returns"
            )
        if not isinstance(state, Tensor):
            check_tensor("state", state)
        both = self.trace(self.field, t, state[..., :-1])
        try:
            f, trace = both
            return torch.cat([f, -trace.unsqueeze(-1)], dim=-1)
        except Exception:
            _check_trace(both, state)
            raise


class CNF(nn.Module):
    """A density: that of a base distribution at time 0, carried by a flow to the time ``end``.

    The data are at ``end``. Points are [batch, dim], or [runs, batch, dim] where the field has
    runs; the solver then has one step size for all of them, by default chosen by ``runs_norm``.

    Attributes:
        stats: the cost of the last solve; ``None`` before the first.

    Args:
        field: a module for states of that shape.
        base: a ``StandardNormal``, or a ``torch.distributions`` object for vectors, such as
            ``Independent(Normal(loc, scale), 1)`` with a loc of shape [dim].
        end: the time at which the data are, positive.
        trace: ``closed_trace``, ``exact_trace`` or a ``Hutchinson()``, which draws its noise once a
            solve; by default the closed form of a field that has one, and the exact one otherwise.
        solver: keyword arguments of ``solve``, such as ``rtol`` and ``gradient``.

    Raises:
        ValueError: for a base that is not one of vectors of the field's dimension, or an end that
            is not positive.
        TypeError: for a field that is not a module, a base that is not a distribution, or a keyword
            that ``solve`` does not know.
    """

    def __init__(
        self,
        field: nn.Module,
        base: Base,
        *,
        end: float = 1.0,
        trace: Trace | Hutchinson | None = None,
        **solver: Any,
    ) -> None:
        super().__init__()
        check_module("field", field)
        dim = getattr(field, "dim", None)
        check_base(base, dim if isinstance(dim, int) else None)
        check_positive("end", end)
        check_keywords(solver, solve)
        if trace is None:
            trace = closed_trace if hasattr(field, "field_and_trace") else exact_trace
        self.augmented = LogDensityField(field, trace)
        self.base, self.end = base, float(end)
        self.runs: int | None = getattr(field, "runs", None)
        self.solver = solver if self.runs is None else {"norm": runs_norm, **solver}
        self.stats: Stats | None = None

    @property
    def field(self) -> nn.Module:
        """The field on the points alone."""
        return self.augmented.field

    @property
    def dim(self) -> int:
        """The dimension of the points."""
        return self.base.event_shape[0]

    def log_prob(
        self, x: Float[Tensor, "*batch dim"], time: float | None = None
    ) -> Float[Tensor, "*batch"]:
        """The log-density of ``x`` in nats, by a solve from the data back to the base.

        Args:
            x: points.
            time: the time of the density, from 0 for the base to ``end``, its default.

        Raises:
            ValueError: for points of another shape than the model's, or a time out of range.
            SolverFailure: where the solve fails.
        """
        time = self.end if time is None else time
        check_number("time", time, 0.0, self.end)
        z, change = self._carry(x, float(time), 0.0)
        return self.base.log_prob(z) - change

    @torch.no_grad()
    def sample(self, count: int, generator: Generators = None) -> Float[Tensor, "*runs count dim"]:
        """Points of the model, by a solve from the base to the data; without a gradient.

        Args:
            count: how many, for each run.
            generator: the source of the points; a sequence of one a run where there are runs.
                Without one they come from torch's global generator, so only ``torch.manual_seed``
                repeats them.
        """
        return self.transport(self.draw_base(count, generator), [0.0, self.end])[-1]

    def sample_with_log_prob(
        self, count: int, generator: Generators = None
    ) -> tuple[Float[Tensor, "*runs count dim"], Float[Tensor, "*runs count"]]:
        """Points and their log-density by the same solve, differentiable by the parameters."""
        z = self.draw_base(count, generator)
        x, change = self._carry(z, 0.0, self.end)
        return x, self.base.log_prob(z) + change

    def transport(
        self, x: Float[Tensor, "*batch dim"], times: Sequence[float]
    ) -> Float[Tensor, "time *batch dim"]:
        """Where the flow takes points that are at ``x`` at the first of these times, at each.

        Raises:
            ValueError: for points of another shape than the model's, or times in no order.
            TypeError: for times that are not numbers.
        """
        self._check(x)
        check_numbers("times", times)
        ts = _times(times, x)
        # The solver reads the times on the CPU, too.
        changes = {a < b for a, b in pairwise(ts.tolist())}
        if len(changes) > 1 or (ts.diff() == 0).any():
            given = shorten(str(list(times)))
            raise ValueError(f"times are {given}, expected to increase or to decrease only")
        return self._solve(self.field, x, x, ts)

    def draw_base(
        self, count: int, generator: Generators = None
    ) -> Float[Tensor, "*runs count dim"]:
        """Points of the base, in the dtype and on the device of the field's parameters.

        Raises:
            ValueError: for a count below 1, or another number of generators than runs.
        """
        like = next(self.field.parameters(), None)
        return draw_points(self.base, count, self.runs, generator, like)

    def _carry(
        self, x: Float[Tensor, "*batch dim"], start: float, end: float
    ) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch"]]:
        """Where the flow takes ``x``, and the change of the log-density on the way."""
        self._check(x)
        ts = _times([start, end], x)
        # A short time may be none in the dtype of the points.
        if ts[0] == ts[1]:
            return x, torch.zeros_like(x[..., 0])
        state = nn.functional.pad(x, (0, 1))
        end_state = self._solve(self.augmented.with_fixed_noise(x), state, x, ts)[-1]
        return end_state[..., :-1], end_state[..., -1]

    def _solve(self, field: nn.Module, state: Tensor, x: Tensor, ts: Tensor) -> Tensor:
        """The states at the times, by a solve from the state of the points ``x``."""
        try:
            solution = solve(field, state, ts.to(x.device), **self.solver)
        except Exception:
            check_input(self.field, "x", x, *self._shape)
            raise
        self.stats = solution.stats
        return solution.ys

    def _check(self, x: Tensor) -> None:
        check_shape("x", x, *self._shape)

    @property
    def _shape(self) -> tuple[int | str, ...]:
        """That of points."""
        return (*(() if self.runs is None else (self.runs,)), "batch", self.dim)


def _check_trace(both: Any, state: Tensor) -> None:
    """Say what is wrong with what a trace has returned, if anything."""
    pair = both if isinstance(both, tuple) else ()
    if len(pair) != 2 or not all(isinstance(x, Tensor) for x in pair):
        raise TypeError(
            f"the trace returned {describe(both)}, expected a pair of tensors, (field, trace)"
        ) from None
    shapes, points = [tuple(x.shape) for x in pair], tuple(state.shape[:-1])
    if shapes != [(*points, state.shape[-1] - 1), points]:
        raise ValueError(
            f"the trace returned the shapes {shapes}, expected one number for each of the points"
            f" {points}"
        ) from None


def _times(times: Sequence[float], x: Tensor) -> Tensor:
    """Times in the dtype of the points, on the CPU."""
    return torch.tensor([float(t) for t in times], dtype=x.dtype, device="cpu")
