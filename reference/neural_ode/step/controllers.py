"""How the size of the next step follows from the error of the last ones."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neural_ode.arguments import check_number, check_positive, check_readable
from neural_ode.times import Time, pick


@dataclass(frozen=True)
class IntegralController:
    """The step grows or shrinks with the last error ratio alone.

    Attributes:
        safety: the factor that keeps the next step a little below its limit.
        ifactor: the most that a step may grow.
        dfactor: the most that a step may shrink; an accepted step does not shrink at all.

    Raises:
        TypeError, ValueError: for a factor that is not positive, or with which a step could not
            grow or shrink.

    Source: Hairer et al., Solving ODEs I, eq. (4.13); the constants are torchdiffeq's.
    """

    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2

    def __post_init__(self):
        _check_factors(self)

    def factor(self, ratio: Time, previous: Time | None, order: int) -> Time:
        """By how much the next step is larger than this one, given its error ratio."""
        if not isinstance(ratio, Tensor) and ratio == 0:
            return self.ifactor
        least = pick(ratio < 1, 1.0, self.dfactor)
        return _between(least, self.safety / ratio ** (1 / order), self.ifactor)


@dataclass(frozen=True)
class PIController:
    """The step follows the last two error ratios, which damps its swings on stiff problems.

    Attributes:
        safety, ifactor, dfactor: as for the integral controller.
        alpha, beta: exponents of the last and of the last but one accepted ratio, times the order;
            from 0 to 1.

    Source: Gustafsson, ACM Trans. Math. Softw. 17 (1991); Hairer & Wanner, Solving ODEs II, IV.2.
    """

    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2
    alpha: float = 0.7
    beta: float = 0.4

    def __post_init__(self):
        _check_factors(self)
        for name in ("alpha", "beta"):
            check_number(name, getattr(self, name), 0, 1)

    def factor(self, ratio: Time, previous: Time | None, order: int) -> Time:
        """By how much the next step is larger; ``previous`` is the last accepted ratio.

        Before the first accepted step ``previous`` is ``None``, or NaN where ratios are tensors.
        """
        if not isinstance(ratio, Tensor) and ratio == 0:
            return self.ifactor
        alone = self.safety / ratio ** (1 / order)
        if previous is None:
            return _between(self.dfactor, alone, self.ifactor)
        both = self.safety * previous ** (self.beta / order) / ratio ** (self.alpha / order)
        wanted = pick((ratio <= 1) & (previous > 0), both, alone)
        return _between(self.dfactor, wanted, self.ifactor)


def _check_factors(controller: "Controller") -> None:
    """Raise TypeError or ValueError for factors by which a step cannot be chosen."""
    for name in ("safety", "ifactor", "dfactor"):
        check_positive(name, getattr(controller, name))
    if controller.ifactor < 1:
        raise ValueError(f"ifactor is {controller.ifactor}, expected at least 1")
    if controller.safety > 1:
        # A step that was rejected would be tried again at its own size or a larger one.
        raise ValueError(f"safety is {controller.safety}, expected at most 1")
    if controller.dfactor >= 1:
        raise ValueError(f"dfactor is {controller.dfactor}, expected less than 1")


def check_factor(factor: Any) -> float:
    """What a controller of the user's has returned, as a number of the host.

    Raises:
        TypeError, ValueError: for anything but one positive finite number.
    """
    check_readable("the controller's factor", factor)
    single = isinstance(factor, Tensor) and factor.numel() == 1
    number = factor.item() if single else factor
    check_positive("the controller's factor", number)
    return float(number)


Controller = IntegralController | PIController


def _between(least: Time, x: Time, most: float) -> Time:
    """``x``, or the bound that it passes."""
    if isinstance(x, Tensor):
        return torch.clamp(torch.maximum(x, x.new_tensor(0) + least), max=most)
    return min(most, max(x, float(least)))
