"""The command line as a process, on a toy claim whose cells take a moment each."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from odeclaims import __version__
from tests.odeclaims.forked import DEADLINE_S, Forked

ROOT = Path(__file__).parents[2]

TOY = """
import time
from pathlib import Path

from matplotlib.figure import Figure

from neural_ode import StepUnderflow
from odeclaims.cell import Cell
from odeclaims.claim import Claim, Column
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Size, Statement

def cells(profile):
    for repetition in profile.repetitions(smoke=6, quick=6, paper=8):
        yield Cell("toy", {"delay_s": DELAY}, repetition)

def alone(cell):
    return cell.repetition % 3 == 2

def measure(cell, context):
    time.sleep(cell.params["delay_s"])
    TROUBLE
    return [{"x": float(cell.generator().initial_seed() % 97), "time_s": time.perf_counter()}]

def x_of(df):
    return df["x"]

def whole(df):
    return 1.0

STATEMENTS = [
    Statement("x_is_small", "x is below 97", x_of, Exact(Bounds(at_most=96), least=2),
              "a remainder", central=True)
]
SIZE = Size("six numbers", whole)

def figure(df):
    return Figure()

def table(df):
    return df[["repetition", "x"]]

CLAIM = Claim(
    slug="toy", title="A toy", statement="x is below 97.", source="nowhere", ledger=[],
    deviations=["all of it"],
    columns={
        "delay_s": Column("seconds of sleep"), "x": Column("a number"),
        "time_s": Column("a clock", varies=True),
    },
    module=__name__,
)
CLAIMS = [CLAIM]
"""
MAIN = """
from odeclaims.cli import choose, main
import toy

choose.find_claims = lambda: {"toy": toy.CLAIM}
main()
"""


class Toy(Forked):
    """A folder with the toy claim and a command line that knows it."""

    module = "toy"

    def __init__(self, folder: Path, forks: subprocess.Popen) -> None:
        super().__init__(folder, forks)
        (folder / "main.py").write_text(MAIN)
        self.claim()

    def claim(self, delay: float = 0.0, trouble: str = "pass") -> None:
        (self.folder / "toy.py").write_text(
            TOY.replace("DELAY", str(delay)).replace("TROUBLE", trouble)
        )

    def as_a_user(self, *arguments: str) -> subprocess.Popen:
        """A process that imports everything itself, and so do its workers."""
        paths = [str(self.folder), str(ROOT / "reference"), str(ROOT / "suites")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "COLUMNS": "200",
            "PYTHONDONTWRITEBYTECODE": "1",
            # As the runs that are forked have it: some locks lie there.
            "TMPDIR": str(self.folder.parent),
        }
        return subprocess.Popen(
            [sys.executable, str(self.folder / "main.py"), *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that starts the tests in the background has them ignore SIGINT, and so would
            # what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def rows(self) -> pd.DataFrame:
        return pd.read_csv(self.out / "quick" / "toy" / "data.csv")

    def finished_cells(self) -> int:
        return len(list(self.out.glob("cells/toy/*.json")))


@pytest.fixture
def toy(tmp_path, forks) -> Iterator[Toy]:
    made = Toy(tmp_path, forks)
    yield made
    made.end_at_once()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, forks) -> Toy:
    """A folder with the results of one whole run; not to be changed."""
    made = Toy(tmp_path_factory.mktemp("finished"), forks)
    code, output, errors = made("run")
    assert (code, errors) == (0, "")
    assert "6 cells measured, 0 taken from before" in output
    return made


@pytest.fixture
def done(toy, finished) -> Toy:
    """A toy of one's own with a copy of those results."""
    shutil.copytree(finished.out, toy.out)
    return toy


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with these arguments, in the repository, until it ends."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'reference'}{os.pathsep}{ROOT / 'suites'}"},
        capture_output=True,
        text=True,
        check=False,
    )


def one_sentence(errors: str) -> str:
    """The only line on stderr, without a traceback."""
    lines = errors.strip().splitlines()
    assert len(lines) == 1, errors
    assert "Traceback" not in errors
    return lines[0]


