"""What one step lets a linear field be: the roots of the method's stability polynomial."""

import numpy as np
from jaxtyping import Complex128

# Coefficients of R(z) = 1 + z + ..., constant term first. A step of the method from y along
# y' = lambda y ends at R(h lambda) y.
STABILITY = {
    "euler": (1.0, 1.0),
    "midpoint": (1.0, 1.0, 1 / 2),
    "rk4": (1.0, 1.0, 1 / 2, 1 / 6, 1 / 24),
}


def roots(method: str, step: float, rate: complex) -> Complex128[np.ndarray, " roots"]:
    """All lambda with R(step lambda) = exp(step rate): fields that a step cannot tell apart.

    Args:
        method: its name in ``STABILITY``.
        step: the size of the step.
        rate: the eigenvalue of the true field.
    """
    first, *others = STABILITY[method]
    return np.roots([*reversed(others), first - np.exp(step * rate)]) / step


def nearest(value: complex, method: str, step: float, rate: complex) -> complex:
    """The one of these roots that is nearest to a value."""
    every = roots(method, step, rate)
    return complex(every[np.abs(every - value).argmin()])
