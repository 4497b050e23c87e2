"""NODE and ANODE on digits of 14 x 14 pixels: a reduced arm of Dupont et al. 2019, sec. 5.

At the published size, 28 x 28 pixels, 92 and 64 filters and 20 epochs of 60,000 images, one NODE
takes two cores some two hours an epoch. Here the pixels are means of 2 x 2, and the filters are
scaled so that both nets have equally many parameters: 22,040 and 22,039. The rest is the published
recipe: fields that do not see the time, Adam at 1e-3, dopri5 at 1e-3. Gradients are those of the
computed steps.
"""

import torch
from torch import nn

from neural_ode import Backprop
from neural_ode.data import mnist
from neural_ode.networks import ImageOdeModel
from neural_ode.training import Batch, train_classifier
from odeclaims.cell import Context, Row
from odeclaims.trained.specification import OnUpdate, Recipe, Specification

NAME = "small_digits"
SEEDS = 6
TOLERANCE, STEP_LIMIT, LEARNING_RATE = 1e-3, 1000, 1e-3
# So many pixels of a side become one.
SHRINK = 2
# Channels of filters, and channels of zeros that are appended.
NETS = {"node": {"filters": 47, "augment_dim": 0}, "anode": {"filters": 33, "augment_dim": 5}}
SIZE = {"images": 12_000, "test_images": 10_000, "batch_size": 64, "epochs": 5}


def specifications() -> list[Specification]:
    """Both nets for every seed."""
    return [
        Specification(NAME, net, seed, {**widths, **SIZE})
        for seed in range(SEEDS)
        for net, widths in NETS.items()
    ]


def build(specification: Specification) -> ImageOdeModel:
    """The net with its initial weights."""
    return ImageOdeModel(
        specification.size["filters"],
        augment_dim=specification.size["augment_dim"],
        shrink=SHRINK,
        generator=specification.weights_generator(),
        gradient=Backprop(),
        rtol=TOLERANCE,
        atol=TOLERANCE,
        max_num_steps=STEP_LIMIT,
    )


def train(
    specification: Specification, model: nn.Module, context: Context, on_update: OnUpdate
) -> list[Row]:
    """Train a net in place; a row an epoch."""
    size = specification.size

    def on_batch(batch: Batch) -> None:
        on_update((batch.epoch - 1) * batch.batches + batch.number, batch.loss)
        context.tell(batch)

    history = train_classifier(
        model,
        mnist.spread(mnist.load("train"), size["images"]),
        mnist.spread(mnist.load("test"), size["test_images"]),
        epochs=size["epochs"],
        batch_size=size["batch_size"],
        optimiser=torch.optim.Adam(model.parameters(), lr=LEARNING_RATE),
        generator=specification.data_generator(),
        checkpoint=context.checkpoint,
        on_batch=on_batch,
    )
    return [
        {
            "kind": "epoch",
            "epoch": epoch.number,
            "loss": epoch.loss,
            "test_error": epoch.test_error,
            "nfe_forward": epoch.nfe_forward,
            "seconds": epoch.seconds,
        }
        for epoch in history
    ]


RECIPE = Recipe(NAME, specifications, build, train)