def test_figures_tables_and_check_start_from_the_rows(done):
    shutil.rmtree(done.out / "cells")
    assert done("figures")[0] == done("tables")[0] == done("check")[0] == 0
    folder = done.out / "quick" / "toy"
    names = {"data.csv", "verdict.json", "provenance.json", "figure.png", "figure.pdf"}
    names |= {"figure-column.pdf", "table.md", "table.tex", "table.csv", "hashes.csv"}
    assert {p.name for p in folder.iterdir()} == names
    assert "toy" in (done.out / "README.md").read_text()


def test_provenance_names_no_host_and_no_path(finished):
    text = (finished.out / "quick" / "toy" / "provenance.json").read_text()
    made = json.loads(text)
    assert made["profile"] == "quick"
    assert {"commit", "packages", "cpu", "threads", "seeds", "started"} <= set(made)
    assert os.uname().nodename not in text
    assert str(ROOT) not in text
    assert str(Path.home()) not in text


def test_finished_cells_are_measured_again_only_with_fresh(done):
    first = done.rows()
    assert "2 cells measured, 6 taken from before" in done("run", "--seeds", "8")[1]
    assert done.rows()["time_s"].tolist()[:6] == first["time_s"].tolist()
    assert "6 cells measured, 0 taken" in done("run", "--fresh")[1]
    again = done.rows()
    assert again["time_s"].tolist() != first["time_s"].tolist()
    assert again.drop(columns="time_s").equals(first.drop(columns="time_s"))


def test_changed_code_is_measured_again(done):
    done.claim(trouble="cell = cell")
    assert "6 cells measured, 0 taken" in done("run")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "tyo"], "there is no claim 'tyo'; did you mean toy?"),
        (["run", "--device", "abacus"], "unknown device 'abacus'; expected cpu, cuda or cuda:N"),
        (["figures"], "results has no results of any claim; `odeclaims run` makes them"),
        (["figures", "toy", "--profile", "paper"], "no results of toy under the profile paper"),
    ],
)
def test_what_a_user_gets_wrong_is_one_sentence(toy, arguments, says):
    code, _, errors = toy(*arguments)
    assert code == 2
    assert says in one_sentence(errors)


@pytest.mark.parametrize(
    "arguments",
    [["run", "--profile", "huge"], ["run", "--seeds", "0"], ["walk"]],
)
def test_bad_options_exit_with_two(toy, arguments):
    code, _, errors = toy(*arguments)
    assert code == 2
    assert "Traceback" not in errors
    assert arguments[-2 if len(arguments) > 1 else -1] in errors


def test_version_and_help(toy):
    assert start("-m", "odeclaims", "--version").stdout == f"odeclaims {__version__}\n"
    output = toy("run", "--help")[1]
    for word in (
        "--profile",
        "--seeds",
        "--jobs",
        "--device",
        "--out",
        "--fresh",
        "--scheduler",
        "quick",
    ):
        assert word in output


def test_help_is_not_cut(toy):
    output = " ".join(toy("--help")[1].split())
    assert "..." not in output.partition("Commands:")[2]
    assert (
        "Check that every stored verdict still follows from its CSV; exit code 1 if not" in output
    )


@pytest.mark.parametrize("command", ["figures", "tables", "report", "redraw"])
def test_a_long_command_ends_with_what_was_found_and_names_files_when_asked(done, command):
    code, output, _ = done(command)
    assert code == 0
    *_, last = output.splitlines()
    assert re.fullmatch(r"(1 file|\d+ files) written; --verbose names them\.", last)
    assert "quick/toy: 1 of 1 reproduced" in output
    assert "wrote" not in output
    assert ("Central statements: 1 of 1 reproduced, over 1 claim." in output) == (
        command != "figures"
    )
    *_, last = done(command, "-v")[1].splitlines()
    count, _, rest = last.partition(" ")
    assert rest == f"{'file' if count == '1' else 'files'} written."
    assert done(command, "--verbose")[1].count("wrote ") == int(count) > 0


