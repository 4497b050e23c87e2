"""torchdiffeq: its ``odeint`` and ``odeint_adjoint``, unchanged."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from neural_ode import Adjoint, NonFinite, StepLimit, StepUnderflow
from neural_ode.field import Field
from neural_ode.gradients import Gradient
from neural_ode.settings import Settings
from neural_ode.solution import Stats
from odeclaims.backends.base import Answer, Backend, Prepared
from odeclaims.backends.offers import Offers
from odeclaims.backends.on_torch import CountedField, Pass, gradient_vector, run, states

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
    of_adjoint=("norm",),
)
_GRID = Offers(
    "torchdiffeq",
    {name: name for name in _FIXED},
    settings=("step_size", "perturb"),
    adjoint=True,
)
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
        import torchdiffeq

        settings: dict[str, Any] = {"rtol": tol, "atol": tol, "method": method}
        odeint = torchdiffeq.odeint
        if gradient in ("adjoint", "seminorm"):
            odeint = torchdiffeq.odeint_adjoint
        if gradient == "seminorm":
            settings["adjoint_options"] = {"norm": "seminorm"}

        def solve(field: nn.Module, y0: Tensor) -> tuple[Tensor, Stats]:
            ys: Any = odeint(field, y0, problem.ts, **settings)
            return ys, field.end_forward() if isinstance(field, CountedField) else Stats()

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
        self, field: Field, y0: Tensor, ts: Tensor, settings: Settings, gradient: Gradient
    ) -> tuple[Tensor, Stats]:
        """One solve of a claim; outputs inside the steps of a grid are interpolated by a cubic."""
        import torchdiffeq

        offers = _STEPS if settings.adaptive else _GRID
        offers.check(settings, gradient)
        counted = _Watched(field) if settings.adaptive else CountedField(field)
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
        with _failures():
            ys: Any = odeint(counted, y0, ts, **arguments)
        return ys, counted.end_forward()


class _Watched(CountedField):
    """The same for adaptive steps, which torchdiffeq reports to methods of these names."""

    def callback_accept_step(self, t: Tensor, y: Tensor, h: Tensor) -> None:
        self._counts.accepted += 1

    def callback_reject_step(self, t: Tensor, y: Tensor, h: Tensor) -> None:
        self._counts.rejected += 1


def _options(settings: Settings, ts: Tensor) -> dict[str, Any]:
    """The options of a solve; those that are left at their defaults are left out."""
    if not settings.adaptive:
        h = settings.step_size
        inside = h is not None and bool((((ts - ts[0]) / h).frac().abs() > 1e-6).any())
        options = {
            "step_size": h,
            "perturb": settings.perturb or None,
            # It costs an evaluation an output, and gives nothing where outputs end steps.
            "interp": "cubic" if inside and len(ts) > 2 else None,
        }
    else:
        default = Settings()
        names = (*_STEPS.settings, "max_num_steps")
        options = {
            name: value
            for name in names
            if (value := getattr(settings, name)) != getattr(default, name)
        }
        for name in ("step_t", "jump_t"):
            if name in options:
                options[name] = ts.new_tensor(options[name])
    return {name: value for name, value in options.items() if value is not None}


def _of_adjoint(gradient: Adjoint, field: Field, options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``odeint_adjoint`` beside those of ``odeint``."""
    if gradient.params is None and not isinstance(field, nn.Module):
        raise ValueError("the adjoint of a field that is no module needs its params")
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


@contextmanager
def _failures() -> Iterator[None]:
    """Name the failures of a solve, which torchdiffeq tells by assertions, as here."""
    try:
        yield
    except AssertionError as error:
        for start, failure in _FAILURES.items():
            if str(error).startswith(start):
                raise failure(f"torchdiffeq: {str(error)[:200]}", float("nan")) from error
        raise
