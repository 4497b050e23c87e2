"""One step of training: forward, backward and update."""

import math

import torch
from torch.nn.functional import cross_entropy

from benchmarks import work


class _Training:
    """The ODE-Net classifier for MNIST-sized images on a small batch, one step of SGD."""

    version = "1"
    dtype = torch.float32
    params = ("backprop", "adjoint", "seminorm")
    param_names = ("gradient",)

    def setup(self, gradient: str) -> None:
        """Draw weights and images, the same before each step."""
        torch.set_num_threads(1)
        classifier = work.installed("neural_ode.networks", "OdeClassifier")
        settings = work.gradient_settings(gradient)
        generator = torch.Generator().manual_seed(0)
        model = classifier(generator=generator, rtol=1e-3, atol=1e-3, **settings)
        self.model = model.to(self.dtype)
        self.images = torch.randn(8, 1, 28, 28, generator=generator).to(self.dtype)
        self.labels = torch.arange(8)
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=0.1)

    def _step(self) -> None:
        cross_entropy(self.model(self.images), self.labels).backward()
        self.optimiser.step()


class OdeNet(_Training):
    """The step's time."""

    number, repeat = 1, (2, 5, 1.0)

    def time_step(self, gradient: str) -> None:
        """Seconds a step."""
        self._step()


class OdeNetCounts(_Training):
    """The counts of the step, in float64; :func:`benchmarks.work.in_float64` says why."""

    version = "2"
    dtype = torch.float64

    @work.unit("evaluations")
    def track_nfe_forward(self, gradient: str) -> float:
        """Field evaluations of the forward pass."""
        self._step()
        return float(self.model.stats.nfe_forward)

    @work.unit("evaluations")
    def track_nfe_backward(self, gradient: str) -> float:
        """Field evaluations of the backward pass; a gap for backprop."""
        self._step()
        nfe = self.model.stats.nfe_backward
        return math.nan if nfe is None else float(nfe)

    @work.unit("bytes")
    def track_bytes_held(self, gradient: str) -> float:
        """The most bytes that autograd holds at any moment, without the parameters."""
        meter = work.installed("neural_ode.memory", "SavedBytes")
        with meter(ignore=self.model.parameters()) as held:
            self._step()
        return float(held.peak)
