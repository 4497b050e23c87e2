"""Forward and backward passes of the loss, by gradient method."""

import math

from benchmarks import work


class _Gradient:
    """One workload's gradient by the initial states and the parameters."""

    version = "2"
    workload = ""
    batch: int | None = None
    params = tuple(work.GRADIENTS)
    param_names = ("gradient",)

    def setup(self, gradient: str) -> None:
        """Find the problem; a gap if the commit lacks the gradient method."""
        self.settings = work.gradient_settings(gradient)
        self.problem = work.problem(self.workload, self.batch)


class _Timed(_Gradient):
    number, repeat = 2, (2, 10, 0.3)

    def time_gradient(self, gradient: str) -> None:
        """Seconds a forward and a backward pass."""
        work.differentiate(self.problem, **self.settings)


class _Counted(_Gradient):
    """The counts, in float64; :func:`benchmarks.work.in_float64` says why."""

    version = "3"

    def setup(self, gradient: str) -> None:
        """The same, in float64."""
        super().setup(gradient)
        self.problem = work.in_float64(self.problem)

    @work.unit("evaluations")
    def track_nfe_forward(self, gradient: str) -> float:
        """Field evaluations of the forward solve."""
        solution, _ = work.differentiate(self.problem, **self.settings)
        return float(solution.stats.nfe_forward)

    @work.unit("evaluations")
    def track_nfe_backward(self, gradient: str) -> float:
        """Field evaluations of the backward pass; a gap for backprop, which makes none."""
        solution, _ = work.differentiate(self.problem, **self.settings)
        nfe = solution.stats.nfe_backward
        return math.nan if nfe is None else float(nfe)

    @work.unit("bytes")
    def track_bytes_held(self, gradient: str) -> float:
        """The most bytes that autograd holds at any moment, without the parameters."""
        meter = work.installed("neural_ode.memory", "SavedBytes")
        with meter(ignore=self.problem.field.parameters()) as held:
            work.differentiate(self.problem, **self.settings)
        return float(held.peak)

    @work.unit("relative error")
    def track_gradient_error(self, gradient: str) -> float:
        """The larger relative error of the gradients by the states and by the parameters."""
        _, computed = work.differentiate(self.problem, **self.settings)
        _, expected = work.reference(self.workload, self.batch)
        return work.gradient_error(computed, expected)


class Small(_Timed):
    """A small MLP, where nearly all work is the solver's own."""

    workload = "mlp_gradient"
    number = 5


class SmallCounts(_Counted):
    """The counts of the small MLP."""

    workload = "mlp_gradient"


class Wide(_Timed):
    """A wider MLP on a larger batch."""

    workload = "wide_gradient"


class WideCounts(_Counted):
    """The counts of the wider MLP."""

    workload = "wide_gradient"


class Conv(_Timed):
    """The ODE-Net's conv field. A pass takes seconds, so each is timed a few times only."""

    workload = "conv_gradient"
    params = ("backprop", "adjoint", "seminorm", "checkpointed")
    number, repeat, rounds = 1, 2, 1
    warmup_time = 0


class ConvCounts(_Counted):
    """The counts of the conv field on the first states of its batch, which is quick."""

    workload = "conv_gradient"
    batch = 4
