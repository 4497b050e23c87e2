"""What the methods have in common whose steps are taken outside torch."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.step.base import Evaluate
from neural_ode.times import Time
from neural_ode.transforms import transforming


def check_no_gradient(name: str, evaluate: Evaluate, *values: Time) -> None:
    """Raise ValueError where autograd or ``torch.func`` would have to go through the steps.

    Args:
        name: of the method.
        evaluate: the field.
        values: the initial state and the times.
    """
    if torch.is_grad_enabled() and _wants_gradients(evaluate, *values):
        raise ValueError(
            f"method {name!r} runs in SciPy, where autograd cannot follow: use"
            " gradient=Adjoint(), or torch.no_grad() where no gradient is wanted"
        )
    if transforming():
        raise ValueError(
            f"method {name!r} runs in SciPy, where torch.func and forward-mode differentiation"
            " cannot follow: use another method"
        )


def _wants_gradients(evaluate: Evaluate, *values: Time) -> bool:
    """Whether a state, a time or one of the field's parameters requires a gradient."""
    field = getattr(evaluate, "field", None)
    parameters = field.parameters() if isinstance(field, nn.Module) else ()
    return any(isinstance(x, Tensor) and x.requires_grad for x in (*values, *parameters))


def join_integrals(
    evaluate: Evaluate, y0: Float[Tensor, "*state"], q0: Float[Tensor, " integrals"]
) -> Callable[[Tensor, Tensor], Tensor]:
    """The derivative of the flat state followed by the integrals, [entries + integrals]."""

    def join(t: Tensor, state: Tensor) -> Tensor:
        k, rate = evaluate(t, state[: y0.numel()].view(y0.shape), True)
        return torch.cat([k.reshape(-1), rate if rate is not None else torch.zeros_like(q0)])

    return join
