"""Checks on the results of asv: was anything measured, and has a count become worse?

    python -m benchmarks.gate run RANGE     asv's run, then the check that it measured something
    python -m benchmarks.gate counts        this working tree's counts against the recorded history

Times are never judged here: on shared machines they vary by more than most regressions cost. The
counts of the ``track_`` benchmarks do not vary. The exit code is 0 if all is well, ``WORSE`` (1), 2
for wrong arguments, ``FAILED`` (3), ``EMPTY`` (4) or ``UNREADABLE`` (5).
"""

import argparse
import importlib
import inspect
import itertools
import json
import math
import os
import pkgutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchmarks

WORSE, FAILED, EMPTY, UNREADABLE = 1, 3, 4, 5
HISTORY = Path(__file__).parents[1] / "results" / "asv" / "data"
# The name of the machine whose results are committed, and the name for a user's results.
COMMITTED, LOCAL = "reference", "local"
FORMAT = 2
# How much larger a value may be: a factor and a summand. Evaluations, steps and bytes are counted
# in float64, where every processor tried takes the same steps, so any rise comes from the code.
# One error, that of the planar flow's inverse, is a few roundings of float32.
EXACT = (1.0, 0.0)
ERRORS = (2.0, 32 * 2.0**-23)
SLACK = {"relative error": ERRORS, "nats": ERRORS}


class Unreadable(ValueError):
    """A results file is not in asv's format; the message says what is wrong."""


@dataclass(frozen=True)
class Value:
    """One value of a benchmark.

    Attributes:
        case: the benchmark's name with the values of its parameters.
        number: the value; nan if it does not apply or measuring it failed.
        version: the version of the benchmark; values of two versions cannot be compared.
        failed: whether measuring it failed.
        commit: the first digits of the commit; "" for a working tree.
        unit: what is counted; "" for a value of the history, which does not record it.
        started: when it was measured, in milliseconds since 1970.
    """

    case: str
    number: float
    version: str
    failed: bool = False
    commit: str = ""
    unit: str = ""
    started: float = 0

    @property
    def measured(self) -> bool:
        """Whether there is a number."""
        return math.isfinite(self.number)


def read_history(folder: Path) -> list[Value]:
    """Every value in the results files of one machine, those of the oldest commit first.

    Raises:
        Unreadable: for a file that is not a results file of asv.
    """
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != "machine.json"]
    files = sorted((_read(path) for path in paths), key=lambda file: file[0])
    return [value for _, values in files for value in values]


