"""The solver of Chen et al. 2018, sec. 3: the implicit Adams method, whose steps SciPy takes.

The paper names LSODE and VODE, interfaced through ``scipy.integrate``. SciPy has LSODE only as
LSODA, which changes to BDF where it finds the problem stiff, and BDF is not what the paper used; so
this is VODE.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.methods.outside import join_integrals, outside_autograd
from neural_ode.methods.vode import MAX_ORDER, integrate_vode
from neural_ode.solution import Counts
from neural_ode.step.base import Evaluate, Stepper
from neural_ode.times import Times

if TYPE_CHECKING:
    import neural_ode.settings


class Adams:
    """The implicit Adams method of VODE, through SciPy; see ``methods.vode``."""

    name = "adams"
    order = MAX_ORDER
    adaptive = True
    fixed_norm = True
    one_step = False
    has_dense_output = False
    undo = None

    def accepts(self, setting: str) -> bool:
        """Whether the setting is one of those that VODE knows; it chooses its own steps.

        The two norms only say whether the integrals count in the error.
        """
        return setting in ("method", "rtol", "atol", "max_num_steps", "norm", "joint_norm")

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> Stepper:
        """There is none: this always raises ValueError."""
        raise ValueError("method 'adams' takes its steps inside SciPy")

    def integrate(
        self,
        evaluate: Evaluate,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        times: Times,
        settings: "neural_ode.settings.Settings",
        counts: Counts,
    ) -> tuple[Float[Tensor, "time *state"], Float[Tensor, " integrals"] | None]:
        """The whole solution by VODE, for which the state and the integrals are one vector.

        Raises:
            ValueError: where autograd would have to go through the steps.
            RuntimeError: inside the field of another solve by this method.
        """
        evaluate = outside_autograd(self.name, evaluate, y0, *times.points)
        tolerances = {"rtol": settings.rtol, "atol": settings.atol}
        counted = {"counts": counts, "max_num_steps": settings.max_num_steps}
        if q0 is None:
            field = _without_rates(evaluate)
            return integrate_vode(field, y0, times.floats, **tolerances, **counted), None
        sizes = [y0.numel(), q0.numel()]
        flat = integrate_vode(
            join_integrals(evaluate, y0, q0),
            torch.cat([y0.reshape(-1), q0]),
            times.floats,
            exempt=0 if settings.joint_norm else sizes[1],
            **tolerances,
            **counted,
        )
        ys, q = flat.split(sizes, dim=1)
        return ys.reshape(len(times), *y0.shape), q[-1]


def _without_rates(evaluate: Evaluate) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: evaluate(t, y, False)[0]


ADAMS = Adams()
