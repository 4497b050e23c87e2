"""Train a net and test it after every epoch, or measure what one update of it costs."""

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
from neural_ode.networks import OdeClassifier, mlp_classifier, residual_classifier
from neural_ode.training import PUBLISHED_EPOCHS
from odeclaims.cell import Cell, Context, Profile, Row, digest, guarded
from odeclaims.claims.mnist_classifiers.settings import (
    ALL_IMAGES,
    COMPARED,
    COST_REPEATS,
    NETS,
    SLUG,
    TOLERANCE,
)
from odeclaims.kits import digits
from odeclaims.kits.timers import durations
from odeclaims.kits.validity import relative_error, stamp

DATASETS = {"mnist": mnist.DIGEST}

# What two cores manage in an hour, all six nets and eight seeds taken together.
HOUR_EPOCHS = 6
# Test digits whose flow and gradient are checked, and the steps of the gradient's reference.
CHECKED = 8
REFERENCE_STEPS = 64


def cells(profile: Profile) -> Iterator[Cell]:
    """One cell for each net and seed, and one for each net and size whose cost is measured.

    Under the profile quick nothing is trained: within its minutes no net learns enough for error
    rates to be compared.
    """
    if profile.name != "quick":
        yield from _trainings(profile)
    cost = {
        "kind": "cost",
        "channels": profile.pick(smoke=4, quick=32, hour=32, paper=64),
        "batch_size": profile.pick(smoke=2, quick=16, hour=16, paper=128),
    }
    sizes = profile.pick(smoke=(1, 2), quick=(1, 2, 4, 8, 16, 32), paper=(1, 2, 4, 8, 16, 32))
    for net in COMPARED:
        for size in sizes:
            yield _cell(profile, 0, net, "conv", {**cost, "size": size})
    yield _cell(profile, 0, "no_block", "conv", {**cost, "size": 0})


def _trainings(profile: Profile) -> Iterator[Cell]:
    training = {
        "kind": "training",
        "channels": profile.pick(smoke=4, quick=32, hour=32, paper=64),
        "images": profile.pick(smoke=16, quick=16_384, hour=16_384, paper=ALL_IMAGES),
        "test_images": profile.pick(smoke=16, quick=10_000, paper=10_000),
        "batch_size": profile.pick(smoke=8, quick=64, hour=64, paper=128),
        "epochs": profile.pick(
            smoke=1, quick=HOUR_EPOCHS, hour=HOUR_EPOCHS, paper=PUBLISHED_EPOCHS
        ),
    }
    if profile.name == "hour":
        training["schedule"] = HOUR_EPOCHS
    stems = ("conv", "res") if profile.name == "paper" else ("conv",)
    for repetition in profile.repetitions(smoke=1, quick=8, paper=8):
        for downsampling in stems:
            for net in NETS:
                if net == "mlp" and downsampling == "res":
                    continue
                yield _cell(profile, repetition, net, downsampling, training)


def _cell(
    profile: Profile, repetition: int, net: str, downsampling: str, params: dict[str, Any]
) -> Cell:
    return Cell(
        SLUG,
        {"net": net, "downsampling": downsampling, **params},
        repetition,
        profile.device,
        paired=("net", "downsampling", "size"),
    )


def alone(cell: Cell) -> bool:
    """Whether nothing else may run beside the cell, since times are measured.

    Two kinds of training are excepted. In the profile hour, the one with a schedule, both cores
    have to train, each a net of its own. A GPU is not filled by one such net.
    """
    beside = "schedule" in cell.params or cell.device.startswith("cuda")
    return cell.params["kind"] == "cost" or not beside


@dataclass(frozen=True)
class Spec:
    """What a net is made of beside its kind.

    Attributes:
        channels: of the feature maps.
        downsampling: the stem, conv or res.
        size: residual blocks or steps of rk4; by default those of the published nets.
    """

    channels: int
    downsampling: str
    size: int | None = None

    def build(self, net: str, generator: torch.Generator) -> nn.Module:
        """The net, its weights from the generator."""
        blocks = {"resnet": self.size or 6, "one_block": 1, "no_block": 0}
        if net == "mlp":
            return mlp_classifier(generator=generator)
        common = {"downsampling": self.downsampling, "generator": generator}
        if net in blocks:
            return residual_classifier(blocks[net], self.channels, **common)
        gradient = Adjoint() if net == "ode_net" else Backprop()
        return OdeClassifier(self.channels, gradient=gradient, **common, **self.solver)

    @property
    def solver(self) -> dict[str, Any]:
        """How the flow is solved: adaptively, or in as many steps as the size says."""
        if self.size:
            return {"method": "rk4", "step_size": 1 / self.size}
        return {"rtol": TOLERANCE, "atol": TOLERANCE}


def measure(cell: Cell, context: Context) -> list[Row]:
    """The epochs of one training, or the cost of one update."""
    if cell.params["kind"] == "training":
        return _train(cell, context)
    return [guarded(lambda: _cost(cell))]


def _data_generator(cell: Cell) -> torch.Generator:
    """A generator for the images alone: their choice, order and crops.

    The cell's own makes the weights, of which nets of different architecture take different counts.
    Were it to go on with the images, each net would see others.
    """
    return torch.Generator().manual_seed(int(digest("data", cell.seed), 16) >> 1)


def _train(cell: Cell, context: Context) -> list[Row]:
    params, generator = cell.params, _data_generator(cell)
    spec = Spec(params["channels"], params["downsampling"])
    model = spec.build(str(params["net"]), cell.generator()).to(cell.device)
    data = digits.draw(mnist.load("train"), params["images"], generator)
    test = digits.first(mnist.load("test"), params["test_images"])
    schedule = params.get("schedule", PUBLISHED_EPOCHS)
    history = digits.train(model, data, test, cell, context, generator, schedule=schedule)
    count = sum(p.numel() for p in model.parameters())
    rows: list[Row] = [
        {
            "epoch": epoch.number,
            "parameters": count,
            "loss": epoch.loss,
            "test_error": epoch.test_error,
            "nfe_forward": epoch.nfe_forward,
            "nfe_backward": epoch.nfe_backward,
            "time_s": epoch.seconds,
        }
        for epoch in history
    ]
    batch = digits.first(data, params["batch_size"])
    rows[-1]["peak_saved_bytes"] = _peak_saved_bytes(model, batch, cell.device)
    if isinstance(model, OdeClassifier):
        rows[-1].update(_stamp(model, spec.solver, digits.first(test, CHECKED)))
    return rows


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


def _stamp(model: OdeClassifier, solver: dict[str, Any], data: MNIST) -> Row:
    """The stamp of the trained flow, on a few test digits."""
    block = digits.freeze(model, data)
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
    spec = Spec(params["channels"], params["downsampling"], params["size"])
    model = spec.build(str(params["net"]), cell.generator()).to(cell.device)
    data = digits.draw(mnist.load("train"), params["batch_size"], _data_generator(cell))
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
