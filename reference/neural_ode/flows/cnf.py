"""Continuous normalizing flows: a density carried along a flow.

Along a trajectory of ``dz/dt = f(t, z)`` the log-density changes by

    d log p(z(t)) / dt = -tr(df/dz),

the derivative being the total one (Chen et al. 2018, theorem 1; eq. 10 has lost the minus). The
state of a solve is [..., dim + 1]: a point, and the change of the log-density since the start.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from neural_ode.flows.fields import Generators, each_run
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
    each = torch.linalg.vector_norm(x.flatten(start_dim=1), dim=1)
    return each.amax() / math.sqrt(max(x[0].numel(), 1))


class StandardNormal:
    """Independent normal coordinates of mean zero, sampled from a generator that the user gives.

    Args:
        dim: how many coordinates.
        scale: their standard deviation, positive.

    Raises:
        ValueError: for a dimension below 1 or a scale that is not positive.
    """

    def __init__(self, dim: int, scale: float = 1.0) -> None:
        if dim < 1 or not scale > 0:
            raise ValueError(f"dim is {dim} and scale {scale}, expected at least 1 and positive")
        self.dim, self.scale = dim, scale

    @property
    def event_shape(self) -> torch.Size:
        """That of one point, as for ``torch.distributions``."""
        return torch.Size([self.dim])

    def log_prob(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        """The log-density in nats."""
        squares = (x / self.scale).square().sum(dim=-1)
        return -0.5 * squares - self.dim * (math.log(self.scale) + 0.5 * math.log(2 * math.pi))

    def sample(
        self, count: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "count dim"]:
        """``count`` points, in torch's default dtype and on the generator's device."""
        device = None if generator is None else generator.device
        return self.scale * torch.randn(count, self.dim, generator=generator, device=device)


class LogDensityField(nn.Module):
    """The field on [..., dim + 1] of points and of the change of their log-density.

    Args:
        field: a module for states [..., dim] whose rows do not see each other.
        trace: ``closed_trace``, ``exact_trace`` or a ``Hutchinson()``; ``fixed`` gives the latter's
            field for one solve.
    """

    def __init__(self, field: nn.Module, trace: Trace | Hutchinson) -> None:
        super().__init__()
        self.field, self.trace = field, trace

    def with_fixed_noise(self, x: Float[Tensor, "*batch dim"]) -> "LogDensityField":
        """The field for one solve from points like ``x``: itself, or with noise that is drawn."""
        if isinstance(self.trace, Hutchinson):
            return LogDensityField(self.field, self.trace.draw(x))
        return self

    def forward(
        self, t: Float[Tensor, ""], state: Float[Tensor, "*batch dim_and_1"]
    ) -> Float[Tensor, "*batch dim_and_1"]:
        """``f`` and ``-tr(df/dz)``; nothing depends on the last column of the state.

        Raises:
            ValueError: for a ``Hutchinson()`` whose noise is not drawn.
        """
        if isinstance(self.trace, Hutchinson):
            raise ValueError("Hutchinson() has drawn no noise: use the field that fixed(x) returns")
        f, trace = self.trace(self.field, t, state[..., :-1])
        return torch.cat([f, -trace.unsqueeze(-1)], dim=-1)


class CNF(nn.Module):
    """A density: that of a base distribution at time 0, carried by a flow to the time ``end``.

    The data are at ``end``. Points are [batch, dim], or [runs, batch, dim] where the field has
    runs; the solver then has one step size for all of them, by default chosen by ``runs_norm``.

    Attributes:
        stats: the cost of the last solve; ``None`` before the first.

    Args:
        field: a module for states of that shape.
        base: a ``StandardNormal``, or a ``torch.distributions`` object for vectors.
        end: the time at which the data are, positive.
        trace: ``closed_trace``, ``exact_trace`` or a ``Hutchinson()``, which draws its noise once a
            solve; by default the closed form of a field that has one, and the exact one otherwise.
        solver: keyword arguments of ``solve``, such as ``rtol`` and ``gradient``.

    Raises:
        ValueError: for a base that is not one of vectors, or an end that is not positive.
    """

    def __init__(
        self,
        field: nn.Module,
        base: StandardNormal | Distribution,
        *,
        end: float = 1.0,
        trace: Trace | Hutchinson | None = None,
        **solver: Any,
    ) -> None:
        super().__init__()
        if len(base.event_shape) != 1:
            raise ValueError(f"base has the event shape {tuple(base.event_shape)}, expected (dim,)")
        if not 0 < end < math.inf:
            raise ValueError(f"end is {end}, expected a positive time")
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
        if not 0 <= time <= self.end:
            raise ValueError(f"time is {time}, expected 0 to {self.end}")
        z, change = self._carry(x, time, 0.0)
        return self.base.log_prob(z) - change

    @torch.no_grad()
    def sample(self, count: int, generator: Generators) -> Float[Tensor, "*runs count dim"]:
        """Points of the model, by a solve from the base to the data; without a gradient.

        Args:
            count: how many, for each run.
            generator: a sequence of one a run where there are runs.
        """
        return self.transport(self.draw_base(count, generator), [0.0, self.end])[-1]

    def sample_with_log_prob(
        self, count: int, generator: Generators
    ) -> tuple[Float[Tensor, "*runs count dim"], Float[Tensor, "*runs count"]]:
        """Points and their log-density by the same solve, differentiable by the parameters."""
        z = self.draw_base(count, generator)
        x, change = self._carry(z, 0.0, self.end)
        return x, self.base.log_prob(z) + change

    def transport(
        self, x: Float[Tensor, "*batch dim"], times: Sequence[float]
    ) -> Float[Tensor, "time *batch dim"]:
        """Where the flow takes points that are at ``x`` at the first of these times, at each."""
        self._check(x)
        ts = torch.tensor(times, dtype=x.dtype, device=x.device)
        solution = solve(self.field, x, ts, **self.solver)
        self.stats = solution.stats
        return solution.ys

    def draw_base(self, count: int, generator: Generators) -> Float[Tensor, "*runs count dim"]:
        """Points of the base, in the dtype and on the device of the field's parameters.

        Raises:
            ValueError: for a count below 1, or another number of generators than runs.
        """
        if count < 1:
            raise ValueError(f"count is {count}, expected at least 1")
        drawn = [self._draw(count, own) for own in each_run(self.runs, generator)]
        points = drawn[0] if self.runs is None else torch.stack(drawn)
        like = next(self.field.parameters(), points)
        return points.to(like)

    def _draw(self, count: int, generator: torch.Generator | None) -> Float[Tensor, "count dim"]:
        if isinstance(self.base, StandardNormal):
            return self.base.sample(count, generator)
        # torch.distributions draw from the global generator alone, which is put back afterwards.
        with torch.random.fork_rng():
            torch.manual_seed(torch.randint(2**62, (), generator=generator).item())
            return self.base.sample((count,))

    def _carry(
        self, x: Float[Tensor, "*batch dim"], start: float, end: float
    ) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch"]]:
        """Where the flow takes ``x``, and the change of the log-density on the way."""
        self._check(x)
        if start == end:
            return x, torch.zeros_like(x[..., 0])
        state = nn.functional.pad(x, (0, 1))
        ts = x.new_tensor([start, end])
        solution = solve(self.augmented.with_fixed_noise(x), state, ts, **self.solver)
        self.stats = solution.stats
        return solution.ys[-1, ..., :-1], solution.ys[-1, ..., -1]

    def _check(self, x: Tensor) -> None:
        lead = () if self.runs is None else (self.runs,)
        if x.ndim != len(lead) + 2 or x.shape[: len(lead)] != lead or x.shape[-1] != self.dim:
            wanted = ", ".join(map(str, [*lead, "batch", self.dim]))
            raise ValueError(f"points have the shape {tuple(x.shape)}, expected [{wanted}]")
