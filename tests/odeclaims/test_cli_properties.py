"""Any arguments at all: an exit code, at most a sentence, and no file where none was asked for.

The command line runs in this process, and so do its cells; the tests in ``cli`` start it as a
process.
"""

import os
import sys
from itertools import islice, pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from odeclaims import cli
from odeclaims.cell import Cell, Context, Row
from odeclaims.claim import Claim, Column
from odeclaims.rules import Bounds, Exact
from odeclaims.run import claims as run
from odeclaims.run.observe import measure_and_keep
from odeclaims.statement import Size, Statement


def cells(profile):
    # However many seeds are asked for.
    for repetition in islice(profile.repetitions(smoke=1, quick=2, paper=3), 3):
        yield Cell("toy", {"size": 1}, repetition, device=profile.device)


def measure(cell: Cell, context: Context) -> list[Row]:
    return [{"x": float(cell.seed % 97)}]


def x_of(df: pd.DataFrame) -> pd.Series:
    return df["x"]


def whole(df: pd.DataFrame) -> float:
    return 1.0


RULE = Exact(Bounds(at_most=96))
STATEMENTS = [Statement("x_is_small", "x is below 97", x_of, RULE, "a remainder", central=True)]
SIZE = Size("two numbers", whole)


def figure(df: pd.DataFrame) -> Figure:
    fig = Figure()
    # There are no axes to lay out.
    fig.set_layout_engine("none")
    return fig


def table(df: pd.DataFrame) -> pd.DataFrame:
    return df[["repetition", "x"]]


TOY = Claim(
    slug="toy",
    title="A toy [/b]",
    statement="x is in [a, b] or in [/c].",
    source="nowhere",
    ledger=[],
    deviations=[],
    columns={"size": Column("a size"), "x": Column("a number")},
    module=__name__,
)


def here(store, console, tasks, count):
    """The cells in this process, as ``in_processes`` has them in others."""
    for task in tasks:
        how = (task.claim.measure, task.cell, task.key, task.timeout_s, store, task.code)
        yield measure_and_keep(*how, code_changed=bool)[1]


COMMANDS = [
    "list",
    "show",
    "run",
    "figures",
    "tables",
    "check",
    "cite",
    "verify",
    "compare",
    "conform",
    "register",
]
OPTIONS = {
    "--profile": ["smoke", "quick", "hour", "paper", "huge", "", "QUICK"],
    "--out": ["out", "out/deeper", "fresh", "file", "file/below", "[/red]", "[red]out",
              "\u00e9 \u2028"],
    "--seeds": ["1", "2", "0", "-1", "two", "1e3", "99999999999999999999", ""],
    "--jobs": ["1", "2", "0", "-5", "many"],
    "--device": ["cpu", "cuda", "cuda:99", "abacus", "", "meta", "cpu:0", "cuda:-1"],
    "--fresh": None,
    "--version": None,
    "--help": None,
    "--no-such-option": None,
    "-x": None,
}  # fmt: skip
# What a command may take beside its options; "--" ends the options.
WORDS = [
    "toy",
    "tyo",
    "toy",
    "",
    "0" * 16,
    "zz",
    "out",
    "fresh",
    "--",
    "ours_",
    "a\nb",
    "*",
]


@st.composite
def argument_lists(draw):
    """A command, nearly always one that there is, with words and options that may fit it."""
    arguments = [draw(st.sampled_from([*COMMANDS, *COMMANDS, "walk", ""]))]
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            name = draw(st.sampled_from(list(OPTIONS)))
            values = OPTIONS[name]
            arguments += [name] if values is None else [name, draw(st.sampled_from(values))]
        else:
            arguments.append(draw(st.sampled_from(WORDS)))
    return arguments


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, for a command line that knows the toy alone."""
    monkeypatch.setattr("odeclaims.cli.choose.find_claims", lambda: {"toy": TOY})
    monkeypatch.setattr(run, "in_processes", here)
    monkeypatch.setattr("odeclaims.record.provenance.ask_git", lambda *arguments, **more: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file where a folder could be")
    return tmp_path


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """The exit code, and what was written to the two streams."""
    monkeypatch.setattr(sys, "argv", ["odeclaims", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    output, errors = capsys.readouterr()
    return int(ended.value.code or 0), output, errors


def files(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def option(arguments: list[str], name: str, default: str) -> str:
    """The value of an option as the last that gives one has it."""
    found = [b for a, b in pairwise(arguments) if a == name]
    return found[-1] if found else default


@pytest.mark.slow(reason="the command line is run a hundred times")
@settings(
    max_examples=6 * settings().max_examples,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(arguments=argument_lists())
@example(["run", "--out", "[/red]"])
@example(["figures", "--out", "[/red]"])
@example(["verify", "[/red]"])
def test_any_arguments_end_in_an_exit_code(folder, monkeypatch, capsys, arguments):
    before = files(folder)
    code, _, errors = call(monkeypatch, capsys, *arguments)
    assert code in (0, 1, 2)
    assert "Traceback" not in errors
    # Of its own sentences there is one; for options there are also the usage and a hint.
    own = [line for line in errors.splitlines() if line.startswith("odeclaims: ")]
    assert len(own) <= 1
    assert code == 2 or not errors
    after = files(folder)
    out = Path(os.path.normpath(option(arguments, "--out", "results")))
    changed = {p for p in before | after if before.get(p) != after.get(p)}
    assert all(p.is_relative_to(out) for p in changed), changed
    if arguments[0] in ("list", "show", "check", "cite", "verify", "compare", "walk", ""):
        assert not changed


def test_the_other_commands_find_what_a_run_has_made(folder, monkeypatch, capsys):
    """So that the property above is not one of failures alone."""
    for arguments in (["run"], ["figures"], ["tables"], ["check"], ["list"], ["cite", "toy"]):
        code, output, errors = call(monkeypatch, capsys, *arguments)
        assert (code, errors) == (0, "")
        assert "toy" in output
    assert "[a, b] or in [/c]" in call(monkeypatch, capsys, "list")[1]
