"""torchode: a step size for each sample, except under its joint adjoint."""

import importlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode import Adjoint, NonFinite, SolverFailure, StepLimit, StepUnderflow
from neural_ode.failures import NotOffered
from neural_ode.field import Field
from neural_ode.gradients import Gradient
from neural_ode.settings import Settings
from neural_ode.solution import Stats
from odeclaims.backends.base import Answer, Backend, Prepared
from odeclaims.backends.offers import Offers
from odeclaims.backends.on_torch import CountedField, Pass, finish, gradient_vector, run, states
from odeclaims.workloads import Problem

_METHODS = {"dopri5": "Dopri5", "tsit5": "Tsit5", "heun": "Heun", "euler": "Euler"}
_STEPS = Offers(
    "torchode",
    {"dopri5": "Dopri5", "tsit5": "Tsit5", "adaptive_heun": "Heun"},
    settings=("batch",),
    adjoint=True,
)
_GRID = Offers("torchode", {"euler": "Euler", "heun": "Heun"}, settings=("step_size",))
_FAILURES = {
    "REACHED_DT_MIN": StepUnderflow,
    "REACHED_MAX_STEPS": StepLimit,
    "INFINITE_NORM": NonFinite,
}
# torchode counts steps in a tensor of whole numbers.
_MOST_STEPS = 2**31 - 1


class Torchode(Backend):
    """torchode (Lienen and Günnemann 2022), run eagerly.

    Forward and ``backprop`` go through ``AutoDiffAdjoint``, in which each sample has its own steps;
    ``adjoint`` goes through ``JointBacksolveAdjoint``, in which the whole batch shares them, as it
    does in the other libraries.
    """

    name = "torchode"
    requires = ("torchode",)
    gradients = ("backprop", "adjoint")

    def prepare(
        self, problem: Problem, *, method: str, tol: float, gradient: str | None
    ) -> Prepared:
        """The work, on states flattened to [batch, features]; torchode counts its evaluations."""
        # torchode's annotations are torchtyping's, which type checkers cannot match with tensors.
        torchode: Any = importlib.import_module("torchode")
        if method not in _METHODS:
            raise ValueError(f"torchode has no method {method!r}, only {', '.join(_METHODS)}")
        batch, *features = problem.y0.shape
        ts = problem.ts.expand(batch, -1)
        # Without inner output times torchode interpolates nothing and returns the end alone.
        times = {"t_eval": ts} if ts.shape[1] > 2 else {"t_start": ts[:, 0], "t_end": ts[:, 1]}
        term = torchode.ODETerm(_Flattened(problem.field, features))
        step_method = getattr(torchode, _METHODS[method])(term=term)
        controller = torchode.IntegralController(atol=tol, rtol=tol, term=term)
        if gradient == "adjoint":
            solver = torchode.JointBacksolveAdjoint(term, step_method, controller)
        else:
            # Step sizes are constants of the graph, as in the other libraries.
            solver = torchode.AutoDiffAdjoint(
                step_method, controller, backprop_through_step_size_control=False
            )

        def solve(y0: Tensor) -> tuple[Tensor, dict[str, Any]]:
            initial = torchode.InitialValueProblem(y0.flatten(1), **times)
            solution = solver.solve(initial, term)
            # torchode does not raise when it gives up but sets a status; `answer`, which is not
            # timed, reads it.
            solution.stats["status"] = solution.status
            return solution.ys.transpose(0, 1).unflatten(-1, features), solution.stats

        def answer(output: Pass) -> Answer:
            worst = torchode.Status(int(output.stats["status"].max()))
            if worst != torchode.Status.SUCCESS:
                raise RuntimeError(f"torchode gave up with the status {worst.name}")
            forward, backward = output.stats, output.stats.get("backsolve", [])
            return Answer(
                states(output, problem),
                gradient_vector(output),
                _evaluations(forward),
                sum(map(_evaluations, backward)) if backward else None,
            )

        return Prepared(lambda: run(solve, problem, gradient), answer)

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
        gradient: Gradient,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        """One solve of a claim, in which the whole state is one sample: it shares its steps.

        With ``batch="independent"`` its samples are torchode's own. torchode counts its step limit
        over the whole solve, and not between two outputs.
        """
        torchode: Any = importlib.import_module("torchode")
        offers = _STEPS if settings.adaptive else _GRID
        offers.check(settings, ts, gradient)
        if not settings.adaptive and settings.step_size is None:
            raise NotOffered("torchode does not offer steps from one output to the next")
        _check_times(ts, y0)
        if isinstance(gradient, Adjoint):
            _check_parameters(field)
        own = settings.sample_method is not None
        flat = y0.reshape(len(y0) if own else 1, -1)
        wrapped = _Flattened(field, [*y0.shape[1:]]) if own else _OneSample(field, y0.shape)
        counted = CountedField(wrapped)
        if len(ts) == 1:
            return y0[None], counted.stats
        work = _Work(torchode, counted, offers.methods[settings.method.name], settings)
        if isinstance(gradient, Adjoint) and torch.is_grad_enabled():
            solver = work.adjoint(gradient)
        else:
            solver = work.loop()
        times = ts.to(y0.dtype).expand(len(flat), -1)
        initial = torchode.InitialValueProblem(flat, t_eval=times)
        solution = solver.solve(initial, work.term, dt0=work.first_step(ts, y0))
        _check_status(torchode, solution)
        # Those of all samples together, as ours are.
        steps, accepted = (int(solution.stats[n].sum()) for n in ("n_steps", "n_accepted"))
        counts = counted.stats.forward
        counts.accepted, counts.rejected = accepted, steps - accepted
        return finish(counted, solution.ys.transpose(0, 1).reshape(len(ts), *y0.shape), ts)


