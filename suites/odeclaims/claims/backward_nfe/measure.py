"""Freeze an ODE-Net, untrained or trained, and count evaluations on the way there and back."""

from collections.abc import Iterator
from dataclasses import astuple
from functools import cache, partial
from itertools import product

from neural_ode import Adjoint, Checkpointed
from neural_ode.data import mnist
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.backward_nfe.settings import (
    METHODS,
    PUBLISHED,
    SLUG,
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

SETTINGS = [
    Setting(factor, norm, loss)
    for factor, norm, loss in product((1, 10, 100), ("rms", "seminorm"), ("mean", "sum", "squares"))
]


def cells(profile: Profile) -> Iterator[Cell]:
    """Two cells for each net: one before its training and one after."""
    params = {
        "tightest": profile.pick(smoke=2, quick=5, paper=5),
        "grid": profile.pick(smoke="star", quick="star", paper="full"),
    }
    for trained in (False, True):
        yield from network_cells(profile, SLUG, trained=trained, **params)


def _settings(grid: str, trained: bool, tolerance: float) -> list[Setting]:
    """The settings of a net at a forward tolerance; that it is untrained counts as one change."""
    possible = [s for s in SETTINGS if s.adjoint_factor * tolerance <= 1]
    if grid == "full":
        return possible
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
        tolerance: _settings(size["grid"], size["trained"], tolerance)
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
    solver = at(tolerance, method=method)

    @cache
    def reconstruct() -> float:
        return block.reconstruction_error(**solver)

    @cache
    def forward(looser: float, norm: Norm) -> ForwardPass:
        return block.forward(gradient=Adjoint(rtol=looser, atol=looser, norm=norm), **solver)

    def observe(setting: Setting) -> Row:
        solved = forward(setting.adjoint_factor * tolerance, setting.norm)
        truth = truths[setting.loss]
        gradient_error = relative_error(solved.gradient(setting.loss), truth.gradient)
        # The backward pass has run, so that there is a count of it.
        stats = solved.solution.stats
        counts = both_counts(stats.nfe_forward, stats.nfe_backward or 0)
        return {**counts, **stamp(reconstruct(), gradient_error, truth.error)}

    for setting in settings:
        yield {
            "adjoint_factor": setting.adjoint_factor,
            "adjoint_tolerance": setting.adjoint_factor * tolerance,
            "norm": setting.norm,
            "loss": setting.loss,
            **guarded(partial(observe, setting)),
        }


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
