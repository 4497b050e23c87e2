"""diffrax: the same fields with the same weights, as pure JAX functions; each solve is jitted.

Claims have fields of many kinds, so for them the jitted solve calls the torch field back.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from neural_ode import Adjoint, NonFinite, SolverFailure, StepLimit, StepUnderflow
from neural_ode.failures import NotOffered
from neural_ode.field import Field
from neural_ode.gradients import Gradient
from neural_ode.settings import NO_LIMIT, Settings
from neural_ode.solution import Stats
from odeclaims.backends.base import Answer, Backend, Crossing, Ending, Prepared
from odeclaims.backends.diffrax_programs import (
    METHODS,
    dense_program,
    evaluations,
    event_program,
    solve_program,
)
from odeclaims.backends.jax_fields import jax_field, jax_params, to_jax_layout, to_torch_layout
from odeclaims.backends.offers import Offers
from odeclaims.backends.on_jax import Called, Solved, calling_back, check_leaves, field_in_jax
from odeclaims.backends.on_torch import CountedField, finish
from odeclaims.workloads import Problem

# JAX's names for the kinds of torch devices.
_PLATFORMS = {"cpu": "cpu", "cuda": "gpu"}

# What claims may ask for, and diffrax's names for it.
_STEPS = Offers(
    "diffrax",
    {
        "dopri5": "Dopri5",
        "tsit5": "Tsit5",
        "bosh3": "Bosh3",
        "dopri8": "Dopri8",
        "adaptive_heun": "Heun",
    },
    settings=("first_step",),
    adjoint=True,
    of_adjoint=("norm", "params"),
)
_GRID = Offers(
    "diffrax",
    {"euler": "Euler", "midpoint": "Midpoint", "heun2": "Heun"},
    settings=("step_size",),
    adjoint=True,
    of_adjoint=("norm", "params"),
)
# States that are kept for the gradient of the computed steps; the steps between are taken again.
_CHECKPOINTS = 32
# How diffrax begins the sentence of each of its failures.
_FAILURES = {
    "The maximum number of solver steps was reached": StepLimit,
    "The minimum step size was reached": StepUnderflow,
    "A non-finite value": NonFinite,
}


class Diffrax(Backend):
    """diffrax (Kidger 2021) under ``jax.jit``, in the precision of the initial states.

    Its controller's defaults are those of torchdiffeq: the root mean square over the whole batch,
    safety 0.9, factors from 0.2 to 10, and no memory of earlier errors.
    """

    name = "diffrax"
    requires = ("diffrax", "jax")
    gradients = ("checkpointed", "adjoint", "seminorm")
    in_torch = False

    def missing(self, device: str = "cpu") -> list[str]:
        """The packages that are missing, or a build of JAX that finds the GPU."""
        packages = super().missing()
        if packages or device == "cpu":
            return packages
        import jax

        try:
            jax.devices(_PLATFORMS[torch.device(device).type])
        except RuntimeError:
            return ["a build of JAX for CUDA"]
        return []

    def prepare(
        self, problem: Problem, *, method: str, tol: float, gradient: str | None
    ) -> Prepared:
        """The work; its first run compiles it, once for all tolerances."""
        import jax

        if method not in METHODS:
            raise ValueError(f"backend diffrax knows the methods {', '.join(METHODS)}: {method!r}")
        times, shape = tuple(problem.ts.tolist()), tuple(problem.y0.shape)
        # JAX rounds everything to float32 unless float64 is enabled.
        double = problem.y0.dtype == torch.float64
        with jax.enable_x64(double):
            kind = (problem.y0.dtype, problem.y0.device.type)
            field = jax_field(problem.field, problem.y0.device.type)
            program = solve_program(field, shape, times, method, gradient, kind)
            arguments = jax.device_put(
                _arguments(problem, tol), jax.devices(_PLATFORMS[problem.y0.device.type])[0]
            )

        def run() -> tuple[Any, Any, Any, float | None]:
            with jax.enable_x64(double):
                return program(*arguments)

        def answer(output: tuple[Any, Any, Any, float | None]) -> Answer:
            ys, gradients, steps, compile_s = output
            vector = None if gradients is None else _vector(problem.field, *gradients)
            states = _float64(to_torch_layout(problem.field, ys))
            return Answer(states, vector, evaluations(method, int(steps)), None, compile_s)

        return Prepared(run, answer)

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
        gradient: Gradient,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """One solve of a claim; its program calls the field back for each evaluation."""
        offers = _STEPS if settings.adaptive else _GRID
        offers.check(settings, ts, gradient)
        _check_tensors(y0, ts)
        counted = CountedField(field)
        if len(ts) == 1:
            return y0[None], counted.stats
        params = _params(field, y0, ts, gradient) if torch.is_grad_enabled() else []
        run = _Run(
            _Kind.of(offers.methods[settings.method.name], settings, gradient),
            Called(counted, params),
            ts.to(y0.dtype),
            settings,
            gradient,
        )
        ys = torch.cat([y0[None], Solved.apply(run, y0, *params)])
        return finish(counted, ys, ts)

    def solve_dense(
        self,
        problem: Problem,
        times: Float64[np.ndarray, " time"],
        *,
        method: str,
        tol: float,
    ) -> Answer:
        """The states of a solve that keeps its interpolation."""
        import jax

        _check_method(method)
        ends = (float(problem.ts[0]), float(problem.ts[-1]))
        with jax.enable_x64(problem.y0.dtype == torch.float64):
            program = dense_program(jax_field(problem.field), method)
            rounded = times.astype(problem.y0.numpy().dtype)
            ys, steps = program(*_arguments(problem, tol), ends, rounded)
            states = _float64(to_torch_layout(problem.field, ys))
            return Answer(states, None, evaluations(method, int(steps)), None)

    def solve_to_event(
        self,
        problem: Problem,
        event: Crossing,
        *,
        method: str,
        tol: float,
        gradient: str | None,
    ) -> Ending:
        """The end by diffrax's ``Event``, whose time Newton's method finds."""
        import jax

        _check_method(method)
        if gradient not in (None, "checkpointed"):
            raise NotOffered(f"diffrax does not offer the gradient {gradient} of an event")
        ends = (float(problem.ts[0]), float(problem.ts[-1]))
        with jax.enable_x64(problem.y0.dtype == torch.float64):
            program = event_program(jax_field(problem.field), event, method, gradient is not None)
            (t, y), gradients = program(*_arguments(problem, tol), ends)
            vector = None if gradients is None else _vector(problem.field, *gradients)
            return Ending(float(t), _float64(to_torch_layout(problem.field, y)), vector)

    def failure_of(self, error: Exception) -> SolverFailure | None:
        """The failure that an error of a way back tells."""
        for start, failure in _FAILURES.items():
            if start in str(error):
                return failure(f"diffrax, on the way back: {start}", math.nan)
        return None


# --- solves of claims


def _check_tensors(y0: Tensor, ts: Tensor) -> None:
    if y0.device.type != "cpu" or not y0.is_floating_point():
        raise NotOffered(f"diffrax does not offer states of {y0.dtype} on {y0.device.type}")
    if not torch.equal(ts.to(y0.dtype).to(ts.dtype), ts):
        raise NotOffered(f"diffrax does not offer times that {y0.dtype}, the state's, rounds")
    if ts.requires_grad and torch.is_grad_enabled():
        raise NotOffered("diffrax does not offer the gradient of output times")


def _params(field: Field, y0: Tensor, ts: Tensor, gradient: Gradient) -> list[Tensor]:
    """The tensors of a field that a gradient is asked for."""
    if isinstance(gradient, Adjoint) and gradient.params is not None:
        return list(gradient.params)
    of_module = field.parameters() if isinstance(field, nn.Module) else ()
    params: list[Tensor] = [each for each in of_module if each.requires_grad]
    check_leaves("diffrax", field, ts[0].to(y0.dtype), y0, params)
    return params


@dataclass(frozen=True)
class _Kind:
    """What a program is compiled for; everything else is its argument.

    Attributes:
        method: diffrax's name of the method.
        adaptive: whether it adapts its steps; otherwise a grid is its argument.
        max_steps: how many steps it may take, without a limit where it is ``None``.
        gradient: the way to the gradient, as in ``Diffrax.gradients``.
    """

    method: str
    adaptive: bool
    max_steps: int | None
    gradient: str

    @classmethod
    def of(cls, method: str, settings: Settings, gradient: Gradient) -> "_Kind":
        way = "checkpointed"
        if isinstance(gradient, Adjoint):
            way = "seminorm" if gradient.norm == "seminorm" else "adjoint"
        most = None if settings.max_num_steps == NO_LIMIT else int(settings.max_num_steps)
        return cls(method, settings.adaptive, most, way)


@dataclass(eq=False)
class _Run:
    """A program on one problem."""

    kind: _Kind
    called: Called
    ts: Tensor
    settings: Settings
    gradient: Gradient
    pull_back: Any = None

    def there(self, y0: Tensor, params: Sequence[Tensor]) -> Tensor:
        """The states after the first output time; what the way back needs is kept."""
        wants = [each.requires_grad for each in (y0, *params)]
        program = _claim_program(self.kind)
        solve = program.linear if any(wants) else program.plain
        ys, (result, steps), *rest = self._within(solve, *self._arguments(y0, params))
        self.pull_back = rest[0] if rest else None
        self._check(result)
        counts = self.called.counted.stats.forward
        counts.accepted, counts.rejected = (int(number) for number in steps)
        return _to_torch(ys)

    def back(self, covector: Tensor) -> list[Tensor]:
        """The gradients of ``y0`` and of each parameter."""
        program = _claim_program(self.kind)
        of_state, of_params = self._within(program.back, self.pull_back, _to_jax(covector))
        return [_to_torch(part) for part in (of_state, *of_params)]

    def _arguments(self, y0: Tensor, params: Sequence[Tensor]) -> list[Any]:
        settings, adjoint = self.settings, self.gradient
        tolerances = [settings.rtol, settings.atol]
        if isinstance(adjoint, Adjoint):
            own = zip(tolerances, (adjoint.rtol, adjoint.atol), strict=True)
            tolerances += [there if back is None else back for there, back in own]
        ends = self.ts[[0, -1]]
        first = settings.first_step
        if first is not None:
            first = math.copysign(first, float(ends[1] - ends[0]))
        # A shorter step does not move the time.
        least = torch.finfo(y0.dtype).eps * float(ends.abs().max())
        grid = None if settings.adaptive else _to_jax(_grid(self.ts, settings.step_size))
        pairs = np.asarray(tolerances, _to_jax(y0).dtype).reshape(-1, 2)
        number = np.asarray(self.called.number)
        parts = tuple(_to_jax(each) for each in params)
        return [_to_jax(y0), parts, number, _to_jax(self.ts), pairs, first, least, grid]

    def _within(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a compiled function; what the field has raised in it is raised as it was."""
        import jax

        try:
            with calling_back(self.ts.dtype == torch.float64):
                return jax.block_until_ready(function(*arguments))
        except Exception as error:
            if self.called.error is None:
                raise
            raise self.called.error from error

    def _check(self, result: Any) -> None:
        import diffrax

        if not bool(result == diffrax.RESULTS.successful):
            text = diffrax.RESULTS[result]
            kinds = [kind for start, kind in _FAILURES.items() if text.startswith(start)]
            raise (kinds or [SolverFailure])[0](f"diffrax: {text.splitlines()[0]}", math.nan)


