"""One seeded training loop for classifiers."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def batches(
    count: int, size: int, steps: int, generator: torch.Generator
) -> Iterator[Int[Tensor, " size"]]:
    """Indices of ``steps`` batches: epoch after epoch in a new order, incomplete batches dropped.

    Raises:
        ValueError: for a batch larger than the data.
    """
    if size > count:
        raise ValueError(f"a batch of {size} does not fit into {count} examples")
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < size:
            order = torch.randperm(count, generator=generator)
        batch, order = order[:size], order[size:]
        yield batch


def train_classifier(
    model: nn.Module,
    inputs: Float[Tensor, "examples *features"],
    labels: Int[Tensor, " examples"],
    *,
    steps: int,
    batch_size: int,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Train on the mean cross-entropy; the loss of every step comes back.

    Args:
        model: maps a batch of inputs to logits; it is trained in place, on the device it is on.
        inputs, labels: the examples, on that device.
        steps: the number of updates.
        batch_size: examples in a batch.
        optimiser: an optimiser of the model's parameters.
        generator: orders the batches, on the CPU.
        on_step: called after each update with its number, from 0, and its loss.
    """
    losses = []
    for step, batch in enumerate(batches(len(inputs), batch_size, steps, generator)):
        batch = batch.to(inputs.device)
        optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(inputs[batch]), labels[batch])
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        on_step(step, losses[-1])
    return losses


@torch.no_grad()
def error_rate(
    model: nn.Module,
    inputs: Float[Tensor, "examples *features"],
    labels: Int[Tensor, " examples"],
    *,
    batch_size: int = 1000,
) -> float:
    """The fraction of examples that the model gets wrong."""
    wrong = sum(
        int((model(x).argmax(dim=1) != y).sum())
        for x, y in zip(inputs.split(batch_size), labels.split(batch_size), strict=True)
    )
    return wrong / len(inputs)
