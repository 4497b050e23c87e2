"""Solves, and gradients by the adjoint: time, evaluations and error, by workload and solver."""

import torch

from odeclaims.backends import find_backends
from odeclaims.speed.answers import relative_error, solve_reference
from odeclaims.workloads import WORKLOADS

# The reference in float64 takes fixed steps, so it depends on no tolerance; a second solve with
# steps twice as large shows how far it has converged.
TIGHT, LOOSE = ({"method": "rk4", "step_size": size} for size in (1 / 64, 1 / 32))


class Solving:
    """One workload on one solver, with dopri5 at the workload's own tolerance."""

    version = "1"
    params = (("mlp_forward", "mlp_gradient", "conv_forward"), ("torchdiffeq", "ours"))
    param_names = ("workload", "solver")
    number, repeat, warmup_time = 1, (5, 30, 10.0), 1.0

    def setup(self, workload: str, solver: str) -> None:
        """Prepare the work, so that only the work itself is timed."""
        torch.set_num_threads(1)
        self.problem = WORKLOADS[workload].problem()
        gradient = "adjoint" if WORKLOADS[workload].differentiated else None
        backend = find_backends()[solver]
        self.work = backend.prepare(
            self.problem, method="dopri5", tol=self.problem.tol, gradient=gradient
        )

    def time_work(self, workload: str, solver: str) -> None:
        """Seconds of the whole work: the solve, and the gradient if the workload has one."""
        self.work.run()

    def track_nfe(self, workload: str, solver: str) -> float:
        """Field evaluations, forward and backward together."""
        answer = self.work.answer(self.work.run())
        return float((answer.nfe_forward or 0) + (answer.nfe_backward or 0))

    def track_error(self, workload: str, solver: str) -> float:
        """Relative error of the states, or of the gradient if the workload has one."""
        answer = self.work.answer(self.work.run())
        exact = solve_reference(self.problem, TIGHT, LOOSE, WORKLOADS[workload].differentiated)
        if answer.gradient is None:
            return relative_error(answer.states, exact.states)
        assert exact.gradient is not None
        return relative_error(answer.gradient, exact.gradient)
