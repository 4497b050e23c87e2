"""The solvers of ``scipy.integrate.solve_ivp``, under the name by which torchdiffeq has them.

They run in float64 on the host. ``Radau``, ``BDF`` and ``LSODA`` are implicit, for stiff problems;
the first two approximate the Jacobian by differences. SciPy does not say how many steps it rejects.
Of the explicit ones the evaluations tell; of the implicit ones none is counted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.integrate
import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import check_choice
from neural_ode.failures import NonFinite, StepUnderflow, step_limit
from neural_ode.methods.base import Undo
from neural_ode.methods.outside import join_integrals, outside_autograd
from neural_ode.solution import Counts
from neural_ode.step.base import Evaluate, Stepper
from neural_ode.step.error import Tolerance
from neural_ode.times import Times, as_time

if TYPE_CHECKING:
    import neural_ode.settings

_ORDERS = {"RK23": 3, "RK45": 5, "DOP853": 8, "Radau": 5, "BDF": 5, "LSODA": 12}
# As absolute tolerance it takes an entry out of the choice of the steps.
_ANY = 1e100


@dataclass(frozen=True)
class ScipySolver:
    """A solver of SciPy's; see the module.

    Attributes:
        solver: ``"RK23"``, ``"RK45"``, ``"DOP853"``, ``"Radau"``, ``"BDF"`` or ``"LSODA"``.

    Raises:
        ValueError: for another name.
    """

    solver: str = "LSODA"
    name: ClassVar[str] = "scipy_solver"
    adaptive: ClassVar[bool] = True
    fixed_norm: ClassVar[bool] = True
    one_step: ClassVar[bool] = False
    has_dense_output: ClassVar[bool] = False
    undo: ClassVar[Undo | None] = None
    options: ClassVar[tuple[str, ...]] = ("solver",)

    def __post_init__(self):
        check_choice("solver", self.solver, tuple(_ORDERS))

    @property
    def order(self) -> int:
        """The order of the solver; the highest where it varies."""
        return _ORDERS[self.solver]

    def accepts(self, setting: str) -> bool:
        """Whether SciPy has it. The two norms only say whether the integrals count in the error."""
        smallest = ("min_step",) if self.solver == "LSODA" else ()
        known = ("method", "rtol", "atol", "first_step", "max_step", "max_num_steps", *smallest)
        return setting in (*known, "norm", "joint_norm")

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> Stepper:
        """There is none: this always raises ValueError."""
        raise ValueError("method 'scipy_solver' takes its steps inside SciPy")

    def integrate(
        self,
        evaluate: Evaluate,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        times: Times,
        settings: "neural_ode.settings.Settings",
        counts: Counts,
    ) -> tuple[Float[Tensor, "time *state"], Float[Tensor, " integrals"] | None]:
        """The whole solution by SciPy, for which the state and the integrals are one vector.

        Raises:
            ValueError: where autograd would have to go through the steps.
            StepUnderflow, StepLimit, NonFinite: where the integration cannot go on.
        """
        evaluate = outside_autograd(self.name, evaluate, y0, *times.points)
        if q0 is None:
            run = _Run(lambda t, y: evaluate(t, y, False)[0], y0, counts)
            return run.solve(self.solver, settings, times, 0), None
        exempt = 0 if settings.joint_norm else q0.numel()
        run = _Run(join_integrals(evaluate, y0, q0), torch.cat([y0.reshape(-1), q0]), counts)
        flat = run.solve(self.solver, settings, times, exempt)
        ys, q = flat.split([y0.numel(), q0.numel()], dim=1)
        return ys.reshape(len(times), *y0.shape), q[-1]


class _Run:
    """One solve: the field as SciPy calls it, and the steps up to each output.

    A solver of SciPy's in Fortran replaces an exception that the field raises. So it is kept here,
    and the solver gets values that are not numbers, with which it soon gives up.
    """

    def __init__(
        self, field: Callable[[Tensor, Tensor], Tensor], y0: Float[Tensor, "*state"], counts: Counts
    ) -> None:
        self.field, self.like, self.counts = field, y0, counts
        self.failure: BaseException | None = None
        self.nonfinite = False

    def __call__(self, t: float, y: np.ndarray) -> np.ndarray:
        """The derivative of the flat state."""
        if self.failure is not None:
            return np.full(len(y), np.nan)
        # A copy, since SciPy goes on to write into its own array.
        state = torch.from_numpy(y.copy()).to(self.like).view(self.like.shape)
        self.counts.nfe += 1
        try:
            with torch.no_grad():
                k = _on_host(self.field(as_time(float(t), self.like), state)).copy()
        except BaseException as failure:
            self.failure = failure
            return np.full(len(y), np.nan)
        self.nonfinite |= not np.isfinite(k).all()
        return k

    def solve(
        self, name: str, settings: "neural_ode.settings.Settings", times: Times, exempt: int
    ) -> Float[Tensor, "time *state"]:
        """The states at the output times; the last ``exempt`` entries do not choose the steps."""
        begin, end, y0 = times.floats[0], times.floats[-1], _on_host(self.like)
        if y0.size == 0:
            return self.like.detach().repeat(len(times), *[1] * self.like.ndim)
        if not np.isfinite(y0).all():
            raise NonFinite(f"the field or the state is not finite at t={begin:.9g}", begin)
        solver = self._checked(
            lambda: getattr(scipy.integrate, name)(
                self, begin, y0, end, **_settings_of(name, settings, self.like, exempt)
            ),
            begin,
        )
        ys, steps = [y0], 0
        while len(ys) < len(times):
            if steps == settings.max_num_steps:
                raise step_limit(steps, times.floats[len(ys)], solver.t)
            t, before = solver.t, self.counts.nfe
            message = self._checked(solver.step, t)
            stuck = solver.status == "failed" or solver.t == t
            if stuck or not np.isfinite(solver.y).all():
                raise self._failure(message or "the step is too small to move the time", t)
            steps += 1
            self.counts.accepted += 1
            if stages := getattr(solver, "n_stages", 0):
                self.counts.rejected += (self.counts.nfe - before) // stages - 1
            first = len(ys)
            while (
                len(ys) < len(times) and times.direction * (solver.t - times.floats[len(ys)]) >= 0
            ):
                ys.append(solver.dense_output()(times.floats[len(ys)]))
            steps = 0 if len(ys) > first else steps
        return torch.from_numpy(np.stack(ys)).to(self.like).view(-1, *self.like.shape)

    def _checked(self, call: Callable[[], Any], t: float) -> Any:
        """What SciPy returns, unless the field has failed, or SciPy has met no numbers."""
        try:
            # Values that are not finite are looked for here, and need no warning.
            with np.errstate(all="ignore"):
                result = call()
        except Exception as error:
            if self.failure is None and self.nonfinite:
                raise self._failure("", t) from error
            if self.failure is None:
                raise
            result = None
        if self.failure is not None:
            raise self.failure
        return result

    def _failure(self, message: str, t: float) -> NonFinite | StepUnderflow:
        if self.nonfinite:
            return NonFinite(f"the field or the state is not finite just after t={t:.9g}", t)
        return StepUnderflow(f"SciPy ends at t={t:.9g}: {message}", t)


def _settings_of(
    name: str, settings: "neural_ode.settings.Settings", like: Tensor, exempt: int
) -> dict[str, Any]:
    """The settings as SciPy names them."""
    rtol, atol = (_spread(x, like) for x in (settings.rtol, settings.atol))
    if exempt < len(atol):
        atol[len(atol) - exempt :] = _ANY
    # The implicit ones take one relative tolerance.
    one = name in ("Radau", "BDF") or not isinstance(settings.rtol, Tensor)
    chosen: dict[str, Any] = {"rtol": float(rtol.min()) if one else rtol, "atol": atol}
    if settings.first_step is not None:
        chosen["first_step"] = settings.first_step
    if settings.min_step:
        chosen["min_step"] = settings.min_step
    return chosen | {"max_step": settings.max_step}


def _spread(tolerance: Tolerance, like: Tensor) -> np.ndarray:
    """A tolerance for each entry of the flat state."""
    return _on_host(torch.as_tensor(tolerance, dtype=torch.float64).expand(like.shape)).copy()


def _on_host(x: Tensor) -> np.ndarray:
    return x.detach().reshape(-1).double().cpu().numpy()


SCIPY_SOLVER = ScipySolver()
