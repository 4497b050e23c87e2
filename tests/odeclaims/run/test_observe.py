"""What a worker does with one cell; whole runs are tested as processes in ``cli``."""

import io
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from neural_ode.data import MNIST
from neural_ode.networks import OdeClassifier
from neural_ode.training import train_classifier
from odeclaims.cell import Cell, Context
from odeclaims.record.cells import CellStore
from odeclaims.run.observe import measure_and_keep
from odeclaims.run.progress import progress_bar, read_states

CELL = Cell("toy", {"x": 1})
CODE = {"commit": None, "clean_tree": False}


def keep(measure: Callable, out: Path, cell: Cell = CELL) -> tuple[str, str]:
    """Measure a cell and keep it under the key "key"."""
    return measure_and_keep(measure, cell, "key", 600.0, CellStore(out), CODE, code_changed=bool)


def leave_a_checkpoint(cell: Cell, context: Context) -> list[dict]:
    assert context.checkpoint is not None
    context.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    context.checkpoint.write_text("half way")
    return [{"y": 2}]


def test_the_checkpoint_of_a_finished_cell_is_deleted(tmp_path):
    store = CellStore(tmp_path)
    assert keep(leave_a_checkpoint, tmp_path) == ("key", "")
    record, problem = store.read(CELL, "key")
    assert problem == ""
    assert record is not None
    assert "checkpoint" not in record["cell"]
    assert {name: record[name] for name in CODE} == CODE
    assert [path.name for path in store.path(CELL, "key").parent.iterdir()] == ["key.json"]


def test_the_checkpoint_of_a_cell_that_failed_is_kept(tmp_path):
    def fail(cell: Cell, context: Context) -> list[dict]:
        leave_a_checkpoint(cell, context)
        raise RuntimeError("power cut")

    _, sentence = keep(fail, tmp_path)
    assert "RuntimeError: power cut" in sentence
    kept = CellStore(tmp_path).path(CELL, "key").with_suffix(".checkpoint")
    assert kept.read_text() == "half way"


def test_the_duration_is_that_of_the_processor_with_its_children(tmp_path):
    """So other work on the machine, which makes a cell wait, does not lengthen it."""
    burn = "import time\nwhile time.process_time() < 0.3: pass"

    def wait(cell: Cell, context: Context) -> list[dict]:
        time.sleep(0.5)
        return []

    def compile_something(cell: Cell, context: Context) -> list[dict]:
        subprocess.run([sys.executable, "-c", burn], check=True)
        return []

    def duration(measure: Callable) -> float:
        out = tmp_path / measure.__name__
        assert keep(measure, out) == ("key", "")
        record, _ = CellStore(out).read(CELL, "key")
        assert record is not None
        return record["duration_s"]

    assert duration(wait) < 0.3 <= duration(compile_something)


def test_a_cell_says_how_far_it_is_while_it_runs_and_then_no_more(tmp_path):
    shown = []

    def measure(cell: Cell, context: Context) -> list[dict]:
        context.tell("batch 1")
        context.tell("batch 2, too soon after the first to be written")
        shown.extend(read_states(tmp_path))
        with progress_bar(Console(file=io.StringIO(), force_terminal=True), tmp_path) as bar:
            shown.extend(str(line) for line in list(bar.get_renderables())[1:])
        return []

    assert keep(measure, tmp_path) == ("key", "")
    assert shown == ["batch 1 | toy (x=1, repetition=0)"] * 2
    assert read_states(tmp_path) == []


def fail_with_nan(cell: Cell, context: Context) -> list[dict]:
    """An ODE-Net whose field has no value from the middle of its training on."""

    class Failing(nn.Module):
        calls = 0

        def __init__(self, field: nn.Module) -> None:
            super().__init__()
            self.field = field

        def forward(self, t, y):
            self.calls += 1
            return self.field(t, y) * (float("nan") if self.calls > 20 else 1.0)

    model = OdeClassifier(4, generator=cell.generator(), method="rk4", step_size=0.5)
    model.block.field = Failing(model.block.field)
    digits = MNIST(torch.zeros(8, 28, 28, dtype=torch.uint8), torch.zeros(8, dtype=torch.long))
    losses: list[float] = []
    train_classifier(
        model,
        digits,
        digits,
        epochs=100,
        batch_size=4,
        optimiser=torch.optim.SGD(model.parameters(), lr=0.1),
        generator=cell.generator(),
        checkpoint=context.checkpoint,
        checkpoint_every_s=0.0,
        on_batch=lambda batch: losses.append(batch.loss),
    )
    raise AssertionError("the training went on")


def run_out_of_gpu_memory(cell: Cell, context: Context) -> list[dict]:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def run_out_of_memory(cell: Cell, context: Context) -> list[dict]:
    raise MemoryError


@pytest.mark.parametrize(
    ("measure", "status"),
    [
        (fail_with_nan, "nonfinite"),
        (run_out_of_gpu_memory, "oom"),
        (run_out_of_memory, "oom"),
    ],
)
def test_what_happens_in_a_measurement_is_a_row_that_is_kept(tmp_path, measure, status):
    assert keep(measure, tmp_path) == ("key", "")
    record, _ = CellStore(tmp_path).read(CELL, "key")
    assert record is not None
    (row,) = record["rows"]
    common = {"repetition": 0, "seed": CELL.seed, "device": "cpu", "solver": "ours"}
    assert row == {"x": 1, "status": status, **common}
    assert [path.name for path in Path(tmp_path, "cells", "toy").iterdir()] == ["key.json"]


def test_a_row_that_json_cannot_hold_fails_its_cell_alone(tmp_path):
    def wrong(cell: Cell, context: Context) -> Any:
        return [{"y": torch.ones(())}]

    _, sentence = keep(wrong, tmp_path, Cell("toy", {}))
    assert sentence.startswith("toy (repetition=0) failed: TypeError: Object of type Tensor")
