"""The gate on asv's results: each outcome has its exit code, and a sentence that says why."""

import json
import math
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

import benchmarks
from benchmarks import gate
from benchmarks.gate import EMPTY, FAILED, UNREADABLE, WORSE, Value

NFE = "solving.Small.track_nfe"
ERROR = "solving.Small.track_error"
METHODS = ["'dopri5'", "'tsit5'"]


@pytest.fixture
def history(tmp_path, monkeypatch) -> Path:
    """An empty folder of results in the place of the repository's."""
    monkeypatch.setattr(gate, "HISTORY", tmp_path)
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "machine.json").write_text('{"machine": "reference", "version": 1}')
    return tmp_path / "reference"


def write(folder: Path, commit: str, date: int, results: dict, started: int = 0) -> None:
    """A results file as asv writes it: rows of columns, the trailing empty ones left out."""
    rows = {
        name: [values, [METHODS], version, started] for name, (values, version) in results.items()
    }
    columns = ["result", "params", "version", "started_at", "duration", "samples"]
    data = {"commit_hash": commit * 5, "date": date, "result_columns": columns, "results": rows}
    folder.mkdir(exist_ok=True)
    (folder / f"{commit}-env.json").write_text(json.dumps(data | {"version": 2}))


def nfe(number: float, **others) -> Value:
    return Value(f"{NFE}('dopri5')", number, "1", unit="evaluations", **others)


def error(number: float) -> Value:
    return Value(f"{ERROR}('dopri5')", number, "1", unit="relative error")


def test_values_failures_and_gaps_are_told_apart(history):
    write(history, "aaaaaaaa", 1, {NFE: ([14.0, None], "1"), ERROR: ([math.nan, 1e-4], "2")})
    values = gate.read_history(history)
    assert [v.case for v in values] == [f"{name}({m})" for name in (NFE, ERROR) for m in METHODS]
    assert [v.measured for v in values] == [True, False, False, True]
    assert [v.failed for v in values] == [False, True, False, False]
    assert [v.version for v in values] == ["1", "1", "2", "2"]
    assert {v.commit for v in values} == {"aaaaaaaa"}


def test_a_benchmark_whose_cases_all_failed_is_one_null(history):
    write(history, "aaaaaaaa", 1, {NFE: (None, "1")})
    assert [v.failed for v in gate.read_history(history)] == [True, True]


@pytest.mark.parametrize(
    ("values", "code", "said"),
    [
        ([14.0, math.nan], 0, "1 values measured on 1 commits, 0 failed, 1 gaps"),
        ([14.0, None], FAILED, f"aaaaaaaa: {NFE}('tsit5') failed"),
        ([math.nan, math.nan], EMPTY, "nothing was measured"),
        (None, EMPTY, "nothing was measured"),
    ],
)
def test_a_run_is_judged_by_what_it_measured(history, capsys, values, code, said):
    write(history, "aaaaaaaa", 1, {NFE: (values, "1")})
    assert gate.check_run(gate.read_history(history)) == code
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (nfe(14), 0, "1 the same"),
        (
            nfe(21),
            WORSE,
            f"worse: {NFE}('dopri5') is 21 (evaluations) and was 14 at aaaaaaaa, 1.5 times as much",
        ),
        (nfe(15), WORSE, "1 worse"),
        (
            nfe(7),
            0,
            f"better: {NFE}('dopri5') is 7 (evaluations) and was 14 at aaaaaaaa, 0.5 times",
        ),
        (error(1.9e-4), 0, "1 the same"),
        (error(2.1e-4), WORSE, "2.1 times as much"),
        (error(0.4e-4), 0, "1 better"),
        (nfe(math.nan), FAILED, f"gone: {NFE}('dopri5') has no value and was 14 at aaaaaaaa"),
        (nfe(math.nan, failed=True), FAILED, "gone"),
        (Value("new.Bench.track_nfe", 1.0, "1", unit="steps"), EMPTY, "1 not recorded yet"),
    ],
)
def test_counts_are_judged_against_the_history(history, capsys, value, code, said):
    write(history, "aaaaaaaa", 1, {NFE: ([14.0, 14.0], "1"), ERROR: ([1e-4, 1e-4], "1")})
    assert gate.compare([value], gate.read_history(history)) == code
    assert said in capsys.readouterr().out


def test_a_failure_outweighs_what_is_worse(history):
    write(history, "aaaaaaaa", 1, {NFE: ([14.0, 14.0], "1"), ERROR: ([1e-4, 1e-4], "1")})
    failed = Value("new.Bench.track_nfe", math.nan, "1", failed=True)
    assert gate.compare([nfe(15), failed], gate.read_history(history)) == FAILED


def test_rounding_does_not_make_a_tiny_error_worse(history):
    write(history, "aaaaaaaa", 1, {ERROR: ([1e-7, 1e-7], "1")})
    assert gate.compare([error(2e-6)], gate.read_history(history)) == 0
    assert gate.compare([error(2e-5)], gate.read_history(history)) == WORSE


def test_a_count_that_was_zero_has_no_factor(history, capsys):
    write(history, "aaaaaaaa", 1, {NFE: ([0.0, 0.0], "1")})
    assert gate.compare([nfe(3)], gate.read_history(history)) == WORSE
    assert "is 3 (evaluations) and was 0 at aaaaaaaa\n" in capsys.readouterr().out


