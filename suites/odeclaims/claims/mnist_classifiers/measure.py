"""Evaluate trained nets on the test digits; measure what an update of an untrained one costs."""

import gc
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode import Adjoint, Backprop
from neural_ode.data import MNIST, mnist
from neural_ode.memory import SavedBytes
from neural_ode.networks import OdeClassifier, residual_classifier
from neural_ode.training import PUBLISHED_EPOCHS, predict
from odeclaims.cell import Cell, Context, Profile, Row, guarded
from odeclaims.claims.mnist_classifiers.settings import (
    ALL_IMAGES,
    ALL_TESTS,
    COMPARED,
    COST_REPEATS,
    NETS,
    RECIPE,
    SLUG,
    TOLERANCE,
)
from odeclaims.kits import digits
from odeclaims.kits.timers import durations
from odeclaims.kits.validity import relative_error, stamp
from odeclaims.trained.provide import provide, published
from odeclaims.trained.specification import Specification
from odeclaims.trained.store import Network

DATASETS = {"mnist": mnist.DIGEST}

# Test digits whose flow and gradient are checked, and the steps of the gradient's reference.
CHECKED = 8
REFERENCE_STEPS = 64


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each trained net, and one for each net and size whose cost is measured.

    The profiles quick and hour evaluate the published nets; smoke and paper train their own.
    """
    yield from _networks(profile)
    cost = {
        "kind": "cost",
        "channels": profile.pick(smoke=4, quick=32, hour=32, paper=64),
        "batch_size": profile.pick(smoke=2, quick=16, hour=16, paper=128),
    }
    sizes = profile.pick(smoke=(1, 2), quick=(1, 2, 4, 8, 16, 32), paper=(1, 2, 4, 8, 16, 32))
    for net in COMPARED:
        for size in sizes:
            yield _cell(profile, net, {**cost, "size": size})
    yield _cell(profile, "no_block", {**cost, "size": 0})


def _networks(profile: Profile) -> Iterator[Cell]:
    if profile.name in ("quick", "hour"):
        for specification, weights in published(RECIPE):
            yield _network_cell(profile, specification, weights)
        return
    size = {
        "channels": profile.pick(smoke=4, quick=0, paper=64),
        "images": profile.pick(smoke=16, quick=0, paper=ALL_IMAGES),
        "test_images": profile.pick(smoke=16, quick=0, paper=ALL_TESTS),
        "batch_size": profile.pick(smoke=8, quick=0, paper=128),
        "epochs": profile.pick(smoke=1, quick=0, paper=PUBLISHED_EPOCHS),
        "evaluated": profile.pick(smoke=2, quick=0, paper=8),
        "reference_steps": profile.pick(smoke=4, quick=0, paper=256),
    }
    for seed in profile.repetitions(smoke=1, quick=0, paper=8):
        for net in NETS:
            yield _network_cell(profile, Specification(RECIPE, net, seed, size), "")


def _network_cell(profile: Profile, specification: Specification, weights: str) -> Cell:
    params = {"kind": "network", "net": specification.net, "weights": weights}
    return Cell(SLUG, {**params, **specification.size}, specification.seed, profile.device)


def _cell(profile: Profile, net: str, params: dict[str, Any]) -> Cell:
    return Cell(SLUG, {"net": net, **params}, 0, profile.device, paired=("net", "size"))


def alone(cell: Cell) -> bool:
    """Whether nothing else may run beside the cell, since times are measured."""
    return cell.params["kind"] == "cost"


@dataclass(frozen=True)
class Spec:
    """An untrained net whose depth is known.

    Attributes:
        channels: of the feature maps.
        size: residual blocks or steps of rk4.
    """

    channels: int
    size: int

    def build(self, net: str, generator: torch.Generator) -> nn.Module:
        """The net, its weights from the generator."""
        if net in ("resnet", "no_block"):
            return residual_classifier(self.size, self.channels, generator=generator)
        gradient = Adjoint() if net == "ode_net" else Backprop()
        solver = {"method": "rk4", "step_size": 1 / self.size, "gradient": gradient}
        return OdeClassifier(self.channels, generator=generator, **solver)


def measure(cell: Cell, context: Context) -> list[Row]:
    """A trained net on the test digits with the history of its training, or an update's cost."""
    if cell.params["kind"] == "cost":
        return [guarded(lambda: _cost(cell))]
    names = ("kind", "net", "weights")
    size = {name: value for name, value in cell.params.items() if name not in names}
    specification = Specification(RECIPE, cell.params["net"], cell.repetition, size)
    network = provide(specification, cell.params["weights"], context, cell.device)
    return [*_history(network), _evaluate(network, cell)]


