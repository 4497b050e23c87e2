"""What a stranger has who installs the two wheels, outside of a clone."""

import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from odeclaims import __version__

ROOT = Path(__file__).parents[1]
NO_COPIES = shutil.ignore_patterns("__pycache__", "*.png", "*.pdf", "*.gif", "cells", "asv")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
# The script that pip makes, on what lies first on the path; some modules may be hidden from it.
COMMAND = """
import sys
from importlib.metadata import entry_points

hidden, *sys.argv[1:] = sys.argv[1:]
sys.modules |= dict.fromkeys(filter(None, hidden.split(",")))
(command,) = entry_points(group="console_scripts", name="odeclaims")
command.load()()
"""
SOLVE = """
import importlib, pkgutil, sys
import torch

sys.modules |= dict.fromkeys(sys.argv[1].split(","))
import neural_ode

for module in pkgutil.walk_packages(neural_ode.__path__, "neural_ode."):
    importlib.import_module(module.name)
times = torch.tensor([0.0, 1.0], dtype=torch.float64)
solution = neural_ode.solve(lambda t, y: -y, torch.ones(1, dtype=torch.float64), times)
print(f"{solution.ys[-1].item():.3f}")
"""
MATERIAL = """
from pathlib import Path
from neural_ode.data import mnist
from odeclaims.cell import Context
from odeclaims.trained.provide import provide, published
from odeclaims.trained.publish import find_standing

(network,) = [each for each in published("table1") if each[0].name == "table1-mlp-0"]
provide(*network, Context()).model
state = find_standing(network[0], Path("results")).state
print(network[0].name, state, len(mnist.load("test").images))
"""


def build(project: Path, wheels: Path) -> None:
    """Build the wheel of a project, with the setuptools that are installed."""
    command = [sys.executable, "-c", BUILD, str(wheels)]
    made = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> list[Path]:
    """Both wheels, built from copies of what git has."""
    folder = tmp_path_factory.mktemp("wheels")
    source = tmp_path_factory.mktemp("source")
    for name in ("reference", "suites", "results"):
        shutil.copytree(ROOT / name, source / name, ignore=NO_COPIES)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build(source, folder)
    build(source / "results", folder)
    return sorted(folder.glob("*.whl"))


