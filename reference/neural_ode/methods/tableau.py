"""Explicit Runge-Kutta methods: what makes a method of coefficients, and helpers to write them."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from neural_ode.step.base import Evaluate
from neural_ode.step.runge_kutta import RungeKutta
from neural_ode.step.samples import SampleRungeKutta
from neural_ode.step.tableau import Tableau


class ButcherTableau(Tableau):
    """An explicit Runge-Kutta method: its coefficients, and where they come from.

    Its fields are those of ``neural_ode.step.tableau.Tableau``.
    """

    fixed_norm = False
    one_step = True
    has_dense_output = True
    undo = None
    integrate = None

    @property
    def coefficients(self) -> Tableau:
        """What its stages are made of, for a gradient that goes through them one by one."""
        return self

    @property
    def adaptive(self) -> bool:
        """Whether the method carries an error estimate."""
        return self.b_error is not None

    @property
    def nfe_per_step(self) -> int:
        """Field evaluations that one accepted step costs when its first stage is at hand.

        A method that is not FSAL still needs the derivative at the new point for its next step.
        """
        return self.stages - 1 if self.fsal else self.stages

    def accepts(self, setting: str) -> bool:
        """Every setting means something to it."""
        return True

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> RungeKutta:
        """The stepper for states like ``y``."""
        return RungeKutta(self, y, evaluate, traced=traced)

    def sample_stepper(
        self, y: Float[Tensor, "batch *sample"], evaluate: Evaluate
    ) -> SampleRungeKutta:
        """The stepper for batches like ``y`` in which each sample has its own step size."""
        return SampleRungeKutta(self, y, evaluate)


def lower(*rows: list[float]) -> Float[np.ndarray, "stages stages"]:
    """A square strictly lower triangular matrix whose second and later rows are ``rows``."""
    a = np.zeros((len(rows) + 1, len(rows) + 1))
    for i, row in enumerate(rows, start=1):
        a[i, : len(row)] = row
    return a


def hermite(
    b: Float[np.ndarray, " stages"], knots: dict[int, float], stages: int
) -> Float[np.ndarray, "all_stages degree"]:
    """Dense weights of the polynomial through both ends of a step with given slopes inside it.

    ``knots`` maps the index of a stage to the place x in the step at which that stage is the slope
    of the solution. The polynomial has degree ``len(knots) + 1``.
    """
    degree = len(knots) + 1
    powers = np.arange(1, degree + 1)
    conditions = np.vstack(
        [np.ones(degree), *(powers * x ** (powers - 1.0) for x in knots.values())]
    )
    values = np.zeros((degree, stages))
    values[0, : len(b)] = b
    values[np.arange(1, degree), list(knots)] = 1
    return np.linalg.solve(conditions, values).T