@dataclass(frozen=True)
class _Work:
    """The parts of torchode that one solve takes.

    Attributes:
        torchode: the library, which is imported when it is needed.
        field: the field on one flat sample.
        method: torchode's name of the method.
        settings: those of the solve.
    """

    torchode: Any
    field: nn.Module
    method: str
    settings: Settings

    @cached_property
    def term(self) -> Any:
        return self.torchode.ODETerm(self.field)

    def loop(self, rtol: Any = None, atol: Any = None) -> Any:
        """A loop over steps, by the tolerances of the solve where none are given."""
        method = getattr(self.torchode, self.method)(term=self.term)
        if not self.settings.adaptive:
            controller = self.torchode.FixedStepController()
        else:
            controller = self.torchode.IntegralController(
                rtol=self.settings.rtol if rtol is None else rtol,
                atol=self.settings.atol if atol is None else atol,
                term=self.term,
            )
        return self.torchode.AutoDiffAdjoint(
            method,
            controller,
            max_steps=int(min(self.settings.max_num_steps, _MOST_STEPS)),
            backprop_through_step_size_control=False,
        )

    def adjoint(self, gradient: Adjoint) -> Any:
        """The joint adjoint, whose loops have the limits and the tolerances that were asked for."""
        loop = self.loop()
        solver = self.torchode.JointBacksolveAdjoint(
            self.term, loop.step_method, loop.step_size_controller
        )
        solver.forward_loop = loop
        solver.backward_loop = _Checked(self.torchode, self.loop(gradient.rtol, gradient.atol))
        return solver

    def first_step(self, ts: Tensor, y0: Tensor) -> Tensor | None:
        """The step of a grid; torchode wants it in the direction of the solve."""
        h = self.settings.step_size
        if self.settings.adaptive or h is None:
            return None
        return y0.new_full((1,), float(h) if ts[-1] > ts[0] else -float(h))


class _Checked(nn.Module):
    """A loop over the steps of a way back that says where it fails, which torchode does not."""

    def __init__(self, torchode: Any, loop: nn.Module) -> None:
        super().__init__()
        self.torchode, self.loop = torchode, loop

    def solve(self, *arguments: Any, **more: Any) -> Any:
        solution = cast(Any, self.loop).solve(*arguments, **more)
        _check_status(self.torchode, solution)
        if not solution.ys.isfinite().all():
            raise NonFinite("torchode: the way back is not finite", math.nan)
        return solution


def _check_status(torchode: Any, solution: Any) -> None:
    """Raise the failure that a status of torchode stands for; 0 is success."""
    if status := int(solution.status.max()):
        name = torchode.Status(status).name
        failure = _FAILURES.get(name, SolverFailure)
        raise failure(f"torchode gave up with the status {name}", math.nan)


def _check_times(ts: Tensor, y0: Tensor) -> None:
    """torchode computes a state in the wider of its dtype and that of the times."""
    if ts.dtype != y0.dtype and not torch.equal(ts.to(y0.dtype).to(ts.dtype), ts):
        raise NotOffered(f"torchode does not offer times that {y0.dtype}, the state's, rounds")


def _check_parameters(field: Field) -> None:
    """torchode's adjoint gives a gradient to each parameter of a module, and to nothing else."""
    if not isinstance(field, nn.Module):
        raise NotOffered("torchode does not offer the adjoint of a field that is not a module")
    if not all(parameter.requires_grad for parameter in field.parameters()):
        raise NotOffered("torchode does not offer the adjoint of a field with frozen parameters")


class _OneSample(nn.Module):
    """A field on a whole state as one flat sample, with its time."""

    def __init__(self, field: Field, shape: torch.Size) -> None:
        super().__init__()
        self.field = field
        self.shape = shape

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.field(t.reshape(()), y.reshape(self.shape)).reshape(y.shape)


class _Flattened(nn.Module):
    """A field on flattened states and one time a sample."""

    def __init__(self, field: Field, features: list[int]) -> None:
        super().__init__()
        self.field = field
        self.features = features

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        # The fields expand the time to a channel; that works for [batch, 1, ...] as for [].
        t = t.reshape(-1, *[1] * len(self.features))
        return self.field(t, y.unflatten(-1, self.features)).flatten(1)


def _evaluations(stats: dict[str, Any]) -> int:
    """Evaluations of the whole batch; finished samples are evaluated with the rest."""
    return int(torch.as_tensor(stats["n_f_evals"]).max())
