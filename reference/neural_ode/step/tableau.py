"""The coefficients of an explicit Runge-Kutta step.

A step from ``(t, y)`` of size ``h`` evaluates the stages ``k_i = f(t + c_i h, y + h sum_j a_ij
k_j)`` and returns ``y + h sum_i b_i k_i``. The dense output at ``t + x h``, ``0 <= x <= 1``, is
``y + h sum_i b_i(x) k_i`` with ``b_i(x) = sum_p dense[i, p] x^(p+1)``; it loses none of the order
of the method, so output times never shorten a step.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from neural_ode.arguments import check_count


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
        ValueError: if the shapes do not fit each other, ``a`` is not strictly lower triangular, or
            the coefficients miss what any method must meet: the weights of a stage add up to its
            node, those of the solution to 1, those of the error to 0, and the dense output ends
            with the solution.
        TypeError: for an order that is not a whole number, or coefficients that are not numbers.
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
    # Of an implicit method the diagonal of ``a`` may have entries too.
    explicit: ClassVar[bool] = True

    def __post_init__(self):
        check_count("order", self.order)
        optional = ("b_error", "dense_c", "dense_a")
        for name in ("c", "a", "b", "dense", *optional):
            if name not in optional or getattr(self, name) is not None:
                object.__setattr__(self, name, self._numbers(name))
        if self.c.ndim != 1 or not len(self.c):
            raise ValueError(f"{self.name}: c has the shape {self.c.shape}, expected [stages]")
        stages, extra = len(self.c), 0 if self.dense_c is None else len(self.dense_c)
        if self.a.shape != (stages, stages) or self.b.shape != (stages,):
            raise ValueError(f"{self.name}: a and b do not fit the {stages} nodes in c")
        if self.explicit and np.triu(self.a).any():
            raise ValueError(f"{self.name}: a is not strictly lower triangular, so not explicit")
        if self.dense.ndim != 2 or self.dense.shape[0] != stages + extra:
            raise ValueError(f"{self.name}: dense needs {stages + extra} rows, one a stage")
        if self.b_error is not None and self.b_error.shape != (stages,):
            raise ValueError(f"{self.name}: b_error does not fit the {stages} nodes in c")
        if (self.dense_c is None) != (self.dense_a is None):
            raise ValueError(f"{self.name}: dense_c and dense_a need each other")
        if self.dense_a is not None and self.dense_a.shape != (extra, stages + extra):
            raise ValueError(f"{self.name}: dense_a does not fit the {extra} nodes in dense_c")
        self._check_sums()

    def _numbers(self, name: str) -> np.ndarray:
        """Coefficients as an array of finite numbers."""
        try:
            values = np.array(getattr(self, name), dtype=np.float64)
        except (TypeError, ValueError):
            values = None
        if values is None or getattr(self, name) is None:
            raise TypeError(f"{self.name}: {name} is not an array of numbers")
        if not np.isfinite(values).all():
            raise ValueError(f"{self.name}: {name} holds a number that is not finite")
        return values

    def _check_sums(self) -> None:
        """Whether the sums are right that every method must have, up to rounding."""
        ends = np.zeros(len(self.dense))
        ends[: self.stages] = self.b
        sums = [
            ("the rows of a do not add up to c", self.a.sum(axis=1), self.c),
            ("b does not add up to 1", self.b.sum(), 1.0),
            ("the rows of dense do not add up to b", self.dense.sum(axis=1), ends),
        ]
        if self.b_error is not None:
            sums.append(("b_error does not add up to 0", self.b_error.sum(), 0.0))
        if self.dense_a is not None and self.dense_c is not None:
            sums.append(
                ("the rows of dense_a do not add up to dense_c", self.dense_a.sum(1), self.dense_c)
            )
        for fault, found, right in sums:
            if not np.allclose(found, right, rtol=1e-8, atol=1e-8):
                raise ValueError(f"{self.name}: {fault}")

    @property
    def stages(self) -> int:
        """The number of stages of a step, the reused one of a FSAL method included."""
        return len(self.c)

    @cached_property
    def fsal(self) -> bool:
        """Whether the last stage is the derivative at the new point (first same as last)."""
        return bool(self.c[-1] == 1) and np.array_equal(self.a[-1], self.b)
