"""Freeze a trained net, and solve it by every method at every tolerance."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from neural_ode import Adjoint, Backprop
from neural_ode.data import mnist
from neural_ode.delegate import solve_with
from neural_ode.networks import OdeClassifier
from neural_ode.training import error_rate
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.tolerance_tradeoff.settings import (
    CLASSIFIER,
    METHODS,
    SLUG,
    TESTED,
)
from odeclaims.kits.digits import FrozenBlock, Reference, at, first, freeze, references
from odeclaims.kits.timers import durations
from odeclaims.kits.validity import relative_error, stamp
from odeclaims.trained.ode_nets import as_classifier, network_cells, take_network

DATASETS = {"mnist": mnist.DIGEST}

REFERENCE_STEPS = 512
# A net that gets more than this wrong has not learnt enough for its error rates to be compared.
WORTH_CLASSIFYING = 0.05


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained net."""
    tightest = profile.pick(smoke=2, quick=5, paper=6)
    yield from network_cells(profile, SLUG, tightest=tightest)


def alone(cell: Cell) -> bool:
    """Whether nothing else may run beside the cell: each of them measures time."""
    return True


def measure(cell: Cell, context: Context) -> list[Row]:
    """Freeze a trained net, and solve it by every method at every tolerance."""
    network = take_network(cell, context)
    model = as_classifier(network.model).to(cell.device)
    test_error = float(network.history["test_error"].dropna().iloc[-1])
    block = freeze(model, mnist.spread(mnist.load("test"), cell.params["evaluated"]))
    truth = _truth(block.double())
    with torch.no_grad():
        field_time, _ = _time(partial(block.field, block.ts[0], block.y0), cell.device)
    tolerances = [10.0**-i for i in range(cell.params["tightest"] + 1)]
    rows = _classify(model, tolerances) if test_error <= WORTH_CLASSIFYING else []
    return rows + [
        {
            "test_error": test_error,
            "method": method,
            "tolerance": tolerance,
            "field_time_s": field_time,
            **guarded(partial(_observe, block, at(tolerance, method=method), truth)),
        }
        for method in METHODS
        for tolerance in tolerances
    ]


def _classify(model: OdeClassifier, tolerances: list[float]) -> list[Row]:
    """The error rate of the net on the same test digits, its flow solved at each tolerance."""
    test, net = first(mnist.load("test"), TESTED), deepcopy(model)

    def observe(tolerance: float) -> Row:
        net.block.solver.update(at(tolerance))
        return {"test_error": error_rate(net, test)}

    return [
        {"method": CLASSIFIER, "tolerance": tol, **guarded(partial(observe, tol))}
        for tol in tolerances
    ]


# The truth is the same for every solver that is measured.
@solve_with(None)
def _truth(
    block: FrozenBlock,
) -> tuple[Float64[Tensor, "batch channels height width"], Reference]:
    """The state of a float64 block at t = 1 by small errors, and its gradient by small steps.

    The error of the second is the larger of the two.
    """
    tight = block.flow(**at(1e-8)).ys[-1]
    loose = block.flow(**at(1e-7, method="tsit5")).ys[-1]
    by_steps = references(block, REFERENCE_STEPS, method="midpoint")["mean"]
    error = max(relative_error(loose, tight), by_steps.error)
    return tight, Reference(by_steps.gradient, error)


def _observe(block: FrozenBlock, solver: dict, truth: tuple[Tensor, Reference]) -> Row:
    """Cost, error and stamp of a solve."""
    y1, reference = truth
    solution = block.flow(**solver)
    median, spread = _time(partial(block.flow, **solver), str(block.y0.device))
    return {
        "nfe_forward": solution.stats.nfe_forward,
        "rejected": solution.stats.rejected,
        "error": relative_error(solution.ys[-1], y1),
        "time_s": median,
        "time_iqr_s": spread,
        **stamp(
            block.reconstruction_error(**solver),
            relative_error(_gradient(block, solver), reference.gradient),
            reference.error,
        ),
    }


def _gradient(block: FrozenBlock, solver: dict) -> Float[Tensor, " entries"]:
    """The gradient of a solve: of its steps, or by the adjoint where the steps are SciPy's."""
    by_steps = solver["method"] != "adams"
    return block.forward(gradient=Backprop() if by_steps else Adjoint(), **solver).gradient()


def _time(work: Callable[[], object], device: str) -> tuple[float, float]:
    """Median and interquartile range of the time of ``work``, in seconds."""
    times = durations(work, device, least=3, most=20, for_s=0.1)
    low, middle, high = np.percentile(times, [25, 50, 75])
    return float(middle), float(high - low)
