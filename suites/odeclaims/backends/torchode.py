"""torchode: a step size for each sample, except under its joint adjoint."""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from neural_ode import Adjoint, NonFinite, SolverFailure, StepLimit, StepUnderflow
from neural_ode.failures import NotOffered
from neural_ode.field import Field
from neural_ode.gradients import Gradient
from neural_ode.settings import Settings
from neural_ode.solution import Stats
from odeclaims.backends.base import Answer, Backend, Prepared
from odeclaims.backends.offers import Offers
from odeclaims.backends.on_torch import CountedField, Pass, gradient_vector, run, states
from odeclaims.workloads import Problem

_METHODS = {"dopri5": "Dopri5", "tsit5": "Tsit5", "heun": "Heun", "euler": "Euler"}
_STEPS = Offers(
    "torchode", {"dopri5": "Dopri5", "tsit5": "Tsit5", "adaptive_heun": "Heun"}, adjoint=True
)
_GRID = Offers("torchode", {"euler": "Euler", "heun": "Heun"}, settings=("step_size",))
_FAILURES = {
    "REACHED_DT_MIN": StepUnderflow,
    "REACHED_MAX_STEPS": StepLimit,
    "INFINITE_NORM": NonFinite,
}
_MOST_STAGES = 7
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
        self, field: Field, y0: Tensor, ts: Tensor, settings: Settings, gradient: Gradient
    ) -> tuple[Tensor, Stats]:
        """One solve of a claim: the whole state is one sample, so that it shares its steps.

        torchode counts its step limit over the whole solve, and not between two outputs.
        """
        torchode: Any = importlib.import_module("torchode")
        offers = _STEPS if settings.adaptive else _GRID
        offers.check(settings, gradient)
        counted = CountedField(_OneSample(field, y0.shape))
        term = torchode.ODETerm(counted)
        method = getattr(torchode, offers.methods[settings.method.name])(term=term)
        # torchode computes a state in the wider of its dtype and that of the times.
        times, direction = ts[None].to(y0.dtype), 1 if ts[-1] > ts[0] else -1
        dt0 = None
        if settings.adaptive:
            controller = torchode.IntegralController(
                atol=settings.atol, rtol=settings.rtol, term=term
            )
        else:
            if settings.step_size is None:
                raise NotOffered("torchode does not offer steps from one output to the next")
            controller = torchode.FixedStepController()
            dt0 = times.new_full((1,), direction * float(settings.step_size))
        limit = min(int(settings.max_num_steps), _MOST_STEPS)
        if isinstance(gradient, Adjoint) and torch.is_grad_enabled():
            solver = torchode.JointBacksolveAdjoint(term, method, controller)
            # It takes no limit, but its loop forward does. The one back would end in silence.
            solver.forward_loop.max_steps = limit
            counted.most_backward = limit * _MOST_STAGES
        else:
            solver = torchode.AutoDiffAdjoint(
                method, controller, max_steps=limit, backprop_through_step_size_control=False
            )
        initial = torchode.InitialValueProblem(y0.reshape(1, -1), t_eval=times)
        solution = solver.solve(initial, term, dt0=dt0)
        _check_status(int(solution.status.max()), torchode)
        stats = counted.end_forward()
        stats.forward.accepted = int(solution.stats["n_accepted"].max())
        stats.forward.rejected = int(solution.stats["n_steps"].max()) - stats.accepted
        return solution.ys[0].reshape(len(ts), *y0.shape), stats


def _check_status(status: int, torchode: Any) -> None:
    """Raise the failure that a status of torchode stands for; 0 is success."""
    if not status:
        return
    name = torchode.Status(status).name
    failure = _FAILURES.get(name, SolverFailure)
    raise failure(f"torchode gave up with the status {name}", float("nan"))


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

    def __init__(self, field: nn.Module, features: list[int]) -> None:
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
