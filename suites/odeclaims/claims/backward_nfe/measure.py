"""Freeze an untrained or a trained net, and count evaluations on the way there and back."""

from collections.abc import Iterator
from dataclasses import astuple
from functools import cache, partial
from itertools import product

import torch

from neural_ode import Adjoint, Checkpointed
from neural_ode.data import mnist
from neural_ode.networks import OdeClassifier
from neural_ode.training import error_rate
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.backward_nfe.settings import (
    METHODS,
    PUBLISHED,
    SLUG,
    TIGHTEST_SQUARES,
    TRAIN_TOLERANCE,
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
    train,
)
from odeclaims.kits.validity import relative_error, stamp

DATASETS = {"mnist": mnist.DIGEST}

SETTINGS = [
    Setting(factor, norm, loss)
    for factor, norm, loss in product((1, 10, 100), ("rms", "seminorm"), ("mean", "sum", "squares"))
]


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net and whether it is trained; both have the same initial weights.

    Within the minutes of the profile quick no net learns enough to be judged: it has one alone, for
    the picture.
    """
    trained = profile.pick(smoke=1, quick=3, hour=6, paper=5)
    for repetition in profile.repetitions(smoke=1, quick=1, hour=8, paper=8):
        for epochs in (0, trained):
            yield Cell(
                SLUG,
                {
                    "channels": profile.pick(smoke=4, quick=16, hour=32, paper=64),
                    "images": profile.pick(smoke=16, quick=1280, hour=16_384, paper=60_000),
                    "batch_size": profile.pick(smoke=8, quick=16, hour=64, paper=128),
                    "epochs": epochs,
                    "test_images": profile.pick(smoke=20, quick=500, hour=1000, paper=10_000),
                    "evaluated": profile.pick(smoke=4, quick=8, hour=8, paper=128),
                    # The untrained field bends more often.
                    "reference_steps": profile.pick(
                        smoke=16,
                        quick=256 if epochs else 512,
                        hour=256 if epochs else 512,
                        paper=1024,
                    ),
                    "tightest": profile.pick(smoke=2, quick=5, paper=5),
                    "grid": profile.pick(smoke="star", quick="star", hour="star", paper="full"),
                },
                repetition,
                profile.device,
                paired=("epochs", "reference_steps"),
            )


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
    """Train a net or not, freeze it, and count at every method, tolerance and setting."""
    size = cell.params
    generator = cell.generator()
    model = OdeClassifier(
        size["channels"], generator=generator, rtol=TRAIN_TOLERANCE, atol=TRAIN_TOLERANCE
    ).to(cell.device)
    test_error = _train(model, cell, context, generator)
    block = freeze(model, mnist.spread(mnist.load("test"), size["evaluated"]))
    settings = {
        tolerance: _settings(size["grid"], size["epochs"] > 0, tolerance)
        for tolerance in [10.0**-i for i in range(size["tightest"] + 1)]
    }
    truths = _truths(block, settings[1.0], size["reference_steps"])
    return [
        {"test_error": test_error, "method": method, "tolerance": tolerance, **row}
        for method in METHODS
        for tolerance, at_tolerance in settings.items()
        for row in _observe_all(block, method, tolerance, at_tolerance, truths)
    ]


def _train(model: OdeClassifier, cell: Cell, context: Context, generator: torch.Generator) -> float:
    """Train it for the cell's budget, which may be nothing; the test error after that."""
    test = mnist.spread(mnist.load("test"), cell.params["test_images"])
    if not cell.params["epochs"]:
        return error_rate(model, test)
    data = mnist.spread(mnist.load("train"), cell.params["images"])
    schedule = cell.params["epochs"]
    return train(model, data, test, cell, context, generator, schedule=schedule)[-1].test_error


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
