"""``solve``: the one function that the rest of the project calls."""

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import check_dense, check_flag, describe
from neural_ode.delegate import hand_over
from neural_ode.dense import Trajectory
from neural_ode.events import Event, EventFunction
from neural_ode.field import Field, ReadsTime
from neural_ode.gradients import Backprop, Gradient
from neural_ode.methods import find_method
from neural_ode.methods.base import Method
from neural_ode.samples import check_samples
from neural_ode.settings import (
    DEFAULT_CONTROLLER,
    NO_CALLBACKS,
    NO_LIMIT,
    Callbacks,
    Settings,
    as_floats,
    as_list,
)
from neural_ode.solution import Solution, Stats
from neural_ode.step.controllers import Controller
from neural_ode.step.error import Norm, Tolerance, check_representable, rms_norm
from neural_ode.times import as_time, numbers_of
from neural_ode.transforms import is_batched


def solve(
    field: Field,
    y0: Float[Tensor, "*state"],
    ts: Float[Tensor, " time"],
    *,
    method: str | Method = "dopri5",
    rtol: Tolerance = 1e-7,
    atol: Tolerance = 1e-9,
    gradient: Gradient | None = None,
    norm: Norm = rms_norm,
    controller: Controller | None = None,
    step_size: float | None = None,
    grid: Sequence[float] | Tensor | None = None,
    first_step: float | None = None,
    min_step: float = 0.0,
    max_step: float = math.inf,
    max_num_steps: int = NO_LIMIT,
    step_t: Sequence[float] = (),
    jump_t: Sequence[float] = (),
    perturb: bool = False,
    interpolation: str = "dense",
    compile: bool = False,
    batch: str = "joint",
    callbacks: Callbacks | None = None,
    event_fn: EventFunction | None = None,
    dense: bool = False,
) -> Solution:
    """Solve ``dy/dt = field(t, y)`` with ``y(ts[0]) = y0`` and return y at every time in ``ts``.

    A method with an error estimate chooses its steps by the tolerances, unless a ``step_size`` or a
    ``grid`` is given; one without takes the steps of the grid, by default from each output time to
    the next. The same step sizes hold for the whole tensor ``y0``, a batch included, unless
    ``batch`` is ``"independent"``.

    Args:
        field: maps a 0-dimensional time tensor and a state of shape [*state] to the derivative, of
            the same shape, dtype and device.
        y0: the initial state, any shape, float32 or float64; its dtype is that of the solution.
        ts: at least one output time, strictly increasing or strictly decreasing; the first is the
            initial time.
        method: the name of a Runge-Kutta method in ``METHODS``; ``"adams"``, the implicit Adams
            method of Chen et al. 2018 through SciPy, which chooses its steps by ``rtol``, ``atol``
            and ``max_num_steps`` alone; ``"explicit_adams"``, ``"implicit_adams"`` or
            ``"fixed_adams"``, with steps of given sizes; ``"scipy_solver"``, a solver of SciPy's;
            ``"reversible_heun"``; ``"kvaerno3"`` or ``"kvaerno5"`` for stiff problems; or a method
            itself, such as a ``ButcherTableau`` or a ``Coupled``.
        rtol, atol: relative and absolute tolerance of the local error, positive; a number, or a
            tensor that broadcasts against the state.
        gradient: how a loss of ``ys`` is differentiated: ``Backprop()`` by default, ``Adjoint()``,
            ``InterpolatedAdjoint()``, ``Checkpointed()``, ``SymplecticAdjoint()``,
            ``Reversible()`` for ``"reversible_heun"`` or a ``Coupled`` method, or any other
            ``Gradient``.
        norm: the norm, over a whole state, of the error in units of the tolerance.
        controller: how the step size follows the error: ``IntegralController()`` or
            ``PIController()``.
        step_size: take steps of this size, a positive number of time units.
        grid: take steps between these times, which run from ``ts[0]`` to ``ts[-1]``.
        first_step: the size of the first adaptive step; by default Hairer's choice, which costs one
            evaluation.
        min_step: a step of this size is accepted whatever its error.
        max_step: no step is larger; where that makes for more than a million, a warning says so.
        max_num_steps: the most steps, accepted or not, between two output times, those of a grid
            too. A grid of more than ten million has to be allowed by it.
        step_t, jump_t: times at which a step must end; the field may be discontinuous at ``jump_t``
            and is then evaluated on either side.
        perturb: with a grid, evaluate just inside each step, for a field that jumps at grid points.
        interpolation: how a grid's steps give outputs inside them: ``"dense"`` (of the method's
            order), ``"linear"`` or ``"cubic"`` (Hermite). Adaptive steps always use ``"dense"``.
        compile: take each step through ``torch.compile``, field, combinations and error estimate in
            one graph, on the way back too. It needs torch 2.13. The first solve of a field and
            shape compiles for seconds (``stats.compile_s``), later ones find it done. Where nothing
            can be compiled, or each call changes what was compiled, a warning says so and the steps
            are taken as they are. Small states without gradients go through one compiled loop, in
            which a counter that the field keeps for itself stands still: ``stats`` has the counts.
            On a GPU there is no loop; where autograd does not go through the steps, in a forward
            solve under ``no_grad`` and in both solves of an adjoint, each is launched as one
            captured graph.
        batch: ``"joint"``, or ``"independent"``: each sample, an entry of the first dimension of
            ``y0``, chooses its own steps by its own error, as if it was solved alone. The field is
            called for the whole batch with a time of shape [batch, 1, ..., 1], which broadcasts
            against the state. Five calls of a field that was not seen before, which are not
            counted, check that it makes of this what it makes of a single time, and of a sample
            what it makes of it alone. The ``norm`` is one of a sample without its batch dimension.
            ``stats.samples`` has the counts of each sample. Explicit Runge-Kutta methods alone,
            with ``Backprop()`` or with ``Adjoint()``, whose way back is joint. Where autograd
            follows the steps, one in which a sample fails is evaluated again for the others. A grid
            is the same for all samples in either case.
        callbacks: functions that are called with each step of the forward solve.
        event_fn: a function of a time and a state; the solve ends where one of its values is first
            zero, and ``ts`` of the solution has that time. ``ts`` are then two times, of which the
            second tells the direction alone: a last value ``until - t`` ends a search. A grid needs
            a ``step_size``. An event at the start ends the solve there. Gradients are those at a
            fixed time, to which ``odeint_event`` adds what the time of the event brings.
        dense: keep the steps, so that the solution has the state ``at`` any time. It costs memory
            for each step.

    Returns:
        The states, shape [time, *state], with the counts of evaluations and steps.

    Raises:
        ValueError: for an argument that makes no sense, a field whose output does not fit ``y0``,
            or ``compile`` with a torch that is too old for it.
        TypeError: for a state, a time or a field's output that is not a floating-point tensor.
        StepUnderflow, StepLimit, NonFinite: where the integration cannot go on. An adaptive solve
            cannot, either, where longer steps are not finite, or miss the tolerance, and those that
            pass bring nothing: ten of them within a millionth of the interval, or four where the
            state is about to overflow, end it (``neural_ode.progress``). Nor can one whose
            tolerance is a thousand times below the rounding of the state, as soon as its steps are
            shorter than 1e-5 of the interval.
    """
    chosen = find_method(method)
    times = check_problem(field, y0, ts)
    if gradient is not None and (
        isinstance(gradient, type | Tensor) or not hasattr(gradient, "solve")
    ):
        raise TypeError(f"gradient is {describe(gradient)}, expected an object such as Adjoint()")
    if chosen.fixed_norm and norm is not rms_norm:
        raise ValueError(f"method {chosen.name!r} has a norm of its own, so norm must not be given")
    check_flag("dense", dense)
    event = None if event_fn is None else Event(event_fn, ts)
    settings = Settings(
        method=chosen,
        rtol=rtol,
        atol=atol,
        norm=norm,
        controller=DEFAULT_CONTROLLER if controller is None else controller,
        step_size=step_size,
        grid=None if grid is None else as_list("grid", grid),
        first_step=first_step,
        min_step=min_step,
        max_step=max_step,
        max_num_steps=max_num_steps,
        step_t=as_floats("step_t", step_t),
        jump_t=as_floats("jump_t", jump_t),
        perturb=perturb,
        interpolation=interpolation,
        compile=compile,
        batch=batch,
        callbacks=NO_CALLBACKS if callbacks is None else callbacks,
        event_fn=event,
        dense=Trajectory() if dense else None,
    )
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        _check_fits(name, tolerance, y0)
    _warn_of_rounded_times(field, y0, times)
    if settings.sample_method is not None:
        check_samples(field, y0, times)
    gradient = gradient or Backprop()
    if event is None:
        ys, stats = hand_over(field, y0, ts, settings, gradient)
        return Solution(ts, ys, stats, settings.dense)
    if event.is_at_start(y0):
        ys, stats = torch.stack([y0, y0]), Stats()
    else:
        ys, stats = hand_over(field, y0, event.ts, settings, gradient)
    return Solution(event.ts.to(ts.dtype), ys, stats, settings.dense)


