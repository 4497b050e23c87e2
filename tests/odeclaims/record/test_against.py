"""Results held against a commit: a forgery that is consistent in itself is noticed there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from odeclaims.claim import Column
from odeclaims.record.against import find_revision
from odeclaims.record.frame import frame
from odeclaims.record.judged import Judged
from odeclaims.record.results import Results
from tests.odeclaims.toy_claims import PROVENANCE, make_claim

CLAIM = make_claim(columns={"x": Column("a number"), "word": Column("a word")})
ROW = {
    "x": 0.5,
    "word": "a\r\nb",
    "status": "ok",
    "repetition": 0,
    "seed": 1,
    "device": "cpu",
    "solver": "ours",
}
NAMES = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    environment = os.environ | NAMES
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout


@pytest.fixture
def results(tmp_path) -> Results:
    """A result that is committed, in a folder whose path has a space."""
    checkout = tmp_path / "a checkout"
    checkout.mkdir()
    git(checkout, "init", "-q")
    made = Results(checkout / "results", "quick", CLAIM)
    made.write(frame(CLAIM, [ROW, ROW | {"x": 0.25}]), PROVENANCE)
    (checkout / ".gitattributes").write_text("results/** -text\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "Results")
    return made


@pytest.mark.parametrize("name", ["HEAD", "master", "main", "HEAD^{/Results}"])
def test_what_was_committed_does_not_differ(results, name):
    git(results.out, "branch", "-M", "master" if name == "master" else "main")
    assert find_revision(results.out, name).differences(results) == ""


def test_a_forgery_that_is_consistent_is_noticed(results):
    results.write(frame(CLAIM, [ROW, ROW | {"x": 0.75}]), PROVENANCE)
    assert Judged(results).stale() == ""
    assert find_revision(results.out, "HEAD").differences(results) == (
        "data.csv is not that of HEAD, provenance.json is not that of HEAD,"
        " verdict.json is not that of HEAD"
    )


def test_a_result_that_the_commit_lacks_and_one_that_is_gone(results):
    revision = find_revision(results.out, "HEAD")
    other = Results(results.out, "paper", CLAIM)
    other.write(frame(CLAIM, [ROW]), PROVENANCE | {"profile": "paper"})
    assert "data.csv is not in HEAD" in revision.differences(other)
    assert not revision.has(other)
    shutil.rmtree(results.folder)
    assert revision.has(results)


@pytest.mark.parametrize("convert", ["true", "input", "false"])
def test_a_clone_with_other_line_ends_does_not_differ(results, tmp_path, convert):
    source = str(results.out.parent)
    git(tmp_path, "clone", "-q", "-c", f"core.autocrlf={convert}", source, "a clone")
    clone = Results(tmp_path / "a clone" / "results", "quick", CLAIM)
    assert Judged(clone).stale() == ""
    assert find_revision(clone.out, "HEAD").differences(clone) == ""
    for path in (clone.provenance, clone.verdict):
        # As Git writes them where nothing tells it not to.
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert find_revision(clone.out, "HEAD").differences(clone) == ""
    assert Judged(clone).stale() == ""


def test_a_shallow_clone_has_what_it_has(results, tmp_path):
    git(results.out.parent, "commit", "-q", "--allow-empty", "-m", "Later")
    source = results.out.parent.as_uri()
    git(tmp_path, "clone", "-q", "--depth", "1", source, "shallow")
    shallow = Results(tmp_path / "shallow" / "results", "quick", CLAIM)
    assert find_revision(shallow.out, "HEAD").differences(shallow) == ""
    with pytest.raises(ValueError, match="has no revision 'HEAD~1'"):
        find_revision(shallow.out, "HEAD~1")


@pytest.mark.parametrize("name", ["", "--help", "HEAD:results", "HEAD^{tree}", "a b", "\x1b", "0"])
def test_what_names_no_commit_is_a_sentence(results, name):
    with pytest.raises(ValueError, match="has no revision"):
        find_revision(results.out, name)


def test_a_folder_outside_of_git_or_in_an_empty_repository_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ValueError, match="does not lie in a Git checkout"):
        find_revision(tmp_path, "HEAD")
    with pytest.raises(ValueError, match="does not lie in a Git checkout"):
        find_revision(tmp_path / "missing", "HEAD")
    git(tmp_path, "init", "-q")
    with pytest.raises(ValueError, match="has no revision 'HEAD'"):
        find_revision(tmp_path, "HEAD")


def test_without_git_it_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="does not lie in a Git checkout"):
        find_revision(tmp_path, "HEAD")
