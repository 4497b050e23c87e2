"""One seeded training loop for image classifiers, which goes on where it was stopped.

The images stay on the device as bytes, and each batch is cropped there in one operation. A
checkpoint holds all that the loop depends on, the order of the epoch under way included, so that on
a CPU an interrupted run ends with the same bits as one that was not.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, nn

from neural_ode.checkpoint import load_state, save_state
from neural_ode.clock import clock_of
from neural_ode.data.mnist import MNIST, normalised


class Epoch(NamedTuple):
    """What is known of an epoch at its end.

    Attributes:
        number: from 1.
        loss: the mean training loss.
        test_error: the fraction of test images that the model gets wrong.
        nfe_forward, nfe_backward: mean evaluations of a batch; ``None`` for a model without stats,
            the latter also where nothing is evaluated on the way back.
        seconds: the time of the updates, without that of the test and of writing checkpoints, by
            the clock of the device (``neural_ode.clock``): processor time on a CPU.
        observed: what ``observe`` returned.
    """

    number: int
    loss: float
    test_error: float
    nfe_forward: float | None
    nfe_backward: float | None
    seconds: float
    observed: Any = None


class Batch(NamedTuple):
    """Where a training stands after an update; as text it is a line that a person can read.

    Attributes:
        epoch, epochs: the number of the epoch, from 1, and how many there will be.
        number, batches: the same of the batch in its epoch.
        loss: the training loss of the batch.
        test_error: the fraction of test images got wrong after the last whole epoch; ``None``
            before there is one.
        nfe_forward, nfe_backward: evaluations of the batch, where there are any.
        left_s: seconds of the wall clock that the updates still to come take, if each takes the
            mean of those that this process has taken in this epoch.
    """

    epoch: int
    epochs: int
    number: int
    batches: int
    loss: float
    test_error: float | None
    nfe_forward: int | None
    nfe_backward: int | None
    left_s: float

    def __str__(self) -> str:
        parts = [
            f"epoch {self.epoch} of {self.epochs}, batch {self.number} of {self.batches}",
            f"loss {self.loss:.3f}",
        ]
        if self.test_error is not None:
            parts.append(f"test error {100 * self.test_error:.2f}%")
        if self.nfe_forward is not None:
            back = "" if self.nfe_backward is None else f" + {self.nfe_backward} back"
            parts.append(f"NFE {self.nfe_forward}{back}")
        minutes = math.ceil(self.left_s / 60)
        parts.append(f"{minutes // 60} h {minutes % 60:02d} min left")
        return ", ".join(parts)


OnBatch = Callable[[Batch], None]

# The recipe of the released example (torchdiffeq, ``examples/odenet_mnist.py``).
PUBLISHED_EPOCHS = 160
_MOMENTUM, _CROP_PADDING = 0.9, 4


def published_rate(epoch: int, epochs: int = PUBLISHED_EPOCHS) -> float:
    """The learning rate of an epoch, from 0: 0.1, and a tenth of it after 60, 100 and 140 of 160.

    Args:
        epoch: its number, from 0.
        epochs: how many the whole schedule is pressed into.

    Source: torchdiffeq, ``examples/odenet_mnist.py``.
    """
    part = epoch * PUBLISHED_EPOCHS / epochs
    return 0.1 ** (1 + sum(part >= drop for drop in (60, 100, 140)))


def train_classifier(
    model: nn.Module,
    train: MNIST,
    test: MNIST,
    *,
    epochs: int,
    batch_size: int,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    learning_rate: Callable[[int], float] | None = None,
    crop_padding: int = 0,
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 60.0,
    on_batch: OnBatch = lambda batch: None,
    observe: Callable[[], Any] = lambda: None,
) -> list[Epoch]:
    """Train on the mean cross-entropy, in place, and test after every epoch.

    Args:
        model: maps images [batch, 1, 28, 28] to logits; it stays on the device it is on.
        train, test: the images and their labels, moved there.
        epochs: how often each image is seen, but for those of an incomplete batch, which is left
            out.
        batch_size: images in a batch.
        optimiser: an optimiser of the model's parameters.
        generator: orders the images and places the crops, on the CPU.
        learning_rate: that of an epoch, from 0; by default the optimiser's own throughout.
        crop_padding: pixels of zeros around an image, of which a random 28 x 28 is cut out.
        checkpoint: a file to go on from, where it exists, and to keep the state in.
        checkpoint_every_s: seconds of the wall clock between two states kept; one is kept at the
            end of each epoch in any case.
        on_batch: called after each update with where the training stands.
        observe: called at the end of each epoch, when the model has been tested; what it returns
            stands in the history and is kept with it, so it may be made of numbers, strings, lists
            and dictionaries.

    Raises:
        ValueError: for a batch larger than the data, or a checkpoint of another run.
    """
    if batch_size > len(train.images):
        raise ValueError(
            f"a batch of {batch_size} does not fit into {len(train.images)} training images"
        )
    settings = {
        "images": len(train.images),
        "epochs": epochs,
        "batch_size": batch_size,
        "crop_padding": crop_padding,
    }
    device = next(model.parameters()).device
    images, labels = train.images.to(device), train.labels.to(device)
    state = _State(model, optimiser, generator, settings)
    if checkpoint is not None:
        state.load(checkpoint)
    clock, saved = clock_of(device), time.monotonic()
    while len(state.history) < epochs:
        if learning_rate is not None:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(len(state.history))
        if not len(state.order):
            state.order = torch.randperm(len(images), generator=generator)
        while len(state.losses) < len(images) // batch_size:
            started, began = clock(), time.perf_counter()
            position = batch_size * len(state.losses)
            chosen = state.order[position : position + batch_size]
            batch = random_crop(images[chosen.to(device)], crop_padding, generator)
            state.update(normalised(batch), labels[chosen.to(device)])
            state.seconds += clock() - started
            state.waited.append(time.perf_counter() - began)
            on_batch(state.batch())
            if checkpoint is not None and time.monotonic() - saved >= checkpoint_every_s:
                state.save(checkpoint)
                saved = time.monotonic()
        state.end_epoch(error_rate(model, test), observe())
        if checkpoint is not None:
            state.save(checkpoint)
            saved = time.monotonic()
    return state.history


def train_as_published(
    model: nn.Module,
    train: MNIST,
    test: MNIST,
    *,
    schedule: int = PUBLISHED_EPOCHS,
    **settings: Any,
) -> list[Epoch]:
    """Train by the recipe of the released example: SGD with momentum, a falling rate, random crops.

    Args:
        model, train, test: as for ``train_classifier``.
        schedule: the epochs over which the rate falls as it does over 160 in the example.
        settings: its other arguments but for optimiser, rate and crop; ``epochs`` and
            ``batch_size`` are 160 and 128 in the example.

    Source: torchdiffeq, ``examples/odenet_mnist.py``.
    """
    return train_classifier(
        model,
        train,
        test,
        optimiser=torch.optim.SGD(model.parameters(), lr=published_rate(0), momentum=_MOMENTUM),
        learning_rate=partial(published_rate, epochs=schedule),
        crop_padding=_CROP_PADDING,
        **settings,
    )


@dataclass
class _State:
    """All that the loop depends on between two batches, and what it has seen of the epoch."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    settings: dict[str, int]
    order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    losses: list[float] = field(default_factory=list)
    evaluations: list[list[int | None]] = field(default_factory=list)
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    # Wall-clock seconds of each update of this process in the epoch; they are not kept.
    waited: list[float] = field(default_factory=list)

    def update(self, images: Tensor, labels: Tensor) -> None:
        """One step of the optimiser."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(self.model(images), labels)
        loss.backward()
        self.optimiser.step()
        self.losses.append(loss.item())
        stats = getattr(self.model, "stats", None)
        if stats is not None:
            self.evaluations.append([stats.nfe_forward, stats.nfe_backward])

    def batch(self) -> Batch:
        """Where the training stands after the last update."""
        forward, backward = self.evaluations[-1] if self.evaluations else (None, None)
        epochs, batches = (
            self.settings["epochs"],
            self.settings["images"] // self.settings["batch_size"],
        )
        left = (epochs - len(self.history)) * batches - len(self.losses)
        return Batch(
            epoch=len(self.history) + 1,
            epochs=epochs,
            number=len(self.losses),
            batches=batches,
            loss=self.losses[-1],
            test_error=self.history[-1].test_error if self.history else None,
            nfe_forward=forward,
            nfe_backward=backward,
            left_s=left * sum(self.waited) / len(self.waited),
        )

    def end_epoch(self, test_error: float, observed: Any) -> None:
        """Write the epoch into the history and make ready for the next."""
        forward, backward = (_mean([pair[i] for pair in self.evaluations]) for i in range(2))
        self.history.append(
            Epoch(
                number=len(self.history) + 1,
                loss=sum(self.losses) / len(self.losses),
                test_error=test_error,
                nfe_forward=forward,
                nfe_backward=backward,
                seconds=self.seconds,
                observed=observed,
            )
        )
        self.order, self.seconds = self.order[:0], 0.0
        self.losses.clear()
        self.evaluations.clear()
        self.waited.clear()

    def save(self, path: Path) -> None:
        """Put the state at ``path`` in one step."""
        content = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "order": self.order,
            "losses": self.losses,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "history": [tuple(epoch) for epoch in self.history],
        }
        save_state(path, self.settings, content)

    def load(self, path: Path) -> None:
        """Take the state from ``path``, if there is one.

        A file that cannot be read is set aside with a warning.

        Raises:
            ValueError: for the state of a run with other settings.
        """
        content = load_state(path, self.settings)
        if content is None:
            return
        self.model.load_state_dict(content["model"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.generator.set_state(content["generator"].cpu())
        self.order, self.losses = content["order"].cpu(), content["losses"]
        self.evaluations, self.seconds = content["evaluations"], content["seconds"]
        self.history = [Epoch(*epoch) for epoch in content["history"]]


def _mean(values: list[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def random_crop(
    images: UInt8[Tensor, "batch height width"], padding: int, generator: torch.Generator
) -> UInt8[Tensor, "batch height width"]:
    """A random window of each image's own size, out of the image with ``padding`` zeros around it.

    Every image has a window of its own, all cut out in one operation on the images' device.
    """
    if padding == 0:
        return images
    count, height, width = images.shape
    padded = nn.functional.pad(images, (padding,) * 4)
    corners = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
    rows, columns = (
        (corner + torch.arange(size)).to(images.device)
        for corner, size in zip(corners, (height, width), strict=True)
    )
    which = torch.arange(count, device=images.device)[:, None, None]
    return padded[which, rows[:, :, None], columns[:, None, :]]


@torch.no_grad()
def predict(
    model: nn.Module, images: UInt8[Tensor, "count height width"], *, batch_size: int = 1000
) -> Int64[Tensor, " count"]:
    """The class that the model finds most likely, ``batch_size`` images at a time."""
    device = next(model.parameters()).device
    parts = [model(normalised(part.to(device))).argmax(dim=1) for part in images.split(batch_size)]
    return torch.cat(parts)


def error_rate(model: nn.Module, data: MNIST, *, batch_size: int = 1000) -> float:
    """The fraction of images that the model gets wrong, ``batch_size`` of them at a time."""
    predicted = predict(model, data.images, batch_size=batch_size)
    wrong = int((predicted != data.labels.to(predicted.device)).sum())
    return wrong / len(data.images)