# Prints which of the modules in its first argument were imported by the command in the others.
IMPORTED = """
import contextlib, io, sys
import odeclaims.cli

heavy, *sys.argv[1:] = sys.argv[1:]
if sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        odeclaims.cli.main()
print(*(name for name in heavy.split(",") if name in sys.modules))
"""
CITED = ("crossing_1d", "--profile", "quick")


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        ((), "torch,scipy,matplotlib,seaborn,neural_ode"),
        (("list",), "torch,scipy,matplotlib,seaborn,neural_ode"),
        (("check", *CITED), "torch,matplotlib,seaborn,neural_ode"),
        (("cite", *CITED), "torch,matplotlib,seaborn,neural_ode"),
        (("show", *CITED), "torch,scipy,matplotlib,seaborn,neural_ode"),
        (("--help",), "torch,scipy,matplotlib,seaborn,neural_ode"),
    ],
)
def test_who_reads_results_does_not_wait_for_what_measures_and_draws(arguments, heavy):
    done = start("-c", IMPORTED, heavy, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_list_shows_the_verdict(done):
    output = done("list")[1]
    assert "1 of 1 reproduced" in output
    assert "published size" in output
    assert "not run yet" in done("list", "--results", "elsewhere")[1]


def test_show_tells_what_is_known_of_a_claim(done):
    code, output, errors = done("show", "toy")
    assert (code, errors) == (0, "")
    largest = f"{done.rows()['x'].max():.1f}"
    for text in ("x is below 97.", "Source: nowhere", "1 of 1 reproduced", largest, "published"):
        assert text in output
    assert re.search(r"repetition +┃ x", output)
    assert "- all of it" in output
    assert "profile quick" in output


def test_show_makes_the_table_where_no_file_has_it_and_reads_the_file_where_it_is(done):
    first = done("show", "toy")[1]
    assert done("tables")[0] == 0
    assert done("show", "toy")[1] == first
    table = done.out / "quick" / "toy" / "table.csv"
    table.write_text("a,b\n\x1b[31m1,[red]2\n")
    output = done("show", "toy")[1]
    assert "\\x1b[31m1" in output
    assert "[red]2" in output
    for broken in (b"\xff", b""):
        table.write_bytes(broken)
        code, _, errors = done("show", "toy")
        assert code == 2
        assert "table.csv is not a table" in one_sentence(errors)


def test_show_names_failed_checks_caveats_and_the_other_profiles(done):
    assert done("tables")[0] == 0
    path = done.out / "quick" / "toy" / "verdict.json"
    verdict = json.loads(path.read_text())
    check = {"name": "whole", "text": "the instrument is whole", "passed": False, "values": 3}
    check |= {"outside": 2, "example": 5.0, "holds_if": "at most 4", "because": "it must be"}
    path.write_text(json.dumps(verdict | {"checks": [check], "caveats": ["mind [b] the gap"]}))
    shutil.copytree(done.out / "quick", done.out / "paper")
    path.write_text(json.dumps(verdict | {"scale": "reduced"}))
    output = done("show", "toy")[1]
    assert "0 of 1 checks of the instrument passed." in output
    assert "the instrument is whole: 2 of 3 values are not at most 4 (it must be)" in output
    assert "- mind [b] the gap" in output
    assert "results at the profiles quick too" in output
    assert "Scale: reduced" in done("show", "toy", "--profile", "quick")[1]


def test_show_of_what_is_not_there(toy):
    for arguments, says in ((["tyo"], "did you mean toy?"), (["toy"], "has no results of toy")):
        code, _, errors = toy("show", *arguments)
        assert code == 2
        assert says in one_sentence(errors)


def test_a_folder_that_cannot_be_written(toy):
    (toy.folder / "results").write_text("a file where a folder should be")
    code, _, errors = toy("run")
    assert code == 2
    assert "results" in one_sentence(errors)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody may write")
def test_a_read_only_folder(toy):
    # A folder without write permission would not stop root, which tests may well run as.
    code, _, errors = toy("run", "--out", "/proc/odeclaims")
    assert code == 2
    assert "/proc/odeclaims" in one_sentence(errors)


def test_a_corrupt_csv_is_set_aside_and_made_again(done):
    data = done.out / "quick" / "toy" / "data.csv"
    whole = data.read_text()
    data.write_text(whole[:100])
    code, _, errors = done("figures")
    assert code == 2
    assert "data.csv" in one_sentence(errors)
    assert "data.csv.corrupt-1" in errors
    assert "0 cells measured, 6 taken" in done("run")[1]
    assert data.read_text() == whole


def test_check_fails_when_a_verdict_does_not_follow(done):
    path = done.out / "quick" / "toy" / "verdict.json"
    whole = path.read_text()
    changed = whole.replace('"outcome": "reproduced"', '"outcome": "undecided"')
    path.write_text(changed.replace("1 of 1 reproduced", "0 of 1 reproduced, 1 undecided"))
    code, output, _ = done("check")
    assert code == 1
    assert "differs from its rows in summary, statements" in output
    path.write_text(changed)
    code, output, _ = done("check")
    assert code == 1
    assert "the summary does not count the central statements" in output
    assert "it is set aside as verdict.json.corrupt-1" in output


@pytest.mark.parametrize(("factor", "code"), [(1 + 1e-12, 0), (1 + 1e-6, 1)])
def test_check_overlooks_how_a_processor_rounds_and_nothing_more(done, factor, code):
    path = done.out / "quick" / "toy" / "verdict.json"
    verdict = json.loads(path.read_text())
    verdict["statements"][0]["value"] *= factor
    path.write_text(json.dumps(verdict))
    found, output, _ = done("check")
    assert found == code
    assert ("differs from its rows in statements" in output) == bool(code)


def test_a_number_is_cited_and_verified_as_long_as_it_is_there(done):
    code, output, errors = done("cite", "toy")
    assert (code, errors) == (0, "")
    assert "@misc{toy_source," in output
    (name,) = re.findall(r"\[([0-9a-f]{10})\]", output)
    largest = f"{done.rows()['x'].max():.1f}"
    code, output, _ = done("verify", name)
    assert code == 0
    assert f"quick/toy, statements, row 1, measured: {largest}" in output
    shutil.rmtree(done.out / "quick")
    code, output, errors = done("verify", name)
    assert code == 1
    assert f"has the name {name} any more" in output


def test_the_numbers_of_a_manuscript_are_verified(done):
    sentence = done("cite", "toy")[1].splitlines()[-2]
    (name,) = re.findall(r"\[([0-9a-f]{10})\]", sentence)
    largest = f"{done.rows()['x'].max():.1f}"
    (done.folder / "notes.md").write_text(f"# As it is cited\n\n{sentence}\n")
    paper = done.folder / "paper.tex"
    paper.write_text(f"x\n\\odeclaim{{{name}}}{{{largest}}}\n")
    code, output, errors = done("verify", "paper.tex", "notes.md", name)
    assert (code, errors) == (0, "")
    assert f"paper.tex, line 2: right: {largest} [{name}]; quick/toy, statements, row 1" in output
    assert "notes.md: 1 number carries a name: 1 right, 0 changed, 0 unknown." in output
    assert "made again from the 6 rows" in output
    with paper.open("a") as file:
        file.write(f"\\odeclaim{{{name}}}{{-1.5}} \\odeclaim{{0123456789}}{{\x1b[31m}}")
    code, output, _ = done("verify", "paper.tex")
    assert code == 1
    assert f"paper.tex, line 3: changed: -1.5 [{name}]; quick/toy" in output
    assert "line 3: unknown: \\x1b[31m [0123456789]; no cell has this name" in output
    assert "paper.tex: 3 numbers carry a name: 1 right, 1 changed, 1 unknown." in output
    code, _, errors = done("verify", "none.tex")
    assert code == 2
    assert "none.tex: No such file" in one_sentence(errors)


def test_the_latex_package_is_printed(toy):
    code, output, _ = toy("cite", "--sty")
    assert code == 0
    assert output == (ROOT / "suites" / "odeclaims" / "odeclaims.sty").read_text()
    assert "\\DeclareRobustCommand{\\odeclaim}[2]{#2}" in output


def test_two_runs_of_the_same_code_do_not_differ(done, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "results"
    shutil.copytree(done.out, other)
    code, output, _ = done("compare", "results", str(other))
    assert code == 0
    assert "1 of 1 statements agree." in output
    verdict = other / "quick" / "toy" / "verdict.json"
    changed = verdict.read_text().replace('"outcome": "reproduced"', '"outcome": "not reproduced"')
    changed = changed.replace("1 of 1 reproduced", "0 of 1 reproduced, 1 not reproduced")
    verdict.write_text(changed)
    code, output, _ = done("compare", "results", str(other))
    assert code == 1
    assert "0 of 1 statements agree; 1 differs: toy (quick) x_is_small." in " ".join(output.split())


def test_rules_are_registered_and_one_that_moved_is_refused(toy):
    code, output, errors = toy("register")
    assert (code, errors) == (0, "")
    assert "1 rule registered in results/registry.csv, 0 stood there" in output
    assert toy("register", "--check")[0] == 0
    claim = toy.folder / "toy.py"
    claim.write_text(claim.read_text().replace("at_most=96", "at_most=97"))
    code, output, _ = toy("register", "--check")
    assert code == 1
    assert "toy: not registered: x_is_small" in output
    code, _, errors = toy("register", "--reason", "it was too strict")
    assert code == 2
    assert "raise the revision of the claim" in one_sentence(errors)
    claim.write_text(claim.read_text().replace('slug="toy"', 'revision=2, slug="toy"'))
    assert "--reason says why" in one_sentence(toy("register")[2])
    assert toy("register", "--reason", "it was too strict")[0] == 0
    assert len((toy.out / "registry.csv").read_text().splitlines()) == 3


def test_an_error_in_a_cell_is_named_and_the_others_are_kept(toy):
    toy.claim(trouble="assert cell.repetition != 1, 'a bug'")
    code, output, _ = toy("run")
    assert code == 1
    assert "toy (delay_s=0.0, repetition=1) failed: AssertionError: a bug (toy.py, line" in output
    assert "5 cells measured" in output
    assert not (toy.out / "quick" / "toy" / "data.csv").exists()


def test_a_solve_that_fails_is_a_row(toy):
    toy.claim(trouble="if cell.repetition == 1: raise StepUnderflow('no', 0.0)")
    assert toy("run")[0] == 0
    assert toy.rows()["status"].tolist() == ["ok", "underflow", "ok", "ok", "ok", "ok"]
    verdict = json.loads((toy.out / "quick" / "toy" / "verdict.json").read_text())
    assert "1 of 6 rows have the status underflow." in verdict["caveats"]


def test_a_cell_that_takes_too_long_is_a_row(toy):
    toy.claim(trouble="time.sleep(60 if cell.repetition == 1 else 0)")
    before = "from odeclaims.run import tasks; tasks.TIMEOUT_S['quick'] = 0.5"
    assert toy("run", before=before)[0] == 0
    assert toy.rows()["status"].tolist().count("timeout") == 1


WAITING = "time.sleep(0 if cell.repetition < 2 or Path('go').exists() else 19)"


def goes_on(toy: Toy) -> None:
    """A run whose third cell waited to be stopped is finished by another."""
    assert toy.finished_cells() == 2
    (toy.folder / "go").touch()
    code, output, _ = toy("run")
    assert code == 0
    assert "4 cells measured, 2 taken from before" in output
    assert not list(toy.out.glob("**/*.part"))


def test_a_run_that_its_user_stops_says_so_and_goes_on_where_it_was(toy):
    toy.claim(trouble=WAITING)
    process = toy.as_a_user("run", "--jobs", "1")
    toy.wait_until(lambda: toy.finished_cells() == 2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "finished cells are kept" in errors
    goes_on(toy)


def test_a_run_that_the_system_ends_says_so_and_goes_on_where_it_was(toy):
    toy.claim(trouble=WAITING)
    process = toy.start("run", "--jobs", "1")
    toy.wait_until(lambda: toy.finished_cells() == 2)
    os.kill(process, signal.SIGTERM)
    code, _, errors = toy.end()
    assert code == 143
    assert "finished cells are kept" in one_sentence(errors)
    goes_on(toy)


def test_a_run_that_is_killed_goes_on_where_it_was(toy):
    toy.claim(trouble=WAITING)
    process = toy.start("run", "--jobs", "1")
    toy.wait_until(lambda: toy.finished_cells() == 2)
    os.killpg(process, signal.SIGKILL)
    assert toy.end()[0] == -signal.SIGKILL
    goes_on(toy)


def test_a_second_run_into_the_same_folder_is_refused(toy):
    toy.claim(trouble="time.sleep(15 if cell.repetition else 0)")
    first, second = toy.start("run"), toy.beside()
    toy.wait_until(lambda: toy.finished_cells() == 1)
    refused = [second("run")]
    kept = toy.finished_cells()
    # The first still writes there when the folder is deleted.
    shutil.rmtree(toy.out)
    refused.append(second("run"))
    os.killpg(first, signal.SIGKILL)
    toy.end()
    for code, _, errors in refused:
        assert code == 2
        assert "another run is writing to results" in one_sentence(errors)
    assert kept < 6