def _warn_of_rounded_times(
    field: Field, y0: Float[Tensor, "*state"], times: Sequence[float]
) -> None:
    """Warn where the field reads times of which its dtype holds whole numbers alone, or fewer."""
    largest = max(abs(times[0]), abs(times[-1]))
    if torch.finfo(y0.dtype).eps * largest < 1:
        return
    y = y0.detach().clone()
    with torch.no_grad(), ReadsTime(as_time(times[0], y)) as mode:
        field(mode.time, y)
    if mode.reads:
        apart = torch.finfo(y0.dtype).eps * 2.0 ** math.floor(math.log2(largest))
        warnings.warn(
            f"the field reads the time, and the times that {y0.dtype} holds near t={largest:.3g}"
            f" are {apart:g} apart: take float64 for the state, or shift or scale the time",
            stacklevel=3,
        )


def _check_fits(name: str, tolerance: Tolerance, y0: Float[Tensor, "*state"]) -> None:
    """Raise ValueError, in one sentence, for a tolerance that does not go with the state."""
    check_representable(name, tolerance, y0.dtype)
    if not isinstance(tolerance, Tensor):
        return
    try:
        fits = torch.broadcast_shapes(tolerance.shape, y0.shape) == y0.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} has shape {tuple(tolerance.shape)}, which does not broadcast to that of the"
            f" state, {tuple(y0.shape)}"
        )


