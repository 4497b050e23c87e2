"""Forward solves: time, and the counts and errors that hold without noise."""

import torch

from benchmarks import work

METHODS = ("bosh3", "dopri5", "tsit5", "dopri8", "adams")


class _Forward:
    """The forward solve of one workload, by method."""

    version = "2"
    workload = ""
    params = ("dopri5",)
    param_names = ("method",)

    def setup(self, method: str) -> None:
        """Find the problem; a gap if the commit lacks the method."""
        work.require_method(method)
        self.problem = work.problem(self.workload)

    def _solve(self, method: str):
        with torch.no_grad():
            return work.solve(self.problem, method=method)


class _Timed(_Forward):
    """One sample times ``number`` calls; asv sets up before each sample."""

    number, repeat = 10, (2, 10, 0.5)

    def time_eager(self, method: str) -> None:
        """Seconds a solve."""
        self._solve(method)


class _Counted(_Forward):
    """The counts, in float64; :func:`benchmarks.work.in_float64` says why."""

    version = "3"
    # The error is measured on the first states only, to save time in the reference.
    judged = 64

    def setup(self, method: str) -> None:
        """The same, in float64."""
        super().setup(method)
        self.problem = work.in_float64(self.problem)

    @work.unit("evaluations")
    def track_nfe(self, method: str) -> float:
        """Field evaluations of a solve."""
        return float(self._solve(method).stats.nfe_forward)

    @work.unit("steps")
    def track_accepted(self, method: str) -> float:
        """Accepted steps of a solve."""
        return float(self._solve(method).stats.accepted)

    @work.unit("steps")
    def track_rejected(self, method: str) -> float:
        """Rejected steps of a solve."""
        return float(self._solve(method).stats.rejected)

    @work.unit("relative error")
    def track_error(self, method: str) -> float:
        """Relative error of the states at all output times."""
        expected, _ = work.reference(self.workload, self.judged)
        return work.relative_error(self._solve(method).ys[:, : self.judged], expected)


class Small(_Timed):
    """A small MLP, where nearly all work is the solver's own."""

    workload = "mlp_forward"
    params = METHODS


class SmallCounts(_Counted):
    """The counts of the small MLP."""

    workload = "mlp_forward"
    params = METHODS


class Outputs(_Timed):
    """The same with fifty output times."""

    workload = "mlp_outputs"


class OutputsCounts(_Counted):
    """The counts with fifty output times."""

    workload = "mlp_outputs"


class Wide(_Timed):
    """A wider MLP on a larger batch at a tighter tolerance."""

    workload = "wide_forward"


class WideCounts(_Counted):
    """The counts of the wider MLP."""

    workload = "wide_forward"


class Conv(_Timed):
    """The ODE-Net's conv field, where nearly all work is the field's."""

    workload = "conv_forward"
    number, repeat = 1, (2, 10, 1.0)


class ConvCounts(_Counted):
    """The counts of the conv field."""

    workload = "conv_forward"
    judged = 4


class Compiled:
    """The same solves with the whole step compiled; compiling is not timed."""

    version = "2"
    params = ("mlp_forward", "conv_forward")
    param_names = ("workload",)
    number, repeat = 1, (5, 200, 1.0)
    # Each round is a process of its own and compiles anew.
    rounds = 1

    def setup(self, workload: str) -> None:
        """Compile the step, the first time; a gap if the commit or the machine cannot."""
        self.problem = work.problem(workload)
        work.compile_solve(self.problem)

    def time_solve(self, workload: str) -> None:
        """Seconds a solve."""
        with torch.no_grad():
            work.solve(self.problem, compile=True)
