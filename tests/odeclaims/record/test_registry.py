"""Which rules were registered when, and what a result may say of itself."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from odeclaims.claim import Claim, Column
from odeclaims.record.files import CorruptFile
from odeclaims.record.registry import (
    check_history,
    fill_commits,
    read_registry,
    register,
    register_all,
    registration,
    rules_of,
    unregistered,
    why_not_registered,
    write_registry,
)
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Check, Statement
from tests.odeclaims.toy_claims import make_claim


def x_of(df: pd.DataFrame) -> pd.Series:
    return df["x"]


def toy(bound: float = 1.0, revision: int = 1, check: float = 9.0, name: str = "small") -> Claim:
    rule = Exact(Bounds(at_most=bound))
    statement = Statement(name, "x is small", x_of, rule, "a test", central=True)
    whole = Check("whole", "the instrument is whole", x_of, Bounds(at_most=check), "a test")
    columns = {"x": Column("a number")}
    claim = make_claim(columns=columns, STATEMENTS=[statement], CHECKS=[whole])
    return replace(claim, revision=revision)


@pytest.fixture
def checkout(tmp_path: Path):
    """A Git checkout with a results folder; ``git`` runs in it."""

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "results").mkdir()
    git("commit", "-q", "--allow-empty", "-m", "nothing")
    return tmp_path / "results", git


def commit(git: Any) -> str:
    git("add", "-A")
    git("commit", "-q", "-m", "a step")
    return git("rev-parse", "HEAD")


def made_at(claim: Claim, out: Path, *commits: str) -> dict[str, Any]:
    parts = {"clean_tree": True, "commit": commits[-1], "cells_made_at_commits": list(commits)}
    return parts | registration(claim, rules_of(claim), out, commits)


def test_a_rule_is_registered_once_and_revised_with_a_reason(tmp_path):
    write_registry(tmp_path, register(toy(), [], ""))
    entries = read_registry(tmp_path)
    assert [(e.statement, e.revision, e.reason) for e in entries] == [
        ("small", 1, "first registered"),
        ("_check_whole", 1, "first registered"),
        ("_size", 1, "first registered"),
    ]
    assert unregistered(toy(), entries) == {}
    assert register(toy(), entries, "") == []
    with pytest.raises(ValueError, match="raise the revision of the claim"):
        register(toy(2.0), entries, "it was too strict")
    with pytest.raises(ValueError, match="--reason says why"):
        register(toy(2.0, revision=2), entries, "")
    revised, *_ = register(toy(2.0, revision=2), entries, "it was too strict")
    assert (revised.revision, revised.reason) == (2, "it was too strict")
    # The old line stays.
    write_registry(tmp_path, [*entries, revised])
    assert read_registry(tmp_path)[0] == entries[0]
    assert list(unregistered(toy(), [*entries, revised])) == ["small"]


def test_a_rule_of_another_name_is_a_revised_one():
    """Else its bound could move under the new name, on seeds whose results are known."""
    entries = register(toy(), [], "")
    with pytest.raises(ValueError, match=r"no longer has the rule small.*new one tiny; raise the"):
        register(toy(2.0, name="tiny"), entries, "a better name")
    renamed = toy(2.0, revision=2, name="tiny")
    assert {e.statement for e in register(renamed, entries, "a better name")} == {
        "tiny",
        "_check_whole",
        "_size",
    }


def test_a_rule_that_joins_others_says_why():
    entries = [e for e in register(toy(), [], "") if e.statement != "small"]
    with pytest.raises(ValueError, match="toy has registered rules, and small is not one of them"):
        register(toy(), entries, "")
    (added,) = register(toy(), entries, "it was forgotten")
    assert (added.statement, added.reason) == ("small", "it was forgotten")


def test_two_commands_at_once_lose_no_line(tmp_path):
    claims = [replace(toy(), slug=f"toy_{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda claim: register_all([claim], tmp_path, ""), claims))
    assert sum(count for count, _ in added) == len(read_registry(tmp_path)) == 3 * len(claims)


def test_a_check_of_the_instrument_is_revised_as_a_rule_is(checkout):
    """Else an invalid outcome could be made a good one, and still count as registered."""
    out, git = checkout
    entries = register(toy(), [], "")
    write_registry(out, entries)
    made = made_at(toy(), out, commit(git))
    assert list(unregistered(toy(check=8.0), entries)) == ["_check_whole"]
    with pytest.raises(ValueError, match="the rule of toy, _check_whole, differs"):
        register(toy(check=8.0), entries, "it was too loose")
    assert "the rule of _check_whole changed" in why_not_registered(toy(check=8.0), made)
    revised = toy(check=8.0, revision=2)
    assert "measured by revision 1 of the rules" in why_not_registered(revised, made)
    # A result of before checks were registered says nothing of them.
    of_statements = {"small": made["rules"]["small"]}
    older = made | {"rules": of_statements, "registered": ["small"]}
    assert why_not_registered(toy(), older) == ""
    assert "measured by revision 1 of the rules" in why_not_registered(revised, older)


def test_a_result_counts_as_registered_where_the_commit_that_measured_it_has_the_rule(checkout):
    out, git = checkout
    claim, before = toy(), git("rev-parse", "HEAD")
    write_registry(out, register(claim, [], ""))
    # What is not committed does not count.
    made = made_at(claim, out, before)
    assert "was not registered in the commit" in why_not_registered(claim, made)
    after = commit(git)
    made = made_at(claim, out, after)
    assert why_not_registered(claim, made) == ""
    assert check_history(claim, made, out) == ""
    # Cells of an earlier commit had no rule yet.
    assert why_not_registered(claim, made_at(claim, out, before, after))
    entry, *_ = fill_commits(out, read_registry(out))
    assert entry.commit == after


def test_why_a_result_does_not_count(checkout):
    out, git = checkout
    claim = toy()
    write_registry(out, register(claim, [], ""))
    made = made_at(claim, out, commit(git))
    assert "before rules were registered" in why_not_registered(claim, {"clean_tree": True})
    assert "uncommitted changes" in why_not_registered(claim, made | {"clean_tree": False})
    assert "rule of small changed" in why_not_registered(toy(2.0), made)


def test_the_history_is_held_against_what_a_result_says_of_itself(checkout):
    out, git = checkout
    claim, before = toy(), git("rev-parse", "HEAD")
    write_registry(out, register(claim, [], ""))
    made = made_at(claim, out, commit(git))
    forged = made | {"cells_made_at_commits": [before]}
    assert "lacks the rule of" in check_history(claim, forged, out)
    elsewhere = made | {"cells_made_at_commits": ["a" * 40]}
    assert "is no ancestor" in check_history(claim, elsewhere, out)
    assert check_history(claim, made, out.parent.parent) == ""


def test_a_shallow_clone_has_no_history_to_tell_of(checkout, tmp_path_factory):
    out, git = checkout
    claim = toy()
    write_registry(out, register(claim, [], ""))
    made = made_at(claim, out, commit(git))
    git("commit", "-q", "--allow-empty", "-m", "later")
    clone = tmp_path_factory.mktemp("shallow")
    git("clone", "-q", "--depth", "1", f"file://{out.parent}", str(clone))
    assert check_history(claim, made, clone / "results") == ""
    assert [e.commit for e in fill_commits(clone / "results", read_registry(out))] == ["", "", ""]


def test_one_rule_and_revision_has_one_digest(tmp_path):
    """A merge of two branches may leave two."""
    path = write_registry(tmp_path, register(toy(), [], ""))
    path.write_text(path.read_text() + "toy,small,0123456789abcdef,1,2026-11-30,,why\n")
    with pytest.raises(CorruptFile, match=r"two rules of toy, small, as revision 1: .* and 0123"):
        read_registry(tmp_path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"toy,small,0123456789abcdef,1\n", "the line of toy, small, ends too early"),
        (b"toy,small,\xff,1,2026-11-30,,why\n", "it is not UTF-8"),
        (b"toy,small," + 140_000 * b"0" + b",1,2026-11-30,,why\n", "field larger than"),
    ],
)
def test_a_line_that_is_no_rule_is_named(tmp_path, line, says):
    path = write_registry(tmp_path, register(toy(), [], ""))
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(CorruptFile, match=f"registry.csv is not a registry: .*{says}"):
        read_registry(tmp_path)


def test_a_file_that_is_no_registry_is_named(tmp_path):
    (tmp_path / "registry.csv").write_text("claim,rule\n")
    with pytest.raises(CorruptFile, match="is not a registry: expected the columns claim"):
        read_registry(tmp_path)
    head = "claim,statement,digest,revision,date,commit,reason\n"
    (tmp_path / "registry.csv").write_text(head + "a,b,c,first,,,\n")
    with pytest.raises(CorruptFile, match="is not a registry"):
        read_registry(tmp_path)
