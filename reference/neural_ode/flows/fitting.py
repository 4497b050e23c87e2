"""One resumable training loop for flows, of one model or of many that run as one batch."""

import time
from collections.abc import Callable, Sequence
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
        seconds: all of the training so far, without what ``observe`` and checkpoints took, by the
            clock of the device (``neural_ode.clock``): processor time on a CPU.
        observed: what ``observe`` returned.
    """

    step: int
    losses: list[float]
    seconds: float
    observed: Any = None


def fit(
    model: nn.Module,
    loss: Callable[[int], Float[Tensor, "*runs"]],
    *,
    steps: int,
    optimiser: torch.optim.Optimizer,
    generators: Sequence[torch.Generator],
    record_every: int,
    observe: Callable[[], Any] = lambda: None,
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 60.0,
) -> list[Record]:
    """Take ``steps`` steps of the optimiser down the sum of the losses, in place.

    A checkpoint holds all that the loop depends on, so that on a CPU an interrupted training ends
    with the same bits as one that was not.

    Args:
        model: what is trained.
        loss: the loss of each run, or a single one, at a step from 0. Runs that share no parameters
            are trained by the sum as each would be alone, by any optimiser that works entry by
            entry.
        steps: how many.
        optimiser: one of the model's parameters.
        generators: those from which ``loss`` draws.
        record_every: steps between two records; there is one at the end in any case.
        observe: called at each record; what it returns is kept with it, so it may be made of
            numbers, strings, lists and dictionaries.
        checkpoint: a file to go on from, where it exists, and to keep the state in.
        checkpoint_every_s: seconds of the wall clock between two states kept.

    Returns:
        The records, in their order.

    Raises:
        ValueError: for steps or record_every below 1, or a checkpoint of another training.
    """
    if min(steps, record_every) < 1:
        raise ValueError(
            f"steps and record_every are {steps} and {record_every}, expected at least 1"
        )
    settings = {"steps": steps, "record_every": record_every}
    state = _State(model, optimiser, generators, settings)
    if checkpoint is not None:
        state.load(checkpoint)
    clock = clock_of(next(model.parameters()).device)
    started, saved = clock(), time.perf_counter()
    while state.step < steps:
        losses = loss(state.step)
        optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()
        optimiser.step()
        state.step += 1
        state.total = state.total + losses.detach().reshape(-1)
        if state.step % record_every == 0 or state.step == steps:
            state.seconds += clock() - started
            state.record(observe())
            started = clock()
        if checkpoint is not None and time.perf_counter() - saved >= checkpoint_every_s:
            state.seconds += clock() - started
            state.save(checkpoint)
            started, saved = clock(), time.perf_counter()
    return state.records


class _State:
    """All that the loop depends on between two steps, and what it has recorded."""

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        generators: Sequence[torch.Generator],
        settings: dict[str, int],
    ) -> None:
        self.model, self.optimiser, self.settings = model, optimiser, settings
        self.generators = generators
        self.step, self.seconds = 0, 0.0
        self.total = self.zeros()
        self.records: list[Record] = []

    def record(self, observed: Any) -> None:
        """Write the mean losses since the last record, and begin anew."""
        since = self.records[-1].step if self.records else 0
        losses = (self.total / (self.step - since)).tolist()
        self.records.append(Record(self.step, losses, self.seconds, observed))
        self.total = self.zeros()

    def zeros(self) -> Float[Tensor, " 1"]:
        """Where the sum of the losses begins, on the device of the model."""
        return next(self.model.parameters()).new_zeros(1)

    def save(self, path: Path) -> None:
        """Put the state at ``path`` in one step."""
        content = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generators": [generator.get_state() for generator in self.generators],
            "step": self.step,
            "seconds": self.seconds,
            "total": self.total,
            "records": [tuple(record) for record in self.records],
        }
        save_state(path, self.settings, content)

    def load(self, path: Path) -> None:
        """Take the state from ``path``, if there is one; a file that cannot be read is set aside.

        Raises:
            ValueError: for the state of another training.
        """
        content = load_state(path, self.settings)
        if content is None:
            return
        self.model.load_state_dict(content["model"])
        self.optimiser.load_state_dict(content["optimiser"])
        for generator, kept in zip(self.generators, content["generators"], strict=True):
            generator.set_state(kept)
        self.step, self.seconds, self.total = (content[k] for k in ("step", "seconds", "total"))
        self.records = [Record(*record) for record in content["records"]]
