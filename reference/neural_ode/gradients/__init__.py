"""How the gradient of a loss reaches the initial state, the parameters and the times.

A gradient method is a small object with one method, ``solve(field, y0, ts, settings) -> (ys,
stats)``, and each has a file of its own.
"""

from neural_ode.gradients.adjoint import Adjoint
from neural_ode.gradients.backprop import Backprop
from neural_ode.gradients.checkpointed import Checkpointed
from neural_ode.gradients.interpolated import InterpolatedAdjoint
from neural_ode.gradients.reversible import Reversible

Gradient = Backprop | Adjoint | Checkpointed | Reversible | InterpolatedAdjoint

__all__ = [
    "Adjoint",
    "Backprop",
    "Checkpointed",
    "Gradient",
    "InterpolatedAdjoint",
    "Reversible",
]
