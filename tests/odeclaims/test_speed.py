"""The speed suite without its clock: cases, orders, what counts as right, and what is written."""

import json
import math
import os
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from neural_ode.networks import MLPField
from odeclaims import speed
from odeclaims.backends import find_backends
from odeclaims.backends.ours import Ours
from odeclaims.backends.torchdiffeq import Torchdiffeq
from odeclaims.report import speed as report
from odeclaims.speed import FIELD, VJP, Case, Speed, Turn, cases, schedule, verdict
from odeclaims.workloads import WORKLOADS, Workload

TOLS = (1e-2, 1e-4)


@pytest.fixture
def tiny(monkeypatch) -> str:
    """A workload with a gradient that takes a moment, and nothing beside it."""

    def field(generator: torch.Generator) -> torch.nn.Module:
        return MLPField(2, 4, generator=generator)

    for name in list(WORKLOADS):
        monkeypatch.delitem(WORKLOADS, name)
    workload = Workload("tiny", "a toy", field, (3, 2), 1e-4, differentiated=True)
    monkeypatch.setitem(WORKLOADS, "tiny", workload)
    monkeypatch.setitem(speed.TOLERANCES, "tiny", TOLS)
    for backend in (Ours, Torchdiffeq):
        monkeypatch.setattr(backend, "gradients", ("backprop", "adjoint"))
    return "tiny"


def test_a_group_begins_with_the_workloads_own_tolerance():
    backends = list(find_backends().values())
    groups: dict[tuple, list[Case]] = {}
    for case in cases(backends):
        groups.setdefault((case.workload, case.backend, case.gradient), []).append(case)
    for group in groups.values():
        assert group[0].own
        assert not any(case.own for case in group[1:])
    assert {name for name, *_ in groups} == set(WORKLOADS)
    assert ("conv_forward", "ours", None) in groups
    assert ("conv_gradient", "ours", None) not in groups
    assert ("conv_gradient", "ours", "seminorm") in groups
    assert ("conv_gradient", FIELD, VJP) in groups
    assert {case.tol for case in groups["mlp_forward", "ours_compiled", None]} == set(
        speed.TOLERANCES["mlp_forward"]
    )


def test_every_pass_has_every_case_in_an_order_of_its_own():
    chosen = cases(find_backends().values())
    turns = schedule(chosen)
    assert turns == schedule(chosen)
    orders = [[t.case for t in turns if t.number == number] for number in range(speed.PASSES)]
    assert all(set(order) == set(chosen) for order in orders)
    assert len({tuple(order) for order in orders}) == speed.PASSES
    assert [t.position for t in turns[: len(chosen)]] == list(range(len(chosen)))


def test_names_of_cases_are_all_different():
    turns = schedule(cases(find_backends().values()))
    assert len({str(turn) for turn in turns}) == len(turns)
    assert str(turns[0]).startswith("pass0-")


@pytest.mark.parametrize(
    ("error", "gradient_error", "says"),
    [
        (1e-5, None, ""),
        (1e-5, 1e-3, ""),
        (2e-2, None, "states are off by 2.00e-02"),
        (1e-5, 1.0, "gradient are off by 1.00e"),
        (math.nan, None, "states are off by nan"),
        (math.inf, None, "states are off by inf"),
    ],
)
def test_what_counts_as_right(error, gradient_error, says):
    found = verdict(Case("mlp_forward", "ours", None, 1e-4), error, gradient_error)
    assert found == "" if says == "" else says in found


def test_a_gradient_of_zeros_is_wrong_at_any_tolerance():
    assert all(speed.limit(tol) < 1 for tol in (1.0, 1e-1, 1e-2))


def test_an_answer_of_another_shape_is_wrong():
    assert speed.relative_error(np.ones(2), np.ones(3)) == math.inf


@pytest.mark.parametrize(
    ("warm_s", "own", "others"),
    [
        (1e-5, (30, 5), (30, 5)),
        (0.02, (5, 5), (1, 5)),
        (1.5, (1, 2), (1, 1)),
        (60.0, (1, 1), (1, 1)),
    ],
)
def test_slow_cases_are_timed_less_often(warm_s, own, others):
    assert speed.plan(Case("conv_forward", "ours", None, 1e-3), warm_s) == own
    assert speed.plan(Case("conv_forward", "ours", None, 1e-2), warm_s) == others


