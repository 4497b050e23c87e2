"""What the methods have in common whose steps are taken outside torch."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.step.base import Evaluate, Slope
from neural_ode.times import Time
from neural_ode.transforms import transforming


def outside_autograd(name: str, evaluate: Evaluate, *values: Time) -> Evaluate:
    """The field for steps that neither autograd nor ``torch.func`` follows.

    Whether autograd would have to go through them shows at the first evaluation, for a field may
    use any tensor.

    Args:
        name: of the method.
        evaluate: the field.
        values: the initial state and the times.

    Raises:
        ValueError: where they would have to; also at the first evaluation.
    """
    if transforming():
        raise ValueError(
            f"method {name!r} runs in SciPy, where torch.func and forward-mode differentiation"
            " cannot follow: use another method"
        )

    if not torch.is_grad_enabled():
        return evaluate
    first = True

    def check(*tensors: Time | None) -> None:
        if any(isinstance(x, Tensor) and x.requires_grad for x in tensors):
            raise ValueError(
                f"method {name!r} runs in SciPy, where autograd cannot follow: use"
                " gradient=Adjoint(), or torch.no_grad() where no gradient is wanted"
            )

    def call(t: Tensor, y: Tensor, integral: bool = False) -> Slope:
        nonlocal first
        if not first:
            return evaluate(t, y, integral)
        first = False
        with torch.enable_grad():
            slope = evaluate(t, y, integral)
        check(*slope)
        return slope

    # A field may use its parameters at later times alone.
    given = getattr(evaluate, "field", None)
    given = getattr(getattr(given, "__self__", None), "func", given)
    check(*values, *(given.parameters() if isinstance(given, nn.Module) else ()))
    return call


def join_integrals(
    evaluate: Evaluate, y0: Float[Tensor, "*state"], q0: Float[Tensor, " integrals"]
) -> Callable[[Tensor, Tensor], Tensor]:
    """The derivative of the flat state followed by the integrals, [entries + integrals]."""

    def join(t: Tensor, state: Tensor) -> Tensor:
        k, rate = evaluate(t, state[: y0.numel()].view(y0.shape), True)
        return torch.cat([k.reshape(-1), rate if rate is not None else torch.zeros_like(q0)])

    return join
