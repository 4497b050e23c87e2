"""The coefficients of an explicit Runge-Kutta step.

A step from ``(t, y)`` of size ``h`` evaluates the stages ``k_i = f(t + c_i h, y + h sum_j a_ij
k_j)`` and returns ``y + h sum_i b_i k_i``. The dense output at ``t + x h``, ``0 <= x <= 1``, is
``y + h sum_i b_i(x) k_i`` with ``b_i(x) = sum_p dense[i, p] x^(p+1)``; it loses none of the order
of the method, so output times never shorten a step.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Tableau:
    """The coefficients of an explicit Runge-Kutta step.

    Attributes:
        name: the name by which ``solve(method=...)`` finds it.
        order: the order of the solution that is carried forward.
        c: nodes of the stages, shape [stages].
        a: strictly lower triangular stage weights, shape [stages, stages].
        b: weights of the solution, shape [stages].
        dense: polynomial weights of the dense output, shape [stages + extra stages, degree].
        source: the publication that the coefficients come from.
        b_error: weights of the error estimate (``b`` minus the embedded weights), shape [stages];
            ``None`` for a method without one, which is then a fixed-grid method.
        dense_c: nodes of stages that only the dense output needs, shape [extra stages].
        dense_a: their weights, shape [extra stages, stages + extra stages].

    Raises:
        ValueError: if the shapes do not fit each other or ``a`` is not strictly lower triangular.
    """

    name: str
    order: int
    c: Float[np.ndarray, " stages"]
    a: Float[np.ndarray, "stages stages"]
    b: Float[np.ndarray, " stages"]
    dense: Float[np.ndarray, "all_stages degree"]
    source: str
    b_error: Float[np.ndarray, " stages"] | None = None
    dense_c: Float[np.ndarray, " extra"] | None = None
    dense_a: Float[np.ndarray, "extra all_stages"] | None = None

    def __post_init__(self):
        stages, extra = len(self.c), 0 if self.dense_c is None else len(self.dense_c)
        if self.a.shape != (stages, stages) or self.b.shape != (stages,):
            raise ValueError(f"{self.name}: a and b do not fit the {stages} nodes in c")
        if np.triu(self.a).any():
            raise ValueError(f"{self.name}: a is not strictly lower triangular, so not explicit")
        if self.dense.shape[0] != stages + extra:
            raise ValueError(f"{self.name}: dense needs {stages + extra} rows, one a stage")

    @property
    def stages(self) -> int:
        """The number of stages of a step, the reused one of a FSAL method included."""
        return len(self.c)

    @cached_property
    def fsal(self) -> bool:
        """Whether the last stage is the derivative at the new point (first same as last)."""
        return bool(self.c[-1] == 1) and np.array_equal(self.a[-1], self.b)