def _grid(ts: Tensor, step_size: float | None) -> Tensor:
    """The times at which steps begin and end: the outputs, and those between where asked for."""
    if step_size is None:
        return ts
    steps = math.ceil(float((ts[-1] - ts[0]).abs()) / step_size - 1e-9)
    h = math.copysign(step_size, float(ts[-1] - ts[0]))
    grid = ts[0] + h * torch.arange(steps + 1, dtype=ts.dtype)
    grid[-1] = ts[-1]
    return grid


@dataclass(frozen=True)
class _Compiled:
    """A solve that is compiled once for all arguments of equal shapes.

    Attributes:
        plain: the states, and what they have cost.
        linear: the same, and a function from a covector of the states to the gradients.
        back: applies that function.
    """

    plain: Callable[..., Any]
    linear: Callable[..., Any]
    back: Callable[..., Any]


@cache
def _claim_program(kind: _Kind) -> _Compiled:
    import diffrax
    import jax

    method = getattr(diffrax, kind.method)()

    def solve(
        y0: Any,
        params: Any,
        number: Any,
        ts: Any,
        tolerances: Any,
        first_step: Any,
        least_step: Any,
        grid: Any,
    ) -> tuple[Any, Any]:
        def controller(tolerance: Any, **more: Any) -> Any:
            if not kind.adaptive:
                return diffrax.StepTo(ts=grid)
            rtol, atol = tolerance
            return diffrax.PIDController(rtol=rtol, atol=atol, dtmin=least_step, **more)

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field_in_jax()),
            method,
            t0=ts[0],
            t1=ts[-1],
            dt0=first_step,
            y0=y0,
            args=(number, params),
            saveat=diffrax.SaveAt(ts=ts[1:]),
            stepsize_controller=controller(tolerances[0]),
            adjoint=_claim_adjoint(kind, lambda **more: controller(tolerances[-1], **more)),
            max_steps=kind.max_steps,
            throw=False,
        )
        steps = [solution.stats[f"num_{name}_steps"] for name in ("accepted", "rejected")]
        return solution.ys, (solution.result, steps)

    def linear(y0: Any, params: Any, *others: Any) -> tuple[Any, Any, Any]:
        ys, pull_back, cost = jax.vjp(lambda *of: solve(*of, *others), y0, params, has_aux=True)
        return ys, cost, pull_back

    def back(pull_back: Any, covector: Any) -> Any:
        return pull_back(covector)

    return _Compiled(jax.jit(solve), jax.jit(linear), jax.jit(back))


