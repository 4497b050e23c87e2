"""What a provenance says of the source tree, in a checkout of a few files."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from odeclaims.record import provenance

FILES = (
    "pyproject.toml",
    "reference/neural_ode/solve.py",
    "suites/odeclaims/claims/crossing_1d/measure.py",
    "suites/odeclaims/record/provenance.py",
    "results/quick/crossing_1d/data.csv",
)


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Callable[..., None]:
    """A committed source tree, in which a function writes a file."""

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    def write(file: str, text: str) -> None:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    git("init")
    for file in FILES:
        write(file, "as it was\n")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(provenance, "__file__", str(Path(tmp_path, FILES[3])))
    monkeypatch.setattr(provenance, "_solver_path", lambda: Path(tmp_path, FILES[1]).resolve())
    return write


SOURCES = [
    *FILES[:4],
    "suites/odeclaims/kits/unknown_to_git.py",
    "results/trained/toys/network.json",
    "results/registry.csv",
]


@pytest.mark.parametrize("file", SOURCES)
def test_a_change_of_any_source_makes_the_tree_dirty(checkout, file):
    assert provenance.provenance("cpu")["clean_tree"] is True
    checkout(file, "changed\n")
    assert provenance.provenance("cpu")["clean_tree"] is False


@pytest.mark.parametrize("file", [FILES[4], "results/quick/toy/data.csv", "out/quick/toy/data.csv"])
def test_what_a_run_writes_does_not(checkout, file):
    checkout(file, "changed\n")
    assert provenance.clean_tree()


def test_settings_of_git_hide_no_change(checkout, tmp_path, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    subprocess.run(["git", "init", elsewhere], check=True, capture_output=True)
    assert (before := provenance.commit()) is not None
    monkeypatch.setenv("GIT_DIR", str(elsewhere / ".git"))
    assert provenance.commit() == before
    config = ["git", "-C", tmp_path, "config", "status.showUntrackedFiles", "no"]
    subprocess.run(config, check=True, env={"PATH": os.environ["PATH"]})
    assert provenance.clean_tree()
    checkout("suites/odeclaims/kits/unknown_to_git.py", "new\n")
    assert not provenance.clean_tree()


def test_a_solver_from_elsewhere_is_not_that_of_the_tree(checkout, tmp_path, monkeypatch):
    assert provenance.clean_tree()
    monkeypatch.setattr(provenance, "_solver_path", lambda: tmp_path.parent / "solve.py")
    assert not provenance.clean_tree()
    monkeypatch.undo()
    # That of this test is the checkout's own.
    assert provenance._solver_path().is_relative_to(provenance.source_tree())


def test_a_package_that_git_ignores_has_no_commit(checkout, tmp_path, monkeypatch):
    """As one that is installed into a folder of somebody else's checkout."""
    vendored = "vendor/odeclaims/record/provenance.py"
    checkout(vendored, "")
    assert provenance.commit() is not None
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / vendored))
    assert provenance.source_tree() == tmp_path.resolve()
    assert provenance.commit() is None


def test_a_tree_without_a_history_is_not_clean(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(Path(tmp_path, FILES[3])))
    assert not provenance.clean_tree()