def _read(path: Path) -> tuple[float, list[Value]]:
    """The date of a results file's commit and the values that it holds."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path.name} is not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("version") != FORMAT:
        raise Unreadable(f"{path.name} is not a results file in format {FORMAT} of asv")
    try:
        return data["date"], list(_values(data))
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(
            f"{path.name} is not what asv writes: {type(error).__name__}: {error}"
        ) from error


def _values(data: dict[str, Any]) -> Iterator[Value]:
    """The values of a results file; ``None`` in it stands for a failure or an empty column."""
    for name, columns in data["results"].items():
        row = dict(zip(data["result_columns"], columns, strict=False))
        cases = list(itertools.product(*row["params"]))
        for params, value in zip(cases, row["result"] or [None] * len(cases), strict=True):
            yield Value(
                _case(name, params),
                math.nan if value is None else float(value),
                row["version"],
                failed=value is None,
                commit=data["commit_hash"][:8],
                started=row["started_at"],
            )


def _case(name: str, params: tuple[str, ...]) -> str:
    return f"{name}({', '.join(params)})" if params else name


def check_run(values: list[Value]) -> int:
    """Print what a run measured and what failed; returns the exit code."""
    failed = [value for value in values if value.failed]
    for value in failed:
        print(f"{value.commit}: {value.case} failed; `asv run --show-stderr` says why")
    measured = sum(value.measured for value in values)
    print(
        f"{measured} values measured on {len({v.commit for v in values})} commits,"
        f" {len(failed)} failed, {len(values) - measured - len(failed)} gaps"
    )
    if not measured:
        print("nothing was measured, so this run says nothing")
        return EMPTY
    return FAILED if failed else 0


def run(machine: str, arguments: list[str]) -> int:
    """Run ``asv run`` with these arguments and check its results; returns the exit code."""
    start = int(1000 * time.time())
    asv = subprocess.run(
        [sys.executable, "-m", "asv", "run", "--machine", machine, *arguments], check=False
    )
    checked = check_run([v for v in read_history(HISTORY / machine) if v.started >= start])
    return checked or asv.returncode


def measure() -> Iterator[Value]:
    """Measure every ``track_`` benchmark on the package that this process imports."""
    for _, module_name, _ in pkgutil.iter_modules(benchmarks.__path__):
        module = importlib.import_module(f"{benchmarks.__name__}.{module_name}")
        for name, benchmark in inspect.getmembers(module, inspect.isclass):
            if benchmark.__module__ == module.__name__ and not name.startswith("_"):
                yield from _measure_class(benchmark, f"{module_name}.{name}")


def _measure_class(benchmark: Any, name: str) -> Iterator[Value]:
    for method, function in inspect.getmembers(benchmark, inspect.isfunction):
        if not method.startswith("track_"):
            continue
        for param in benchmark.params:
            case = _case(f"{name}.{method}", (repr(param),))
            number, failed = _measure_case(benchmark(), method, param, case)
            yield Value(case, number, benchmark.version, failed, unit=vars(function)["unit"])


def _measure_case(benchmark: Any, method: str, param: object, case: str) -> tuple[float, bool]:
    """The number, nan for a gap, and whether measuring it failed."""
    try:
        benchmark.setup(param)
        return getattr(benchmark, method)(param), False
    except NotImplementedError:
        return math.nan, False
    except Exception as error:
        print(f"{case} failed: {type(error).__name__}: {error}")
        return math.nan, True


def compare(values: list[Value], history: list[Value]) -> int:
    """Print which values are worse or better than the last recorded; returns the exit code."""
    last = {(v.case, v.version): v for v in history if v.measured}
    known = [(v, last[v.case, v.version]) for v in values if (v.case, v.version) in last]
    pairs = [(value, before) for value, before in known if value.measured]
    worse = [_sentence(*pair, "worse") for pair in pairs if _exceeds(*pair)]
    better = [_sentence(*pair, "better") for pair in pairs if _exceeds(*pair[::-1])]
    gone = [
        f"gone: {value.case} has no value and was {before.number:g} at {before.commit}"
        for value, before in known
        if not value.measured
    ]
    same, new = len(pairs) - len(worse) - len(better), sum(v.measured for v in values) - len(pairs)
    for finding in [*better, *gone, *worse]:
        print(finding)
    print(
        f"{len(pairs)} counts compared with those recorded last: {len(worse)} worse,"
        f" {len(better)} better, {same} the same; {len(gone)} gone, {new} not recorded yet"
    )
    if gone or any(value.failed for value in values):
        return FAILED
    if not pairs:
        print("no count was compared, so this says nothing")
        return EMPTY
    return WORSE if worse else 0


def _exceeds(value: Value, other: Value) -> bool:
    """Whether one value is larger than the other by more than the slack of its unit."""
    factor, addition = SLACK.get(value.unit or other.unit, EXACT)
    return value.number > factor * other.number + addition


def _sentence(value: Value, before: Value, judgement: str) -> str:
    factor = f", {value.number / before.number:.3g} times as much" if before.number else ""
    return (
        f"{judgement}: {value.case} is {value.number:g} ({value.unit}) and was {before.number:g} at"
        f" {before.commit}{factor}"
    )


def counts(machine: str) -> int:
    """Measure the counts and compare them with a machine's history; returns the exit code."""
    history = read_history(HISTORY / machine)
    if not any(value.measured for value in history):
        print(
            f"nothing is recorded under {machine!r}, so there is nothing to compare with;"
            f" `ASV_MACHINE={machine} tox run -e asv -- RANGE` records a history"
        )
        return EMPTY
    return compare(list(measure()), history)


def main(arguments: list[str] | None = None) -> int:
    """The command line, by default that of the process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="asv run, then the check that values were measured")
    counted = commands.add_parser("counts", help="this working tree's counts against the history")
    counted.add_argument("--against", default=COMMITTED, help="the machine whose history it is")
    options, rest = parser.parse_known_args(arguments)
    if options.command == "counts" and rest:
        parser.error(f"counts does not know {' '.join(rest)}")
    try:
        if options.command == "counts":
            return counts(options.against)
        return run(os.environ.get("ASV_MACHINE", LOCAL), rest)
    except Unreadable as error:
        print(error)
        return UNREADABLE


if __name__ == "__main__":
    sys.exit(main())