def _claim_adjoint(kind: _Kind, controller: Callable[..., Any]) -> Any:
    import diffrax

    if kind.gradient == "checkpointed":
        return diffrax.RecursiveCheckpointAdjoint(checkpoints=_CHECKPOINTS)
    more = {"norm": diffrax.adjoint_rms_seminorm} if kind.gradient == "seminorm" else {}
    # Otherwise a way back that fails would be taken for one that does not.
    return diffrax.BacksolveAdjoint(stepsize_controller=controller(**more), throw=True)


def _to_jax(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def _to_torch(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array))


# --- work on fields that are written in JAX


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise NotOffered(f"diffrax offers the methods {', '.join(METHODS)} here: {method!r}")


def _arguments(problem: Problem, tol: float) -> tuple[Any, Any, np.ndarray]:
    """Initial states, parameters and tolerance in JAX."""
    y0 = to_jax_layout(problem.field, problem.y0.cpu().numpy())
    return y0, jax_params(problem.field), np.asarray(tol, y0.dtype)


def _vector(field: nn.Module, of_states: Any, of_params: Any) -> Float64[np.ndarray, " inputs"]:
    """The gradients in the order of ``Answer.gradient``."""
    parts = [to_torch_layout(field, of_states), *of_params]
    return np.concatenate([_float64(part).ravel() for part in parts])


def _float64(array: Any) -> np.ndarray:
    return np.asarray(array, dtype=np.float64)
