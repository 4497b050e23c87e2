"""Normalizing flows: a density carried through a map or along a flow."""

from neural_ode.flows.bases import StandardNormal
from neural_ode.flows.cnf import CNF, LogDensityField, runs_norm
from neural_ode.flows.densities import Circles, Moons
from neural_ode.flows.energies import ENERGIES, log_normaliser
from neural_ode.flows.fields import ConcatSquashField, PlanarField
from neural_ode.flows.planar import PlanarFlow
from neural_ode.flows.traces import Hutchinson, closed_trace, exact_trace

__all__ = [
    "CNF",
    "ENERGIES",
    "Circles",
    "ConcatSquashField",
    "Hutchinson",
    "LogDensityField",
    "Moons",
    "PlanarField",
    "PlanarFlow",
    "StandardNormal",
    "closed_trace",
    "exact_trace",
    "log_normaliser",
    "runs_norm",
]