def measured(passes: int = 2) -> Speed:
    """Both solvers that the tests have, on the tiny workload."""
    backends = {name: find_backends()[name] for name in ("ours", "torchdiffeq")}
    made = Speed(backends)
    for turn in schedule(cases(backends.values())):
        if turn.number < passes:
            assert made.wrong(turn.case) == ""
            made.record(turn, [1e-3, 2e-3, 4e-3])
    return made


def test_rows_and_files_of_a_run(tiny, tmp_path):
    measured().store(tmp_path, datetime.now(UTC))
    text = (tmp_path / "provenance.json").read_text()
    made = json.loads(text)
    assert {"commit", "threads", "seed", "cpu", "started", "passes"} <= set(made)
    assert made["packages"]["torchdiffeq"]
    assert os.uname().nodename not in text
    assert str(Path.home()) not in text
    df = report.read(tmp_path)
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
    paths = report.write(tmp_path)
    assert {path.name for path in paths} == {
        *("summary.csv", "summary.md", "ratios.csv", "ratios.md"),
        *("gradient.png", "gradient.pdf"),
    }
    first = {path: path.read_bytes() for path in paths}
    report.write(tmp_path)
    assert {path: path.read_bytes() for path in paths} == first


def test_a_wrong_answer_is_reported_with_its_case(tiny, monkeypatch):
    made = Speed({"ours": find_backends()["ours"]})
    monkeypatch.setattr(speed, "limit", lambda tol: 1e-12)
    wrong = made.wrong(Case(tiny, "ours", "backprop", 1e-2))
    assert wrong.startswith("tiny-ours-backprop-1e-02: the states are off by")


# --- what follows from the rows


def frame(rows: list[dict]) -> pd.DataFrame:
    return report.in_order(pd.DataFrame(rows, columns=list(speed.COLUMNS)))


def row(backend: str, tol: float, time_s: float, error: float, number: int = 0, **more) -> dict:
    case = Case("mlp_forward", backend, None, tol)
    common = {
        **{"pass": number, "workload": "mlp_forward", "backend": backend, "gradient": "none"},
        **{"tol": tol, "own": case.own, "time_s": time_s, "iqr_s": 0.0, "rounds": 1},
    }
    return common | {"error": error, "nfe_forward": 20} | more


@pytest.fixture
def toy() -> pd.DataFrame:
    """Three passes of a machine that becomes slower; ours takes half the time and is less exact."""
    rows = []
    for number, drift in enumerate((1.0, 2.0, 10.0)):
        rows += [
            row("torchdiffeq", 1e-2, 4 * drift, 1e-2, number),
            row("torchdiffeq", 1e-3, 8 * drift, 1e-3, number),
            row("ours", 1e-2, 2 * drift, 1e-1, number),
            row("ours", 1e-3, 4 * drift, 1e-2, number),
            row("ours", 1e-4, 16 * drift, 1e-4, number),
            row(FIELD, 1e-3, 0.1 * drift, math.nan, number, nfe_forward=None),
        ]
    return frame(rows)


def test_ratios_are_taken_within_a_pass(toy):
    table = report.ratios(toy)
    assert table["backend"].tolist() == ["ours", "ours"]
    values = dict(zip(table["equal"], table["ratio"], strict=True))
    # At the error 1e-3 ours is half way, in log-log, between 4 and 16 units of time.
    assert values["tolerance"] == pytest.approx(2)
    assert values["error"] == pytest.approx(1)
    assert table["low"].tolist() == pytest.approx(table["high"].tolist())
    assert table["passes"].tolist() == [3, 3]