def _history(network: Network) -> list[Row]:
    """The epochs of the training, of which the first is before it."""
    epochs = network.history[network.history["kind"] == "epoch"]
    columns = {
        "epoch": "epoch",
        "loss": "loss",
        "test_error": "test_error",
        "nfe_forward": "nfe_forward",
        "nfe_backward": "nfe_backward",
        "seconds": "time_s",
    }
    known = epochs.reindex(columns=list(columns)).rename(columns=columns)
    rows = known.astype(object).where(known.notna(), None).to_dict("records")
    return [{"kind": "training", **{str(name): row[name] for name in row}} for row in rows]


def _evaluate(network: Network, cell: Cell) -> Row:
    """What the net gets wrong of the test digits, what it holds in an update, and its stamp."""
    size, model = cell.params, network.model.to(cell.device)
    test = digits.first(mnist.load("test"), size["test_images"])
    wrong = (predict(model, test.images).cpu() != test.labels).nonzero()[:, 0].tolist()
    batch = digits.first(mnist.load("train"), size["batch_size"])
    row: Row = {
        "test_error": len(wrong) / len(test.labels),
        # The places of the digits, as one text: a cell of a table holds no list.
        "wrong": " ".join(map(str, wrong)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "core_hours": network.record["core_hours"],
        "peak_saved_bytes": _peak_saved_bytes(model, batch, cell.device),
    }
    if isinstance(model, OdeClassifier) and model.stats:
        row |= {
            "nfe_forward": model.stats.nfe_forward,
            "nfe_backward": model.stats.nfe_backward,
            **_stamp(model, digits.first(test, CHECKED)),
        }
    return row


def _loss(model: nn.Module, data: MNIST, device: str) -> Float[Tensor, ""]:
    logits = model(mnist.normalised(data.images.to(device)))
    return nn.functional.cross_entropy(logits, data.labels.to(device))


def _peak_saved_bytes(model: nn.Module, data: MNIST, device: str) -> int:
    """The most bytes held for the backward pass while a batch goes through and back."""
    gc.collect()
    with SavedBytes(ignore=model.parameters()) as meter:
        _loss(model, data, device).backward()
    model.zero_grad(set_to_none=True)
    return meter.peak


def _stamp(model: OdeClassifier, data: MNIST) -> Row:
    """The stamp of the trained flow, on a few test digits."""
    solver, block = {"rtol": TOLERANCE, "atol": TOLERANCE}, digits.freeze(model, data)
    gradient = block.forward(**solver, gradient=model.block.solver["gradient"]).gradient()
    reference = digits.references(block, REFERENCE_STEPS, method="rk4")["mean"]
    return {
        **stamp(
            block.reconstruction_error(**solver),
            relative_error(gradient, reference.gradient),
            reference.error,
        )
    }


def _cost(cell: Cell) -> Row:
    """Bytes and seconds of one forward and backward pass of an untrained net."""
    params = cell.params
    generator = cell.generator()
    spec = Spec(params["channels"], params["size"])
    data = digits.draw(mnist.load("train"), params["batch_size"], generator)
    model = spec.build(str(params["net"]), generator).to(cell.device)
    peak = _peak_saved_bytes(model, data, cell.device)
    stats = getattr(model, "stats", None)
    times = durations(
        lambda: _loss(model, data, cell.device).backward(), cell.device, least=COST_REPEATS
    )
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "nfe_forward": stats.nfe_forward if stats else None,
        "nfe_backward": stats.nfe_backward if stats else None,
        "peak_saved_bytes": peak,
        "time_s": statistics.median(times),
    }
