"""The classifiers of Chen et al. 2018, Table 1, with two controls that the table lacks.

All see the same digits in the same order with the same crops. They are trained by the recipe of the
released example (torchdiffeq, ``examples/odenet_mnist.py``), whose 160 epochs are pressed into
fewer: its rate falls at the same parts of the training.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from neural_ode import Adjoint, Backprop
from neural_ode.data import mnist
from neural_ode.networks import OdeClassifier, mlp_classifier, residual_classifier
from neural_ode.training import Batch, error_rate, train_as_published
from odeclaims.cell import Context, Row
from odeclaims.kits.digits import draw, first, frozen_flow
from odeclaims.kits.validity import at_each
from odeclaims.trained.specification import OnUpdate, Recipe, Specification

NAME = "table1"
# The blocks of the residual nets; the cheap ones come first within a seed.
BLOCKS = {"no_block": 0, "one_block": 1, "resnet": 6}
NETS = ("mlp", *BLOCKS, "ode_net", "rk_net")
# A comparison of a net with itself, as that of its evaluations, is decided from six seeds on.
SEEDS = {net: 6 if net == "ode_net" else 5 for net in NETS}
# The tolerance of training, and one at which every solve passes the validity checks.
TOLERANCES = {"loose": 1e-3, "checked": 1e-7}
SIZE = {
    "channels": 64,
    "images": 60_000,
    "test_images": 10_000,
    "batch_size": 128,
    "epochs": 10,
    # Test digits on which the flow of the ODE-Net is looked at, and the steps of its reference.
    "evaluated": 8,
    "reference_steps": 256,
}


def specifications() -> list[Specification]:
    """Every net for each of its seeds."""
    return [
        Specification(NAME, net, seed, SIZE)
        for seed in range(max(SEEDS.values()))
        for net in NETS
        if seed < SEEDS[net]
    ]


def build(specification: Specification) -> nn.Module:
    """The net with its initial weights."""
    net, channels = specification.net, specification.size["channels"]
    generator = specification.weights_generator()
    if net == "mlp":
        return mlp_classifier(generator=generator)
    if net in BLOCKS:
        return residual_classifier(BLOCKS[net], channels, generator=generator)
    gradient = Adjoint() if net == "ode_net" else Backprop()
    tolerance = TOLERANCES["loose"]
    return OdeClassifier(
        channels, generator=generator, gradient=gradient, rtol=tolerance, atol=tolerance
    )


def train(
    specification: Specification, model: nn.Module, context: Context, on_update: OnUpdate
) -> list[Row]:
    """Train a net in place.

    Returns:
        A row an epoch (``kind`` epoch), and for the ODE-Net what its flow costs at either tolerance
        before and after each epoch, with the validity stamp (``kind`` flow).
    """
    size = specification.size
    generator = specification.data_generator()
    data = draw(mnist.load("train"), size["images"], generator)
    test = first(mnist.load("test"), size["test_images"])

    def observe() -> list[Row]:
        return _observe(model, size) if isinstance(model, OdeClassifier) else []

    def on_batch(batch: Batch) -> None:
        on_update((batch.epoch - 1) * batch.batches + batch.number, batch.loss)
        context.tell(batch)

    # When a training goes on, this is done again: it depends on the initial weights alone.
    rows: list[Row] = [
        {"kind": "epoch", "epoch": 0, "test_error": error_rate(model, test)},
        *({"kind": "flow", "epoch": 0, **row} for row in observe()),
    ]
    for epoch in train_as_published(
        model,
        data,
        test,
        schedule=size["epochs"],
        epochs=size["epochs"],
        batch_size=size["batch_size"],
        generator=generator,
        checkpoint=context.checkpoint,
        on_batch=on_batch,
        observe=observe,
    ):
        known = epoch._asdict()
        observed = known.pop("observed")
        rows.append({"kind": "epoch", "epoch": known.pop("number"), **known})
        rows += [{"kind": "flow", "epoch": epoch.number, **row} for row in observed]
    return rows


def _observe(model: OdeClassifier, size: Mapping[str, Any]) -> list[Row]:
    """What a solve of the net as it is now costs at each tolerance, and its validity stamp."""
    digits = mnist.spread(mnist.load("test"), size["evaluated"])
    return at_each(TOLERANCES, frozen_flow(model, digits, size["reference_steps"]).observe)


RECIPE = Recipe(NAME, specifications, build, train)
