"""A session without its clock: what is checked, and what is written."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from neural_ode.networks import MLPField
from odeclaims.backends import find_backends
from odeclaims.backends.ours import Ours
from odeclaims.backends.torchdiffeq import Torchdiffeq
from odeclaims.speed import answers, cases
from odeclaims.speed.cases import FIELD, Case, list_cases, schedule
from odeclaims.speed.rows import read_rows
from odeclaims.speed.session import Session
from odeclaims.speed.show import write
from odeclaims.workloads import WORKLOADS, Workload

TOLS = (1e-2, 1e-4)


@pytest.fixture
def tiny(monkeypatch) -> Iterator[str]:
    """A workload with a gradient that takes a moment, and nothing beside it."""

    def field(generator: torch.Generator) -> torch.nn.Module:
        return MLPField(2, 4, generator=generator)

    workload = Workload("tiny", "a toy", field, (3, 2), 1e-4, differentiated=True)
    monkeypatch.setitem(cases.TOLERANCES, "tiny", TOLS)
    for backend in (Ours, Torchdiffeq):
        monkeypatch.setattr(backend, "gradients", ("backprop", "adjoint"))
    # Tables have the order of the workloads, which monkeypatch would not restore.
    with patch.dict(WORKLOADS, {"tiny": workload}, clear=True):
        yield "tiny"


def run_session(passes: int = 2) -> Session:
    """A session of two solvers on the tiny workload, without a clock."""
    backends = {name: find_backends()[name] for name in ("ours", "torchdiffeq")}
    session = Session(backends)
    for turn in schedule(list_cases(backends.values())):
        if turn.number < passes:
            assert session.fault(turn.case) == ""
            session.record(turn, [1e-3, 2e-3, 4e-3])
    return session


@pytest.mark.slow(reason="solvers are timed, and the times drawn")
def test_rows_and_files_of_a_run(tiny, tmp_path):
    run_session().store(tmp_path, datetime.now(UTC))
    text = (tmp_path / "provenance.json").read_text()
    record = json.loads(text)
    assert {"commit", "threads", "seed", "cpu", "started", "passes"} <= set(record)
    assert record["packages"]["torchdiffeq"]
    assert os.uname().nodename not in text
    assert str(Path.home()) not in text
    df = read_rows(tmp_path)
    assert len(df) == 2 * (2 + 2 * 2 * len(TOLS))
    assert df["time_s"].unique().tolist() == [2e-3]
    solved = df[df["backend"] != FIELD]
    assert (solved["error"] < 1e-2).all()
    assert (solved["reference_error"] < 1e-7).all()
    assert solved[solved["own"]]["first_s"].notna().all()
    assert solved[solved["own"]]["peak_bytes"].gt(0).all()
    assert solved[~solved["own"]]["first_s"].isna().all()
    assert df["compile_s"].isna().all()
    assert solved.loc[solved["gradient"] == "backprop", "nfe_backward"].isna().all()
    assert solved.loc[solved["gradient"] == "adjoint", "nfe_backward"].gt(0).all()
    paths = write(tmp_path)
    assert {path.name for path in paths} == {
        *("summary.csv", "summary.md", "ratios.csv", "ratios.md"),
        *("gradient.png", "gradient.pdf"),
    }
    first = {path: path.read_bytes() for path in paths}
    write(tmp_path)
    assert {path: path.read_bytes() for path in paths} == first


def test_a_wrong_answer_is_reported_with_its_case(tiny, monkeypatch):
    session = Session({"ours": find_backends()["ours"]})
    monkeypatch.setattr(answers, "error_limit", lambda tol: 1e-12)
    fault = session.fault(Case(tiny, "ours", "backprop", 1e-2))
    assert fault.startswith("tiny-ours-backprop-1e-02: the states are off by")
