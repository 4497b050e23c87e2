"""torchode: a step size for each sample, except under its joint adjoint."""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from odeclaims.backends.base import Answer, Backend, Prepared
from odeclaims.backends.on_torch import Pass, gradient_vector, run, states
from odeclaims.workloads import Problem

_METHODS = {"dopri5": "Dopri5", "tsit5": "Tsit5", "heun": "Heun", "euler": "Euler"}


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