class Stranger:
    """An empty folder, and the command line of the wheels in it."""

    def __init__(self, site: Path, folder: Path) -> None:
        self.site, self.folder = site, folder

    def __call__(self, *arguments: str, hidden: str = "") -> tuple[int, str, str]:
        return self.python(COMMAND, hidden, *arguments)

    def python(self, code: str, *arguments: str) -> tuple[int, str, str]:
        """Run a program; its exit code, output and errors."""
        environment = os.environ | {
            "PYTHONPATH": str(self.site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "200",
            "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.folder.parent),
        }
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def site(wheels, tmp_path_factory) -> Path:
    """A folder of packages as pip leaves it: a wheel is a zip of what goes there."""
    folder = tmp_path_factory.mktemp("site")
    for wheel in wheels:
        zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture
def stranger(site, tmp_path) -> Stranger:
    (tmp_path / "work").mkdir()
    return Stranger(site, tmp_path / "work")


@pytest.fixture(scope="module")
def central() -> dict[str, str]:
    """What the record says of a claim: its summary, and a number with the name of its cell."""
    folder = ROOT / "results" / "quick" / "adjoint_gradients"
    verdict = json.loads((folder / "verdict.json").read_text())
    with (folder / "hashes.csv").open(newline="") as file:
        cell = next(row for row in csv.DictReader(file) if row["column"] == "measured")
    return {"summary": verdict["summary"], "name": cell["hash"], "text": cell["text"]}


def test_the_record_is_that_of_the_repository_without_figures(site):
    record, results = site / "odeclaims_results", ROOT / "results"
    for path in results.glob("*/*/verdict.json"):
        if path.parts[-3] in ("quick", "hour", "paper"):
            place = path.relative_to(results)
            assert (record / place).read_bytes() == path.read_bytes()
            packed = record / place.with_name("data.csv.gz")
            assert gzip.decompress(packed.read_bytes()) == path.with_name("data.csv").read_bytes()
    assert (record / "registry.csv").read_bytes() == (results / "registry.csv").read_bytes()
    weights = [path.parent.name for path in record.glob("trained/*/weights.safetensors")]
    assert sorted(weights) == sorted(path.name for path in (results / "trained").iterdir())
    kinds = {path.suffix for path in record.rglob("*") if path.is_file()}
    assert kinds == {".csv", ".gz", ".json", ".md", ".tex", ".safetensors", ".py"}


def test_both_distributions_have_one_version():
    for project in (ROOT, ROOT / "results"):
        content = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
        assert content["project"]["version"] == __version__


@pytest.mark.slow(reason="the command line is started five times")
def test_the_record_is_listed_shown_cited_verified_and_checked(stranger, central):
    code, listed, errors = stranger("list")
    assert (code, errors) == (0, "")
    assert "not run yet" not in listed
    assert f"This is the published record, in {stranger.site / 'odeclaims_results'}." in listed
    code, shown, _ = stranger("show", "adjoint_gradients")
    assert code == 0
    assert f"Central statements: {central['summary']}." in shown
    code, cited, _ = stranger("cite", "adjoint_gradients")
    assert code == 0
    assert f"{central['text']} [{central['name']}]" in cited
    (stranger.folder / "paper.md").write_text(cited)
    code, verified, _ = stranger("verify", "paper.md")
    assert code == 0
    assert re.search(r"(\d+) numbers carry a name: \1 right, 0 changed, 0 unknown\.", verified)
    assert central["text"] in verified
    code, checked, _ = stranger("check", "adjoint_gradients")
    assert code == 0, checked
    assert "follows from its rows" in checked
    assert [path.name for path in stranger.folder.iterdir()] == ["paper.md"]


# Imports all that draws, starts a process for it, and draws: ten seconds.
@pytest.mark.slow
def test_figures_of_the_record_are_drawn_where_they_are_asked_for(stranger):
    before = {path: path.stat().st_mtime_ns for path in stranger.site.rglob("*")}
    # No picture of several claims is drawn at this profile.
    code, _, errors = stranger("figures", "density_matching", "--profile", "hour")
    assert (code, errors) == (0, "")
    folder = stranger.folder / "results" / "hour" / "density_matching"
    assert {path.name for path in folder.iterdir()} >= {"figure.png", "figure.pdf"}
    assert {path: path.stat().st_mtime_ns for path in stranger.site.rglob("*")} == before
    # No rows lie in what was written, so the record is read as before.
    assert "This is the published record" in stranger("list")[1]


# Imports torch and what measures, twice: ten seconds.
@pytest.mark.slow
def test_a_claim_is_measured(stranger):
    code, output, errors = stranger("run", "identity_residual", "--profile", "smoke", "--jobs", "1")
    assert (code, errors) == (0, "")
    assert "cells measured, 0 taken from before." in output
    made = stranger.folder / "results" / "smoke" / "identity_residual" / "provenance.json"
    # The checkout that this file lies in is not that of the package.
    assert json.loads(made.read_text())["commit"] is None


@pytest.mark.slow(reason="a process imports torch")
def test_published_networks_and_the_digits_to_measure_them_on_are_there(stranger):
    code, output, errors = stranger.python(MATERIAL)
    assert (code, errors) == (0, "")
    assert output == "table1-mlp-0 published 10000\n"


def test_another_version_of_the_record_is_refused_in_a_sentence(stranger, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    for path in stranger.site.iterdir():
        if path.name != f"odeclaims_results-{__version__}.dist-info":
            (site / path.name).symlink_to(path)
    other = site / "odeclaims_results-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: odeclaims-results\nVersion: 0.0.1\n"
    )
    code, _, errors = Stranger(site, stranger.folder)("list")
    assert code == 2
    assert errors == (
        f"odeclaims: odeclaims-results 0.0.1 is installed beside odeclaims {__version__}; expected"
        " the same version of both\n"
    )


# --- what is not installed


def of_suite() -> str:
    """The modules of the packages that a plain install lacks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = [re.split(r"[^\w-]", each)[0] for each in project["optional-dependencies"]["suite"]]
    return ",".join(names)


@pytest.mark.slow(reason="a process imports torch")
def test_the_solver_needs_no_package_of_the_suite(stranger):
    assert {"pandas", "seaborn", "typer", "pydantic"} <= set(of_suite().split(","))
    assert stranger.python(SOLVE, of_suite()) == (0, "0.368\n", "")


@pytest.mark.parametrize(
    ("hidden", "arguments"),
    [
        ("", ["list"]),
        ("seaborn", ["figures", "identity_residual"]),
        ("pandas", ["cite", "annulus"]),
    ],
)
def test_a_command_says_in_a_sentence_what_it_lacks(stranger, hidden, arguments):
    code, output, errors = stranger(*arguments, hidden=hidden or of_suite())
    assert (code, output) == (2, "")
    name = hidden or r"\w+"
    assert re.fullmatch(
        f"odeclaims: this command needs the package {name}; the extra `suite` of odeclaims brings"
        " what all commands need\n",
        errors,
    )
