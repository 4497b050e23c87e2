"""Solving and differentiating an MLP field: time, and the counts that hold without noise."""

import torch

from neural_ode import Adjoint, Backprop, solve
from neural_ode.networks import MLPField

GRADIENTS = {"backprop": Backprop(), "adjoint": Adjoint(), "seminorm": Adjoint(norm="seminorm")}


class _Problem:
    """An MLP field 2-32-32-2 on a batch of 64 states, weights and states from a fixed seed."""

    version = "1"

    def setup(self, *_: object) -> None:
        """Build the problem anew for each benchmark."""
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(0)
        self.field = MLPField(2, 32, generator=generator)
        self.y0 = torch.randn(64, 2, generator=generator)
        self.ts = torch.tensor([0.0, 1.0])

    def solve(self, **settings):
        """The forward solve."""
        return solve(self.field, self.y0, self.ts, rtol=1e-5, atol=1e-5, **settings)


class Forward(_Problem):
    """The forward solve alone, by method."""

    params = ("bosh3", "dopri5", "tsit5", "dopri8")
    param_names = ("method",)

    def time_solve(self, method: str) -> None:
        """Seconds a solve."""
        with torch.no_grad():
            self.solve(method=method)

    def track_nfe(self, method: str) -> int:
        """Field evaluations a solve."""
        with torch.no_grad():
            return self.solve(method=method).stats.nfe_forward


class ForwardBackward(_Problem):
    """Forward and backward, by gradient method, for a summed loss."""

    params = tuple(GRADIENTS)
    param_names = ("gradient",)

    def time_gradient(self, gradient: str) -> None:
        """Seconds a forward and a backward pass."""
        self.solve(gradient=GRADIENTS[gradient]).ys[-1].sum().backward()

    def track_nfe_backward(self, gradient: str) -> int:
        """Field evaluations of the backward solve; none for backprop."""
        solution = self.solve(gradient=GRADIENTS[gradient])
        solution.ys[-1].sum().backward()
        return solution.stats.nfe_backward or 0


# asv reads the unit off the function, an attribute that no annotation knows.
Forward.track_nfe.unit = ForwardBackward.track_nfe_backward.unit = "evaluations"  # type: ignore[attr-defined]
