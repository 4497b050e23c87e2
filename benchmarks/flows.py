"""Normalizing flows: the negative log-likelihood of a batch of points, and its gradient."""

import copy
import math
from typing import Any

import torch

from benchmarks import work

_BATCH = 64


class _Flow:
    """The measurements of both kinds of flow."""

    version = "1"
    model: Any

    def _prepare(self) -> None:
        """Put everything on one thread, and draw the points."""
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(1)
        self.points = torch.randn(_BATCH, 2, generator=generator)

    def _differentiate(self) -> None:
        self.model.zero_grad(set_to_none=True)
        (-self.model.log_prob(self.points).mean()).backward()

    def _bytes_held(self) -> float:
        meter = work.installed("neural_ode.memory", "SavedBytes")
        with meter(ignore=self.model.parameters()) as held:
            self._differentiate()
        return float(held.peak)


class _Continuous(_Flow):
    """The released example's flow: 64 planar units out of a hypernetwork, at tolerance 1e-5."""

    params = ("backprop", "adjoint", "seminorm")
    param_names = ("gradient",)

    def setup(self, gradient: str) -> None:
        """Draw the weights; a gap if the commit has no flows yet."""
        field = work.installed("neural_ode.flows", "PlanarField")
        base = work.installed("neural_ode.flows", "StandardNormal")(2)
        flow = work.installed("neural_ode.flows", "CNF")
        generator = torch.Generator().manual_seed(0)
        weights = field(2, 64, hidden=32, reduce="mean", generator=generator)
        settings = work.gradient_settings(gradient)
        self.model = flow(weights, base, end=10.0, rtol=1e-5, atol=1e-5, **settings)
        self._prepare()


class Continuous(_Continuous):
    """The time of its log-likelihood and gradient."""

    number, repeat = 1, (2, 5, 1.0)

    def time_log_prob(self, gradient: str) -> None:
        """Seconds of a log-likelihood and its gradient."""
        self._differentiate()


class ContinuousCounts(_Continuous):
    """Their counts, in float64; :func:`benchmarks.work.in_float64` says why."""

    version = "2"

    def setup(self, gradient: str) -> None:
        """The same, in float64."""
        super().setup(gradient)
        self.model, self.points = self.model.double(), self.points.double()

    @work.unit("evaluations")
    def track_nfe_forward(self, gradient: str) -> float:
        """Evaluations of field and trace in the forward solve."""
        self._differentiate()
        return float(self.model.stats.nfe_forward)

    @work.unit("evaluations")
    def track_nfe_backward(self, gradient: str) -> float:
        """Evaluations of the backward pass; a gap for backprop."""
        self._differentiate()
        nfe = self.model.stats.nfe_backward
        return math.nan if nfe is None else float(nfe)

    @work.unit("bytes")
    def track_bytes_held(self, gradient: str) -> float:
        """The most bytes that autograd holds at any moment, without the parameters."""
        return self._bytes_held()

    @work.unit("nats")
    def track_error(self, gradient: str) -> float:
        """The largest error of a log-density, against a tolerance of 1e-10."""
        with torch.no_grad():
            density = self.model.log_prob(self.points)
            tight = copy.deepcopy(self.model)
            tight.solver.update(rtol=1e-10, atol=1e-10)
            return float((density - tight.log_prob(self.points)).abs().max())


class Planar(_Flow):
    """A stack of 64 planar layers. Towards the data a density needs the inverse of each layer."""

    params = ("base", "data")
    param_names = ("towards",)
    number, repeat = 2, (2, 10, 0.5)

    def setup(self, towards: str) -> None:
        """Draw the weights; a gap if the commit has no flows yet."""
        flow = work.installed("neural_ode.flows", "PlanarFlow")
        generator = torch.Generator().manual_seed(0)
        self.model = flow(2, 64, towards=towards, generator=generator)
        self._prepare()

    def time_log_prob(self, towards: str) -> None:
        """Seconds of a log-likelihood and its gradient."""
        self._differentiate()

    @work.unit("bytes")
    def track_bytes_held(self, towards: str) -> float:
        """The most bytes that autograd holds at any moment, without the parameters."""
        return self._bytes_held()

    @work.unit("relative error")
    def track_inverse_error(self, towards: str) -> float:
        """The distance of points from their image under flow and inverse, in float32."""
        with torch.no_grad():
            back = self.model.inverse(self.model(self.points)[0])
        return work.relative_error(back, self.points.double())
