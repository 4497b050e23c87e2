"""``odeint_event`` with the signature of torchdiffeq 0.2.5: an event, and the gradient of its time.

A solve gives the state at the event with its gradient at a fixed time. Where c is the event
function, a change of the problem moves the event by ``dt = -dc / (c_t + c_y f)``, and the state at
it by ``dy + f dt``.

Source: the implicit function theorem; Chen, Amos & Nickel, Learning neural event functions for
ordinary differential equations, ICLR 2021, sec. 3.2.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import check_flag, check_tensor
from neural_ode.events import EventFunction, values_of
from neural_ode.gradients.first_derivative import first_derivative_only, link
from neural_ode.odeint import Flat, odeint
from neural_ode.states import State
from neural_ode.times import as_time


def odeint_event(
    func: Callable[[Tensor, Any], Any],
    y0: State,
    t0: Float[Tensor, ""] | Float[Tensor, "1"],
    *,
    event_fn: Callable[[Tensor, Any], Tensor],
    reverse_time: bool = False,
    odeint_interface: Callable[..., Any] = odeint,
    **kwargs: Any,
) -> tuple[Float[Tensor, ""], State]:
    """The solution of ``dy/dt = func(t, y)`` up to the first event, which moves with the problem.

    Both results have a gradient by ``y0``, ``t0``, the parameters of ``func``, and by the tensors
    that ``event_fn`` uses. It is a first derivative alone. It costs one evaluation of ``func``.

    Args:
        func, y0: as for ``odeint``.
        t0: the initial time.
        event_fn: maps a 0-dimensional time and a state to real numbers. The event is where one of
            them is first zero; one that is zero at ``t0`` is the event.
        reverse_time: look for the event before ``t0`` instead of after it.
        odeint_interface: ``odeint``, ``odeint_adjoint``, or a function called as they are.
        kwargs: go on to ``odeint_interface``.

    Returns:
        The time of the event, and the states at ``t0`` and there, shape [2, *state], or a tuple of
        such.

    Raises:
        ValueError, TypeError: for bad arguments, in one sentence.
        SolverFailure: where the integration cannot go on.
    """
    check_tensor("t0", t0)
    if t0.numel() != 1:
        raise ValueError(f"t0 has shape {tuple(t0.shape)}, expected one time")
    check_flag("reverse_time", reverse_time)
    begin = t0.reshape(-1)
    # So far that rounding does not make it the same time.
    ahead = 1 + begin.detach().abs()
    towards = begin.detach() + (-ahead if reverse_time else ahead)
    event_t, states = odeint_interface(
        func, y0, torch.cat([begin, towards]), event_fn=event_fn, **kwargs
    )
    ends = tuple(x[-1] for x in states) if isinstance(states, tuple) else states[-1]
    flat = Flat(func, ends)
    event_t, end = link_event(flat.field, flat.event_fn(event_fn), event_t, flat.y0)
    end = flat.layout.unpack(end)
    if isinstance(end, Tensor):
        return event_t, _with_end(states, end)
    return event_t, tuple(map(_with_end, states, end))


def _with_end(states: Any, end: Tensor) -> Tensor:
    """Both states with this one in the place of the second."""
    return torch.stack([states[0], end])


def link_event(
    field: Callable[[Float[Tensor, ""], Float[Tensor, "*state"]], Float[Tensor, "*state"]],
    event_fn: EventFunction,
    t: Float[Tensor, ""],
    y: Float[Tensor, "*state"],
) -> tuple[Float[Tensor, ""], Float[Tensor, "*state"]]:
    """The time and the state of an event, with the gradient that its time brings.

    A solve gives the state with its gradient at a time that is kept fixed. Where c is the event
    function, the event moves by ``dt = -dc / (c_t + c_y f)`` and the state there by ``dy + f dt``.
    The gradient also reaches the tensors that the event function itself uses. It is a first
    derivative alone.

    Args:
        field: the derivative of the state.
        event_fn: the event function.
        t: when the event came.
        y: the state there, of a solve that autograd can differentiate.

    Source: the implicit function theorem; Chen, Amos & Nickel, Learning neural event functions for
    ordinary differential equations, ICLR 2021, sec. 3.2.
    """
    t = t.detach()
    if not torch.is_grad_enabled():
        return t, y
    with torch.enable_grad():
        here, there = t.clone().requires_grad_(), y.detach().clone().requires_grad_()
        f = field(as_time(t, y), there).detach()
        values = values_of(event_fn, here.to(y.dtype), there)
        rates = [_rate(value, here, there, f) for value in values.unbind()]
    # Of several events the one that came is that whose zero is the nearest in time. One that stays
    # at zero has no rate there, and so no gradient that is a number.
    pairs = zip(values.tolist(), rates, strict=True)
    away = [abs(value / rate) if rate else math.inf if value else 0.0 for value, rate in pairs]
    first = min(range(len(away)), key=away.__getitem__)
    value = values_of(event_fn, as_time(t, y), y)[first]
    return _Linked.apply(t, y, value, f, rates[first])


def _rate(value: Tensor, t: Tensor, y: Tensor, f: Tensor) -> float:
    """How fast a value of the event function changes along the solution."""
    if not value.requires_grad:
        return 0.0
    by_t, by_y = torch.autograd.grad(value, (t, y), retain_graph=True, allow_unused=True)
    rate = 0.0 if by_t is None else float(by_t)
    return rate if by_y is None else rate + float(torch.sum(by_y * f))


class _Linked(torch.autograd.Function):
    """The time and the state themselves, as functions of the state and the event's value."""

    @staticmethod
    def forward(ctx, t, y, value, f, rate):
        ctx.link, ctx.rate = link(y), rate
        ctx.save_for_backward(f)
        return t.clone(), y.clone()

    @staticmethod
    @first_derivative_only("odeint_event", instead="solve to fixed times with odeint")
    def backward(ctx, saved, *grads):
        grad_t, grad_y = grads
        (f,) = saved
        if ctx.rate == 0 and ctx.needs_input_grad[2]:
            raise RuntimeError(
                "event_fn does not change along the solution where it is zero, so that the time of"
                " the event has no gradient: use a function that passes through zero"
            )
        along = grad_t + torch.sum(grad_y * f).to(grad_t)
        return None, grad_y, -(along / ctx.rate).to(grad_y), None, None
