"""``odeint_dense`` with the signature of torchdiffeq 0.2.5: the solution at any time of a solve.

It takes every method that has a dense output, and states of any kind, where torchdiffeq takes
dopri5 and one tensor.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.arguments import describe
from neural_ode.odeint import Flat, find
from neural_ode.states import State
from neural_ode.tolerances import Tolerances


def odeint_dense(
    func: Callable[[Tensor, Any], Any],
    y0: State,
    t0: float | Float[Tensor, ""],
    t1: float | Float[Tensor, ""],
    *,
    rtol: Tolerances = 1e-7,
    atol: Tolerances = 1e-9,
    method: str | None = None,
    options: dict | None = None,
) -> Callable[[float | Float[Tensor, "*time"]], State]:
    """The solution of ``dy/dt = func(t, y)`` from ``t0`` to ``t1`` as a function of the time.

    Args:
        t0, t1: the initial time, and the last one.

    The other arguments are those of ``odeint``; between the points of a grid the method's own dense
    output is used where the option ``interp`` names no other.

    Returns:
        A function from a time, or from several of shape [time], to the state, [*state], or the
        states, [time, *state]; autograd goes through it and the solve. It raises ``ValueError`` for
        a time outside the solve.

    Raises:
        ValueError, TypeError: for bad arguments, in one sentence.
        SolverFailure: where the integration cannot go on.
    """
    flat, chosen = Flat(func, y0), dict(options or {})
    if not find(method).adaptive:
        chosen.setdefault("interp", "dense")
    given = [t for t in (t0, t1) if isinstance(t, Tensor)]
    like = given[0] if given else torch.empty(0, dtype=torch.float64, device=flat.y0.device)
    ends = [_as_time(name, t, like) for name, t in (("t0", t0), ("t1", t1))]
    solution = flat.run(torch.stack(ends), rtol, atol, method, chosen, dense=True)

    def state(t: float | Float[Tensor, "*time"]) -> State:
        y = solution.at(t)
        return y if flat.layout.is_plain else flat.layout.unpack(y)

    return state


def _as_time(name: str, t: Any, like: Tensor) -> Float[Tensor, ""]:
    """One time as a tensor; raises TypeError for anything else."""
    if isinstance(t, Tensor) and t.is_floating_point() and t.numel() == 1:
        return t.reshape(()).to(like)
    if isinstance(t, Real) and not isinstance(t, bool):
        return torch.tensor(float(t), dtype=like.dtype, device=like.device)
    got = f"Tensor of shape {tuple(t.shape)}" if isinstance(t, Tensor) else describe(t)
    raise TypeError(f"{name} is {got}, expected a number or a tensor of one number")
