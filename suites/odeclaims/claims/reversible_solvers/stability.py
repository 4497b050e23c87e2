"""The pair (y, z) on y' = a y, in closed form.

With S the stability polynomial of the base method and x = h a, the base's increment is
R(x) = S(x) - 1 times the state. One step of the pair is then a matrix with the determinant lambda,
the coupling, and the trace 1 + lambda - (1 - lambda) R(-x) - R(-x) R(x). For real x < 0 an
eigenvalue passes 1 where S(x) = lambda: there the base's own step shrinks a state by the coupling.

Source: McCallum and Foster 2024 for the step, whose matrix follows by inserting R.
"""

import math

import numpy as np
from jaxtyping import Float64
from numpy.polynomial import Polynomial

# Coefficients of S, constant term first.
COEFFICIENTS = {
    "euler": (1, 1),
    "midpoint": (1, 1, 1 / 2),
    "rk4": (1, 1, 1 / 2, 1 / 6, 1 / 24),
    "dopri5": (1, 1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 600),
}


def increment(base: str, x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """R(x): what a step of the base adds, over the state that it starts from."""
    return Polynomial(COEFFICIENTS[base])(x) - 1


def trace(base: str, coupling: float, x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """The trace of the matrix of one step of the pair, for each x = h a."""
    there, back = increment(base, x), increment(base, -x)
    return 1 + coupling - (1 - coupling) * back - back * there


def exact_edge(base: str, coupling: float) -> float:
    """The smallest h |a| at which S(-h |a|) is the coupling; NaN where S stays above it."""
    roots = (Polynomial(COEFFICIENTS[base]) - coupling).roots()
    real = [-root.real for root in roots if abs(root.imag) < 1e-9 and root.real < 0]
    return min(real, default=math.nan)


def simple_edge(base: str, coupling: float) -> float:
    """The edge to first order in 1 - lambda: ln(1 / lambda), and 1 - lambda of Euler's method.

    The first is where the exact flow shrinks a state by the coupling.
    """
    return 1 - coupling if base == "euler" else -math.log(coupling)
