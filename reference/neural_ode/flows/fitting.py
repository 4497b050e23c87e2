"""One resumable training loop for flows: of one model, of many in a batch, of several in turns."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neural_ode.checkpoint import load_state, save_state
from neural_ode.clock import clock_of


class Record(NamedTuple):
    """What is known of a stretch of training at its end.

    Attributes:
        step: how many steps have been taken.
        losses: the mean loss of the stretch, one for each run.
        seconds: all of the training's steps so far, by the clock of the device
            (``neural_ode.clock``): processor time on a CPU.
        observed: what ``observe`` returned.
    """

    step: int
    losses: list[float]
    seconds: float
    observed: Any = None


class Training:
    """The training of a model in place, down the sum of its losses, step by step.

    Args:
        model: what is trained.
        loss: the loss of each run, or a single one, at a step from 0. Runs that share no parameters
            are trained by the sum as each would be alone, by any optimiser that works entry by
            entry.
        steps: how many there are to take.
        optimiser: one of the model's parameters.
        generators: those from which ``loss`` draws.
        record_every: steps between two records; there is one at the end in any case.
        observe: called at each record; what it returns is kept with it, so it may be made of
            numbers, strings, lists and dictionaries.

    Attributes:
        records: those of the steps so far, in their order.

    Raises:
        ValueError: for steps or record_every below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[int], Float[Tensor, "*runs"]],
        *,
        steps: int,
        optimiser: torch.optim.Optimizer,
        generators: Sequence[torch.Generator],
        record_every: int,
        observe: Callable[[], Any] = lambda: None,
    ) -> None:
        if min(steps, record_every) < 1:
            raise ValueError(
                f"steps and record_every are {steps} and {record_every}, expected at least 1"
            )
        self.model, self.loss, self.optimiser = model, loss, optimiser
        self.steps, self.record_every, self.observe = steps, record_every, observe
        self.generators = generators
        self.step, self.seconds = 0, 0.0
        self.records: list[Record] = []
        self._parameter = next(model.parameters())
        self._clock = clock_of(self._parameter.device)
        self._total = self._zeros()

    def take_step(self) -> None:
        """Take the next step of the optimiser; what ``observe`` takes does not count as time."""
        started = self._clock()
        losses = self.loss(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimiser.step()
        self._total = self._total + losses.detach().reshape(-1)
        self.step += 1
        self.seconds += self._clock() - started
        if self.step % self.record_every == 0 or self.step == self.steps:
            self._record(self.observe())

    def _record(self, observed: Any) -> None:
        """Write the mean losses since the last record, and begin anew."""
        since = self.records[-1].step if self.records else 0
        losses = (self._total / (self.step - since)).tolist()
        self.records.append(Record(self.step, losses, self.seconds, observed))
        self._total = self._zeros()

    def _zeros(self) -> Float[Tensor, " 1"]:
        """Where the sum of the losses begins, on the device of the model."""
        return self._parameter.new_zeros(1)

    def state(self) -> dict[str, Any]:
        """All that the steps to come depend on, and the records of those that were taken."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generators": [generator.get_state() for generator in self.generators],
            "step": self.step,
            "seconds": self.seconds,
            "total": self._total,
            "records": [tuple(record) for record in self.records],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state``."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        for generator, kept in zip(self.generators, state["generators"], strict=True):
            generator.set_state(kept)
        self.step, self.seconds, self._total = (state[k] for k in ("step", "seconds", "total"))
        self.records = [Record(*record) for record in state["records"]]


def fit(
    *trainings: Training,
    turns: int = 1,
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 60.0,
) -> None:
    """Take all steps of one training, or of several in turns.

    Trainings whose times are compared take turns: whatever else the machine does then slows all of
    them alike. A checkpoint holds all that the steps depend on, so that on a CPU an interrupted
    training ends with the same bits as one that was not.

    Args:
        trainings: what is trained; each takes its share of its steps in each turn.
        turns: how many there are.
        checkpoint: a file to go on from, where it exists, and to keep the states in. A file that
            cannot be read is set aside.
        checkpoint_every_s: seconds of the wall clock between two states kept.

    Raises:
        ValueError: for fewer turns than one, or a checkpoint of other trainings.
    """
    if turns < 1:
        raise ValueError(f"turns is {turns}, expected at least 1")
    settings = {
        name: [getattr(training, name) for training in trainings]
        for name in ("steps", "record_every")
    }
    known = None if checkpoint is None else load_state(checkpoint, settings)
    for training, state in zip(trainings, known["trainings"] if known else (), strict=False):
        training.restore(state)
    saved = time.perf_counter()
    for turn in range(1, turns + 1):
        for training in trainings:
            while training.step < training.steps * turn // turns:
                training.take_step()
                if checkpoint is not None and time.perf_counter() - saved >= checkpoint_every_s:
                    states = [training.state() for training in trainings]
                    save_state(checkpoint, settings, {"trainings": states})
                    saved = time.perf_counter()
