"""What the command line makes of its arguments: mistakes, help, and what it imports for them."""

import os
import subprocess
import sys

import pytest

from odeclaims import __version__
from tests.odeclaims.cli.toy import ROOT, one_sentence


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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "tyo"], "there is no claim 'tyo'; did you mean toy?"),
        (["run", "--device", "abacus"], "unknown device 'abacus'; expected cpu, cuda or cuda:N"),
        (["run", "--device", "cpu:0"], "'cpu:0' is not supported; expected cpu, cuda or cuda:N"),
        (["figures"], "results has no results of any claim; `odeclaims run` makes them"),
        (
            ["figures", "toy", "--profile", "paper"],
            "of toy at the profile paper; `odeclaims run toy --profile paper` makes them",
        ),
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


@pytest.mark.slow(reason="each command is started as a user does")
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
