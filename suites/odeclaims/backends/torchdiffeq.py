"""torchdiffeq: its ``odeint`` and ``odeint_adjoint``, unchanged."""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Complex, Float, Float64
from torch import Tensor, nn

from neural_ode import Adjoint, NonFinite, SolverFailure, StepLimit, StepUnderflow
from neural_ode.failures import NotOffered
from neural_ode.field import Field
from neural_ode.gradients import Gradient
from neural_ode.settings import Settings
from neural_ode.solution import Stats
from odeclaims.backends.base import Answer, Backend, Crossing, Ending, Prepared
from odeclaims.backends.offers import Offers
from odeclaims.backends.on_torch import (
    CountedField,
    Pass,
    ending,
    finish,
    gradient_vector,
    run,
    states,
)

if TYPE_CHECKING:
    from odeclaims.workloads import Problem

# Under the same name both libraries have the same tableau.
_ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")
_FIXED = ("euler", "midpoint", "heun2", "heun3", "rk4")
_STEPS = Offers(
    "torchdiffeq",
    {name: name for name in _ADAPTIVE},
    settings=("norm", "first_step", "min_step", "max_step", "step_t", "jump_t"),
    adjoint=True,
    of_adjoint=("norm", "params"),
)
_GRID = Offers(
    "torchdiffeq",
    {name: name for name in _FIXED},
    settings=("step_size", "perturb"),
    adjoint=True,
    of_adjoint=("norm", "params"),
)
# torchdiffeq counts steps in 32 bits.
_MOST_STEPS = 2**31 - 1
# How torchdiffeq begins the sentence of each of its failures.
_FAILURES = {
    "max_num_steps exceeded": StepLimit,
    "underflow in dt": StepUnderflow,
    "non-finite values": NonFinite,
}