def check_problem(field: Field, y0: Tensor, ts: Tensor) -> list[float]:
    """The output times as numbers.

    Raises:
        TypeError, ValueError: in one sentence, for a problem that cannot be solved.
    """
    if not callable(field) or isinstance(field, type):
        raise TypeError(f"field is {describe(field)}, expected a function of (t, y)")
    for name, value in (("y0", y0), ("ts", ts)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is {type(value).__name__}, expected a torch tensor")
        if not value.is_floating_point():
            raise TypeError(f"{name} has dtype {value.dtype}, expected a floating-point tensor")
        check_dense(name, value)
        if value.is_meta:
            raise ValueError(
                f"{name} is on the device meta, where a tensor has a shape alone, but a solve needs"
                " its numbers"
            )
    if y0.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"y0 has dtype {y0.dtype}, expected torch.float32 or torch.float64")
    if ts.ndim != 1 or len(ts) == 0:
        raise ValueError(
            f"ts has shape {tuple(ts.shape)}, expected one dimension with at least one time"
        )
    if is_batched(ts):
        raise ValueError("ts differs within a batch of vmap, whose samples must share their times")
    times = numbers_of(ts)
    if not all(map(math.isfinite, times)):
        raise ValueError("ts holds a time that is not finite")
    if not (all(a < b for a, b in pairwise(times)) or all(a > b for a, b in pairwise(times))):
        raise ValueError("ts must be strictly increasing or strictly decreasing")
    if not math.isfinite(times[-1] - times[0]):
        raise ValueError(
            f"ts runs from {times[0]:g} to {times[-1]:g}, farther than the largest number"
        )
    return times
