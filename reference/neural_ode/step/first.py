"""The size of the first step of an adaptive solve."""

import math
import sys
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode.step.base import Evaluate, Slope
from neural_ode.step.error import ErrorTest
from neural_ode.times import Time, as_time, exact_dtype, pick
from neural_ode.transforms import transforming, unwrap

# The size of a step that is sure to move the time, as a part of it.
SMALLEST = 16 * sys.float_info.epsilon


def initial_step(
    evaluate: Evaluate,
    t0: Time,
    direction: Time,
    y0: Float[Tensor, "*state"],
    q0: Float[Tensor, " integrals"] | None,
    f0: Slope,
    order: int,
    test: ErrorTest,
    with_grad: bool = False,
) -> Time:
    """The size of a first step from one more evaluation of the field; NaN where it is not finite.

    Autograd is off. With ``with_grad`` it is on for the field, which may differentiate by itself.

    Source: Hairer, Norsett & Wanner, Solving ODEs I, sec. II.4, algorithm (a) to (f).
    """
    joint = q0 is not None and test.joint_norm is not None
    scale = test.scale(test.sizes(y0))
    of_integrals = test.scale(q0.abs()) if q0 is not None else None
    if test.wide:
        wide = exact_dtype(y0.device)
        scale = scale.to(wide)
        of_integrals = None if of_integrals is None else of_integrals.to(wide)
    # Numbers of the host where that is the device, tensors where the host would have to wait.
    numbers = isinstance(t0, float) and y0.device.type == "cpu" and not transforming()
    measure = partial(_measure, test, scale, of_integrals, numbers)
    k0, rate0 = f0
    d0, d1 = measure(y0, q0), measure(k0, rate0)
    flat_start = (d0 < 1e-5) | (d1 < 1e-5)
    h0 = pick(flat_start, 1e-6, 0.01 * d0 / pick(flat_start, 1.0, d1))
    ahead = direction * h0
    with torch.set_grad_enabled(with_grad):
        rise = ahead.to(y0) * k0 if isinstance(ahead, Tensor) else ahead * k0
        k1, rate1 = evaluate(as_time(t0 + ahead, y0), y0 + rise, joint)
    change = None if rate0 is None or rate1 is None else rate1 - rate0
    d2 = measure(k1 - k0, change) / pick(h0 > 0, h0, 1.0)
    steepest = pick(d1 > d2, d1, d2)
    still = steepest <= 1e-15
    wanted = (0.01 / pick(still, 1.0, steepest)) ** (1 / order)
    h1 = pick(still, pick(h0 > 1e-3, h0 * 1e-3, 1e-6), wanted)
    # Where the second evaluation overflows, the first guess has to do.
    size = pick(abs(d2) < math.inf, pick(100 * h0 < h1, 100 * h0, h1), h0)
    # A slope that is large beside a tolerance near zero must not make the step too small to move
    # the time.
    size = pick(t0 + direction * size == t0, SMALLEST * abs(t0), size)
    return pick(d0 + d1 < math.inf, size, math.nan)


def _measure(
    test: ErrorTest,
    scale: Float[Tensor, "*state"],
    of_integrals: Float[Tensor, " integrals"] | None,
    numbers: bool,
    y: Float[Tensor, "*state"],
    q: Float[Tensor, " integrals"] | None,
) -> Time:
    """The norm in units of the two scales, as a number of the host where one is wanted."""
    if not test.wide:
        q = None if q is None or of_integrals is None else q / of_integrals
        norm = test.measure(y / scale, q)
        return float(norm) if numbers else norm.to(exact_dtype(norm.device))
    y, q = y.to(scale) / scale, None if q is None or of_integrals is None else q / of_integrals
    # The squares must not overflow either.
    largest = max(float(unwrap(x).abs().amax()) for x in (y, q) if x is not None and x.numel())
    if largest == 0:
        return 0.0
    norm = test.measure(y / largest, None if q is None else q / largest)
    # Where the samples of a batch share their steps, the largest holds for all.
    return largest * float(unwrap(norm).max())