def test_the_newest_commit_with_a_value_counts(history):
    write(history, "cccccccc", 1, {NFE: ([14.0, 14.0], "1")})
    write(history, "bbbbbbbb", 2, {NFE: ([20.0, 20.0], "1")})
    write(history, "aaaaaaaa", 3, {NFE: (None, "1")})
    assert gate.compare([nfe(20)], gate.read_history(history)) == 0


def test_another_version_of_a_benchmark_is_not_compared(history, capsys):
    write(history, "aaaaaaaa", 1, {NFE: ([14.0, 14.0], "0")})
    assert gate.compare([nfe(20)], gate.read_history(history)) == EMPTY
    assert "no count was compared" in capsys.readouterr().out


@pytest.mark.parametrize("machine", ["reference", "nobody"])
def test_without_a_history_the_counts_do_not_pass(history, capsys, machine):
    assert gate.main(["counts", "--against", machine]) == EMPTY
    assert f"nothing is recorded under '{machine}'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"version": 2, "resu', "broken.json is not JSON"),
        ("\xff", "broken.json is not JSON"),
        ("[]", "broken.json is not a results file in format 2"),
        ('{"version": 1}', "broken.json is not a results file in format 2"),
        ('{"version": 2}', "broken.json is not what asv writes: KeyError: 'date'"),
        (
            '{"version": 2, "date": 1, "commit_hash": "a", "result_columns": ["result", "params"],'
            ' "results": {"track": [["many"], [["1"]]]}}',
            "broken.json is not what asv writes: ValueError: could not convert string",
        ),
    ],
)
def test_a_corrupt_file_is_named_in_one_sentence(history, capsys, text, said):
    (history / "broken.json").write_text(text, encoding="latin-1")
    assert gate.main(["counts"]) == UNREADABLE
    printed = capsys.readouterr().out
    assert printed.startswith(said)
    assert printed.count("\n") == 1


def test_counts_compares_what_is_measured_now(history, monkeypatch):
    write(history, "aaaaaaaa", 1, {NFE: ([14.0, 14.0], "1")})
    monkeypatch.setattr(gate, "measure", lambda: iter([nfe(15)]))
    assert gate.main(["counts"]) == WORSE


def test_counts_refuses_what_it_does_not_know(history, capsys):
    with pytest.raises(SystemExit, match="2"):
        gate.main(["counts", "HEAD^!"])
    assert "counts does not know HEAD^!" in capsys.readouterr().err


def asv(monkeypatch, history: Path, values: list | None, code: int = 0) -> list[list[str]]:
    """Put a process in asv's place that writes these values; the commands that it was called by."""
    calls: list[list[str]] = []

    def called(command, check):
        calls.append(command)
        write(history.parent / "local", "bbbbbbbb", 2, {NFE: (values, "1")}, started=2**60)
        return subprocess.CompletedProcess(command, code)

    monkeypatch.delenv("ASV_MACHINE", raising=False)
    monkeypatch.setattr(subprocess, "run", called)
    return calls


@pytest.mark.parametrize(
    ("values", "asv_code", "code"),
    [([14.0, 20.0], 0, 0), ([14.0, 20.0], 2, 2), ([14.0, None], 2, FAILED), (None, 2, EMPTY)],
)
def test_run_hands_its_arguments_to_asv_and_checks_it(history, monkeypatch, values, asv_code, code):
    calls = asv(monkeypatch, history, values, asv_code)
    assert gate.main(["run", "--quick", "--bench", "Small", "HEAD^!"]) == code
    arguments = ["--machine", "local", "--quick", "--bench", "Small", "HEAD^!"]
    assert calls == [[sys.executable, "-m", "asv", "run", *arguments]]


def test_what_earlier_runs_measured_does_not_count_for_this_one(history, monkeypatch):
    asv(monkeypatch, history, None)
    write(history.parent / "local", "aaaaaaaa", 1, {NFE: ([14.0, 14.0], "1")}, started=1)
    assert gate.main(["run"]) == EMPTY


TOY = """
from benchmarks.work import unit

class _Hidden:
    params = (1,)

    def track_nothing(self, param):
        raise AssertionError

class Toy:
    version = "3"
    params = ("one", "gap", "broken")

    def setup(self, param):
        if param == "gap":
            raise NotImplementedError

    @unit("steps")
    def track_steps(self, param):
        return {"one": 1.0}[param]

    def time_steps(self, param):
        raise AssertionError
"""


def test_measuring_walks_the_benchmarks_as_asv_does(tmp_path, monkeypatch, capsys):
    name = f"toy{next(SERIAL)}"
    (tmp_path / f"{name}.py").write_text(TOY)
    monkeypatch.setattr(benchmarks, "__path__", [str(tmp_path), *benchmarks.__path__])
    monkeypatch.setattr(gate.pkgutil, "iter_modules", lambda path: [(None, name, False)])
    one, gap, broken = gate.measure()
    assert (one.case, one.number, one.unit) == (f"{name}.Toy.track_steps('one')", 1.0, "steps")
    assert {value.version for value in (one, gap, broken)} == {"3"}
    assert (gap.measured, gap.failed) == (False, False)
    assert (broken.measured, broken.failed) == (False, True)
    assert "track_steps('broken') failed: KeyError: 'broken'" in capsys.readouterr().out


SERIAL = count()
