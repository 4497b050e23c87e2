"""Freeze an ODE-Net, untrained or trained, and count evaluations on the way there and back."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import astuple
from functools import cache, partial
from itertools import product
from typing import TypeVar

from torch import nn

from neural_ode import Adjoint, Checkpointed
from neural_ode.data import mnist
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.backward_nfe.settings import (
    METHODS,
    PUBLISHED,
    SLUG,
    TIGHTEST_CHANGED,
    TIGHTEST_SQUARES,
    Norm,
    Setting,
)
from odeclaims.kits.digits import (
    ForwardPass,
    FrozenBlock,
    Reference,
    at,
    freeze,
    references,
)
from odeclaims.kits.validity import relative_error, stamp
from odeclaims.trained.ode_nets import as_classifier, network_cells, specify, take_network
from odeclaims.trained.recipes import recipe_of
from odeclaims.trained.store import Network

DATASETS = {"mnist": mnist.DIGEST}
Result = TypeVar("Result")

SETTINGS = [
    Setting(factor, norm, loss)
    for factor, norm, loss in product((1, 10, 100), ("rms", "seminorm"), ("mean", "sum", "squares"))
]


def cells(profile: Profile) -> Iterator[Cell]:
    """Two cells for each net: one before its training and one after."""
    tightest = profile.pick(smoke=2, quick=7, paper=7)
    for trained in (False, True):
        yield from network_cells(profile, SLUG, trained=trained, tightest=tightest)


def _settings(trained: bool, tolerance: float) -> list[Setting]:
    """The settings of a net at a forward tolerance; that it is untrained counts as one change."""
    if tolerance < TIGHTEST_CHANGED:
        return [PUBLISHED] if trained else []
    possible = [s for s in SETTINGS if s.adjoint_factor * tolerance <= 1]
    affordable = [s for s in possible if s.loss != "squares" or tolerance >= TIGHTEST_SQUARES]
    return [s for s in affordable if _changes(s) <= int(trained)]


def _changes(setting: Setting) -> int:
    """In how many things a setting differs from the published one."""
    return sum(a != b for a, b in zip(astuple(setting), astuple(PUBLISHED), strict=True))


def measure(cell: Cell, context: Context) -> list[Row]:
    """Freeze a net as it was before or after its training, and count at every setting."""
    size, network = cell.params, take_network(cell, context)
    model = network.model if size["trained"] else recipe_of(specify(cell)).build(specify(cell))
    digits = mnist.spread(mnist.load("test"), size["evaluated"])
    block = freeze(as_classifier(model).to(cell.device), digits)
    settings = {
        tolerance: _settings(size["trained"], tolerance)
        for tolerance in [10.0**-i for i in range(size["tightest"] + 1)]
    }
    truths = _truths(block, settings[1.0], size["reference_steps"])
    test_error = _test_error(network, trained=size["trained"])
    return [
        {"test_error": test_error, "method": method, "tolerance": tolerance, **row}
        for method in METHODS
        for tolerance, at_tolerance in settings.items()
        for row in _observe_all(block, method, tolerance, at_tolerance, truths)
    ]


def _test_error(network: Network, *, trained: bool) -> float:
    """The test error before the first epoch of the training, or after the last."""
    errors = network.history["test_error"].dropna()
    return float(errors.iloc[-1 if trained else 0])


def _truths(block: FrozenBlock, settings: list[Setting], steps: int) -> dict[str, Reference]:
    """The reference of each loss that the settings name."""
    losses = {setting.loss for setting in settings}
    truths = references(
        block,
        steps,
        sorted(losses - {"sum"} | {"mean"}),
        method="midpoint",
        gradient=Checkpointed(),
    )
    mean = truths["mean"]
    return {**truths, "sum": Reference(len(block.labels) * mean.gradient, mean.error)}


def _observe_all(
    block: FrozenBlock,
    method: str,
    tolerance: float,
    settings: list[Setting],
    truths: dict[str, Reference],
) -> Iterator[Row]:
    """A row for each setting; those that differ in the loss alone share the forward solve."""
    solver, calls = at(tolerance, method=method), Calls(block.field)

    @cache
    def reconstruct() -> float:
        return block.reconstruction_error(**solver)

    @cache
    def forward(looser: float, norm: Norm) -> tuple[ForwardPass, int]:
        gradient = Adjoint(rtol=looser, atol=looser, norm=norm)
        return calls.during(lambda: block.forward(gradient=gradient, **solver))

    def observe(setting: Setting) -> Row:
        solved, there = forward(setting.adjoint_factor * tolerance, setting.norm)
        truth = truths[setting.loss]
        gradient, back = calls.during(lambda: solved.gradient(setting.loss))
        gradient_error = relative_error(gradient, truth.gradient)
        # The backward pass has run, so that there is a count of it.
        stats = solved.solution.stats
        counts = both_counts(stats.nfe_forward, stats.nfe_backward or 0)
        called = {"calls_forward": there, "calls_backward": back}
        return {**counts, **called, **stamp(reconstruct(), gradient_error, truth.error)}

    with calls:
        for setting in settings:
            yield {
                "adjoint_factor": setting.adjoint_factor,
                "adjoint_tolerance": setting.adjoint_factor * tolerance,
                "norm": setting.norm,
                "loss": setting.loss,
                **guarded(partial(observe, setting)),
            }


class Calls(AbstractContextManager[None]):
    """Counts the calls of a field, whoever makes them, while its block lasts."""

    def __init__(self, field: nn.Module) -> None:
        self.field, self.count = field, 0

    def __enter__(self) -> None:
        self._hook = self.field.register_forward_pre_hook(self._add)

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _add(self, *_: object) -> None:
        self.count += 1

    def during(self, work: Callable[[], Result]) -> tuple[Result, int]:
        """What the work returns, and how often it has called the field."""
        before = self.count
        return work(), self.count - before


def both_counts(nfe_forward: int, nfe_backward: int) -> dict[str, float]:
    """The columns of both countings, from the evaluations counted apart."""
    logged = logged_forward(nfe_forward, nfe_backward)
    return {
        "nfe_forward": nfe_forward,
        "nfe_backward": nfe_backward,
        "ratio": nfe_backward / nfe_forward,
        "nfe_forward_cumulative": logged,
        "ratio_cumulative": nfe_backward / logged,
    }


def logged_forward(nfe_forward: int, previous_nfe_backward: int) -> int:
    """What the counter behind Fig. 3c shows after a forward pass.

    It was set back between a forward pass and the backward pass that follows, and not again before
    the next batch. The one more is the adjoint's, outside its solve.
    """
    return nfe_forward + previous_nfe_backward + 1
