"""What a solve asks for, held against what a backend offers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode import Adjoint, Backprop
from neural_ode.failures import NotOffered, step_limit
from neural_ode.gradients import Gradient
from neural_ode.settings import Settings

# What every solve has, and what each backend must heed.
_ALWAYS = ("method", "rtol", "atol", "max_num_steps")
# What every backend with an adjoint must heed.
_ALWAYS_OF_ADJOINT = ("rtol", "atol")
# How far from the end of a step of a grid an output may lie, in steps, as rounding has it.
_ON_GRID = 1e-6


@dataclass(frozen=True)
class Offers:
    """What a backend offers.

    Attributes:
        backend: its name, for the sentence that says what is missing.
        methods: from the names of methods here to the backend's own.
        settings: the settings of ``solve``, by name, that it takes beside method, tolerances and
            ``max_num_steps``.
        adjoint: whether it has an adjoint; otherwise it has ``Backprop`` alone.
        of_adjoint: the fields of ``Adjoint``, by name, that it takes beside its tolerances.
    """

    backend: str
    methods: Mapping[str, Any]
    settings: Collection[str] = ()
    adjoint: bool = False
    of_adjoint: Collection[str] = ()

    def check(self, settings: Settings, ts: Float[Tensor, " time"], gradient: Gradient) -> None:
        """Check that a solve asks for nothing else.

        Raises:
            NotOffered: for the first thing that is missing, in one sentence.
            StepLimit: for a grid of more steps than it may have.
        """
        if settings.method.name not in self.methods:
            raise self._lacks(f"the method {settings.method.name}")
        for name in _changed(settings):
            if name not in (*_ALWAYS, *self.settings):
                raise self._lacks(f"the setting {name} of a solve")
        for name in ("rtol", "atol"):
            if isinstance(getattr(settings, name), Tensor):
                raise self._lacks(f"{name} as a tensor")
        if not settings.adaptive:
            self._check_grid(settings, ts)
        # Where autograd records nothing, any way to the gradient would do.
        if torch.is_grad_enabled():
            self._check_gradient(gradient)

    def _check_grid(self, settings: Settings, ts: Float[Tensor, " time"]) -> None:
        if settings.step_size is None or len(ts) == 1:
            return
        steps = (ts.double() - ts[0].double()).abs() / settings.step_size
        # The last step is cut where the end comes sooner.
        inside = (steps[:-1] - steps[:-1].round()).abs() > _ON_GRID
        if inside.any():
            raise self._lacks("outputs inside the steps of a grid, by the method's dense output")
        most = int(steps.diff().max().ceil())
        if most > settings.max_num_steps:
            raise step_limit(int(settings.max_num_steps), float(ts[-1]), float(ts[0]))

    def _check_gradient(self, gradient: Gradient) -> None:
        if type(gradient) is Backprop:
            return
        if not (self.adjoint and type(gradient) is Adjoint):
            raise self._lacks(f"the gradient {type(gradient).__name__}")
        for name in _changed(gradient):
            # A norm that is a function gets other arguments in each library.
            known = name != "norm" or isinstance(gradient.norm, str)
            if name not in (*_ALWAYS_OF_ADJOINT, *self.of_adjoint) or not known:
                raise self._lacks(f"{name} = {getattr(gradient, name)!r} of the adjoint")

    def _lacks(self, what: str) -> NotOffered:
        return NotOffered(f"{self.backend} does not offer {what}")


def _changed(given: Any) -> list[str]:
    """The fields of a dataclass that are not as they are by default."""
    default = type(given)()
    return [
        f.name
        for f in fields(given)
        if isinstance(value := getattr(given, f.name), Tensor) or value != getattr(default, f.name)
    ]