def test_errors_that_are_nearly_the_same_leave_room_for_labels_side_by_side():
    solvers = [row("torchdiffeq", 1e-3, 8.0, 2.65e-3), row("ours", 1e-3, 4.0, 2.58e-3)]
    field = row(FIELD, 1e-3, 0.1, math.nan, nfe_forward=None)
    figure = report.work_precision(frame([*solvers, field]), differentiated=False)
    figure.canvas.draw()
    axis = figure.axes[0].xaxis
    low, high = axis.get_view_interval()
    texts = [*axis.get_majorticklabels(), *axis.get_minorticklabels()]
    inside = [t for t in texts if t.get_text() and low <= t.get_position()[0] <= high]
    boxes = sorted((t.get_window_extent() for t in inside), key=lambda box: box.x0)
    assert boxes
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_efficiency_prices_evaluations_by_the_field_in_the_same_pass(toy):
    table = report.summary(toy).set_index(["backend", "tol"])
    assert table.loc[("torchdiffeq", 1e-3), "efficiency"] == pytest.approx(20 * 0.1 / 8)
    assert table.loc[("torchdiffeq", 1e-3), "passes"] == 3
    assert table["efficiency"].isna().sum() == 1


def test_efficiency_prices_backward_evaluations_by_the_vjp():
    field = row(FIELD, 1e-5, 1.0, math.nan, nfe_forward=None) | {"workload": "mlp_gradient"}
    solver = row("ours", 1e-5, 100.0, 1e-5) | {"workload": "mlp_gradient"}
    df = frame(
        [
            field,
            field | {"gradient": VJP, "time_s": 3.0},
            solver | {"gradient": "adjoint", "nfe_backward": 10},
            solver | {"gradient": "backprop", "nfe_backward": None},
        ]
    )
    table = report.summary(df).set_index(["backend", "gradient"])
    assert table.loc[("ours", "adjoint"), "efficiency"] == pytest.approx((20 + 10 * 3) / 100)
    assert table["efficiency"].notna().sum() == 1


@pytest.mark.parametrize(
    ("errors", "times", "target", "expected"),
    [
        ([1e-1, 1e-3], [1.0, 100.0], 1e-2, 10.0),
        ([1e-1, 1e-3], [1.0, 100.0], 1e-1, 1.0),
        ([1e-1, 1e-3], [1.0, 100.0], 0.5, 1.0),
        ([1e-1, 1e-3], [1.0, 100.0], 1e-3, 100.0),
        ([1e-1, 1e-3], [1.0, 100.0], 1e-4, math.nan),
        ([1e-1, 1e-3, 1e-2, 1e-4], [1.0, 2.0, 4.0, 8.0], 1e-3, 2.0),
        ([1e-1], [1.0], 1e-2, math.nan),
        ([1e-1, 0.0], [1.0, 2.0], 1e-300, pytest.approx(2.0, rel=0.1)),
    ],
)
def test_time_at_an_error(errors, times, target, expected):
    found = report.time_at_error(errors, times, target)
    assert found == pytest.approx(expected, nan_ok=True)


def test_tables_and_figures_from_a_small_frame(toy, tmp_path):
    toy.to_csv(tmp_path / "data.csv", index=False)
    names = [path.name for path in report.write(tmp_path)]
    assert names[-2:] == ["forward.png", "forward.pdf"]
    assert (tmp_path / "forward.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "forward.pdf").read_bytes().startswith(b"%PDF")
    ratios = (tmp_path / "ratios.md").read_text()
    assert "| ours      | none       | 2.00 (2.00 to 2.00) | 1.00 (1.00 to 1.00) |" in ratios
    summary = (tmp_path / "summary.md").read_text()
    assert "## mlp_forward: MLP 2-32-32-2, batch 64: all overhead, tolerance 0.001" in summary
    assert "`reference_error`" in summary


def test_a_run_without_the_baseline_has_no_ratios(toy, tmp_path):
    toy[toy["backend"] == "ours"].to_csv(tmp_path / "data.csv", index=False)
    report.write(tmp_path)
    assert "torchdiffeq was not timed" in (tmp_path / "ratios.md").read_text()


def test_rows_of_another_kind_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["speed", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        report.main()
    assert "`tox run -e speed` makes it" in capsys.readouterr().err
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="its columns differ from the suite's in a, b, "):
        report.read(tmp_path)


def test_turns_and_cases_read_well():
    turn = Turn(2, 7, Case("conv_gradient", "ours", "seminorm", 1e-3))
    assert str(turn) == "pass2-conv_gradient-ours-seminorm-1e-03"
