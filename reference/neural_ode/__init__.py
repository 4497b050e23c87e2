"""Reference implementations of the systems in the Neural ODE papers, in the open and in PyTorch."""

from neural_ode.failures import NonFinite, SolverFailure, StepLimit, StepUnderflow
from neural_ode.gradients import (
    Adjoint,
    Backprop,
    Checkpointed,
    InterpolatedAdjoint,
    Reversible,
    SymplecticAdjoint,
)
from neural_ode.methods import METHODS
from neural_ode.methods.tableau import ButcherTableau
from neural_ode.odeint import odeint, odeint_adjoint
from neural_ode.odeint_dense import odeint_dense
from neural_ode.odeint_event import odeint_event
from neural_ode.solution import Counts, Solution, Stats
from neural_ode.solve import solve
from neural_ode.step.controllers import IntegralController, PIController
from neural_ode.step.error import rms_norm

__all__ = [
    "METHODS",
    "Adjoint",
    "Backprop",
    "ButcherTableau",
    "Checkpointed",
    "Counts",
    "IntegralController",
    "InterpolatedAdjoint",
    "NonFinite",
    "PIController",
    "Reversible",
    "Solution",
    "SolverFailure",
    "Stats",
    "StepLimit",
    "StepUnderflow",
    "SymplecticAdjoint",
    "odeint",
    "odeint_adjoint",
    "odeint_dense",
    "odeint_event",
    "rms_norm",
    "solve",
]
