"""Train a network in this process, and repeat the first updates of one that was trained."""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from neural_ode import SolverFailure
from odeclaims.cell import Context, Row
from odeclaims.trained.recipes import recipe_of
from odeclaims.trained.specification import Specification
from odeclaims.trained.store import Network

# So many first losses are recorded with a network and compared when its training is repeated.
FIRST_UPDATES = 100
# The largest relative difference between a first loss and its repetition on another machine, where
# sums are rounded in another order.
REPLAY_WITHIN = 0.02
# Codes of mallopt in the GNU C library, and the largest threshold that it takes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _LARGEST_MMAP = -1, -3, 32 * 2**20


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, where it can be told to.

    It gives large blocks back to the system, which then clears every page of the next one: for the
    22 MB feature maps of the stem a quarter of a training step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def train_here(specification: Specification, context: Context, device: str = "cpu") -> Network:
    """Train a network for a measurement; nothing is published.

    Args:
        specification: the network.
        context: keeps the state of the training, and is told how far it is.
        device: a torch device.

    Raises:
        SolverFailure: where a solve fails.
    """
    recipe = recipe_of(specification)
    model = recipe.build(specification).to(device)
    history = recipe.train(specification, model, context, lambda number, loss: None)
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    record = {"core_hours": core_hours(history), "weights_sha256": ""}
    return Network(specification, weights, pd.DataFrame(history), record)


def core_hours(history: Sequence[Row]) -> float:
    """The time of all updates in hours of one core."""
    return round(sum(float(row.get("seconds") or 0) for row in history) / 3600, 4)


@dataclass(frozen=True)
class Replay:
    """The first losses of a training, recorded and repeated by today's code.

    Attributes:
        name: of the network.
        recorded, repeated: the losses, in the order of the updates.
        failure: why a solve of the repetition failed, if it did.
    """

    name: str
    recorded: Sequence[float]
    repeated: Sequence[float]
    failure: str = ""

    @property
    def difference(self) -> float:
        """The largest relative difference; infinite where a loss is not a number, or lacks."""
        if len(self.repeated) < len(self.recorded):
            return math.inf
        pairs = zip(self.recorded, self.repeated, strict=True)
        relative = [0.0 if a == b else abs(a - b) / abs(a) if a else math.inf for a, b in pairs]
        return max(relative) if all(map(math.isfinite, relative)) else math.inf

    @property
    def agrees(self) -> bool:
        """Whether they differ by no more than rounding explains."""
        return self.difference <= REPLAY_WITHIN

    def __str__(self) -> str:
        says = "agree" if self.agrees else "do not agree"
        return (
            f"{self.name}: the first {len(self.recorded)} losses {says} with the recorded ones;"
            f" {self._reason}"
        )

    @property
    def _reason(self) -> str:
        if len(self.repeated) < len(self.recorded):
            ended = f"the training ended after {len(self.repeated)} updates"
            return f"{ended}, where a solve failed: {self.failure}" if self.failure else ended
        for number, (before, now) in enumerate(zip(self.recorded, self.repeated, strict=True), 1):
            if not math.isfinite(now):
                return f"loss {number} is {now:g}, {before:.3g} is expected"
        return (
            f"the largest relative difference is {self.difference:.2g}, at most {REPLAY_WITHIN:g}"
            " is expected"
        )


class _Enough(Exception):
    """Ends a training after the updates that are compared."""


def replay(specification: Specification, recorded: Sequence[float]) -> Replay:
    """Train the first updates of a network again, from its seed, with today's code.

    Args:
        specification: the network.
        recorded: the losses of its first updates.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    recipe = recipe_of(specification)
    repeated: list[float] = []

    def on_update(number: int, loss: float) -> None:
        repeated.append(loss)
        if number == len(recorded):
            raise _Enough

    failure = ""
    try:
        recipe.train(specification, recipe.build(specification), Context(), on_update)
    except _Enough:
        pass
    except SolverFailure as error:
        failure = str(error)
    return Replay(specification.name, recorded, repeated, failure)