class Torchdiffeq(Backend):
    """torchdiffeq (Chen 2018); its adjoint with the default norm or with the seminorm."""

    name = "torchdiffeq"
    requires = ("torchdiffeq",)
    gradients = ("backprop", "adjoint", "seminorm")

    def prepare(
        self, problem: "Problem", *, method: str, tol: float, gradient: str | None
    ) -> Prepared:
        """The work; a separate run counts its evaluations, since torchdiffeq does not."""
        odeint, settings = _interface(method, tol, gradient)

        def solve(field: nn.Module, y0: Tensor) -> tuple[Tensor, Stats]:
            ys: Any = odeint(field, y0, problem.ts, **settings)
            return ys, field.end_forward(ys) if isinstance(field, CountedField) else Stats()

        def answer(output: Pass) -> Answer:
            field = CountedField(problem.field)
            stats = run(partial(solve, field), problem, gradient).stats
            return Answer(
                states(output, problem),
                gradient_vector(output),
                stats.nfe_forward,
                stats.nfe_backward,
            )

        return Prepared(lambda: run(partial(solve, problem.field), problem, gradient), answer)

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
        gradient: Gradient,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """One solve of a claim."""
        import torchdiffeq

        offers = _STEPS if settings.adaptive else _GRID
        offers.check(settings, ts, gradient)
        counted = _WatchedSteps(field) if settings.adaptive else _WatchedGrid(field)
        if len(ts) == 1:
            return y0[None], counted.stats
        options = _options(settings, ts)
        arguments: dict[str, Any] = {
            "rtol": settings.rtol,
            "atol": settings.atol,
            "method": offers.methods[settings.method.name],
            "options": options,
        }
        odeint = torchdiffeq.odeint
        if isinstance(gradient, Adjoint) and torch.is_grad_enabled():
            odeint = torchdiffeq.odeint_adjoint
            arguments |= _of_adjoint(gradient, field, options)
        try:
            ys: Any = odeint(counted, y0, ts, **arguments)
        except AssertionError as error:
            failure = self.failure_of(error)
            if failure is None:
                raise
            raise failure from error
        return finish(counted, ys, ts)

    def solve_dense(
        self,
        problem: "Problem",
        times: Float64[np.ndarray, " time"],
        *,
        method: str,
        tol: float,
    ) -> Answer:
        """The states by ``odeint_dense``, one time after another."""
        import torchdiffeq

        if method != "dopri5":
            raise NotOffered(f"torchdiffeq does not offer dense output of {method}")
        begin, end = problem.ts[0], problem.ts[-1]
        if begin > end:
            raise NotOffered("torchdiffeq does not offer dense output backward in time")
        settings: dict[str, Any] = {"rtol": tol, "atol": tol, "method": method}
        counted = CountedField(problem.field)
        with torch.no_grad():
            at = torchdiffeq.odeint_dense(counted, problem.y0, begin, end, **settings)
            ys = torch.stack([at(t) for t in torch.tensor(times)])
        return Answer(ys.double().cpu().numpy(), None, counted.count, None)

    def solve_to_event(
        self,
        problem: "Problem",
        event: Crossing,
        *,
        method: str,
        tol: float,
        gradient: str | None,
    ) -> Ending:
        """The end by ``odeint_event``."""
        import torchdiffeq

        odeint, settings = _interface(method, tol, gradient)
        begin, end = problem.ts[[0, -1]]

        def solve_from(y0: Tensor) -> tuple[Tensor, Tensor]:
            t, ys = torchdiffeq.odeint_event(
                problem.field,
                y0,
                begin,
                event_fn=event.value,
                reverse_time=bool(end < begin),
                odeint_interface=odeint,
                **settings,
            )
            return t, ys[-1]

        return ending(solve_from, problem, gradient)

    def solve_complex(
        self,
        field: nn.Module,
        y0: Complex[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        *,
        method: str,
        tol: float,
        gradient: str | None,
    ) -> Complex[Tensor, "time *state"]:
        """The states by the function of the gradient."""
        odeint, settings = _interface(method, tol, gradient)
        return odeint(field, y0, ts, **settings)

    def failure_of(self, error: Exception) -> SolverFailure | None:
        """The failure that an assertion of torchdiffeq tells, on the way back too."""
        if type(error) is not AssertionError:
            return None
        for start, failure in _FAILURES.items():
            if str(error).startswith(start):
                return failure(f"torchdiffeq: {str(error)[:200]}", math.nan)
        return None


def _interface(
    method: str, tol: float, gradient: str | None
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function of torchdiffeq that has this gradient, and its arguments."""
    import torchdiffeq

    settings: dict[str, Any] = {"rtol": tol, "atol": tol, "method": method}
    if gradient == "seminorm":
        settings["adjoint_options"] = {"norm": "seminorm"}
    by_adjoint = gradient in ("adjoint", "seminorm")
    return torchdiffeq.odeint_adjoint if by_adjoint else torchdiffeq.odeint, settings


class _WatchedSteps(CountedField):
    """A field to whose methods torchdiffeq reports adaptive steps, by their names."""

    def callback_accept_step(self, t: Tensor, y: Tensor, h: Tensor) -> None:
        self.counts.accepted += 1

    def callback_reject_step(self, t: Tensor, y: Tensor, h: Tensor) -> None:
        self.counts.rejected += 1


class _WatchedGrid(CountedField):
    """The same for the steps of a grid."""

    def callback_step(self, t: Tensor, y: Tensor, h: Tensor) -> None:
        self.counts.accepted += 1


def _options(settings: Settings, ts: Tensor) -> dict[str, Any]:
    """The options of a solve; those that are left at their defaults are left out."""
    default = Settings()
    offered = _STEPS.settings if settings.adaptive else _GRID.settings
    options = {
        name: value
        for name in offered
        if (value := getattr(settings, name)) != getattr(default, name)
    }
    for name in {"step_t", "jump_t"} & set(options):
        options[name] = ts.new_tensor(options[name])
    if settings.adaptive and settings.max_num_steps < _MOST_STEPS:
        options["max_num_steps"] = int(settings.max_num_steps)
    return options


def _of_adjoint(gradient: Adjoint, field: Field, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``odeint_adjoint`` beside those of ``odeint``."""
    if gradient.params is None and not isinstance(field, nn.Module):
        raise ValueError("the adjoint of a field that is not a module needs its params")
    arguments: dict[str, Any] = {
        "adjoint_rtol": gradient.rtol,
        "adjoint_atol": gradient.atol,
        "adjoint_params": None if gradient.params is None else tuple(gradient.params),
        # Where a norm is chosen for the way there, it is not that of the way back.
        "adjoint_options": {k: v for k, v in options.items() if k != "norm"},
    }
    if gradient.norm != "rms":
        arguments["adjoint_options"]["norm"] = gradient.norm
    return arguments
