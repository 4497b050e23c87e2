"""The scorecard: what is written, the command, and a process that hangs or dies."""

import csv
import importlib
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from odeclaims.backends import Backend
from odeclaims.backends.ours import Ours
from odeclaims.conform.check import Finding
from odeclaims.conform.scorecard import CHECKS, Scorecard
from odeclaims.conform.show import render_page, write

pytestmark = pytest.mark.usefixtures("unchecked")

HOSTILE = """
import os, time
from odeclaims.backends.ours import Ours
from odeclaims.claim import Bounds
from odeclaims.conform.check import Check, Observation

class Hostile(Ours):
    name = "hostile"

def hangs(backend):
    time.sleep(600)

def dies(backend):
    os._exit(3)

def answers(backend):
    return Observation(1.0, f"{backend.name} <b>&")

def make(measure, limit_s=60.0):
    return Check("g", measure.__name__, "a number", Bounds(at_most=1), "why", measure, limit_s)

CHECKS = [make(answers), make(hangs, 0.2), make(dies), make(answers)]
"""


def card() -> Scorecard:
    record = {
        "odeclaims": "1",
        "commit": "c0ffee",
        "clean_tree": True,
        "python": "3",
        "packages": {"torch": "2"},
        "system": "s",
        "cpu": "c",
    }
    good, bad = CHECKS[0], CHECKS[1]
    findings = [
        Finding(good, "pass", 5.0, "<b>&"),
        Finding(bad, "fail", float("inf"), "off"),
        Finding(good, "not offered", None, "no"),
    ]
    return Scorecard("toy", "A toy.", findings, record)


def test_what_is_written(tmp_path):
    paths = write(card(), tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == [
        f"conform/toy/scorecard.{suffix}" for suffix in ("csv", "md", "json", "html")
    ]
    with paths[0].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == ["pass", "fail", "not offered"]
    assert [row["measured"] for row in rows] == ["5.00", "inf", ""]
    kept = json.loads(paths[2].read_text(), parse_constant=pytest.fail)
    assert kept["counts"] == {"pass": 1, "fail": 1, "not offered": 1}
    assert kept["provenance"]["commit"] == "c0ffee"
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write(card(), tmp_path)] == first


def test_the_page_is_whole_and_escapes_what_solvers_say():
    text = render_page(card())
    assert "&lt;b&gt;&amp;" in text
    assert "<b>" not in text
    assert not re.search(r"(src|href)=|url\(|@import|<script", text)
    assert text.count("<tr>") == 1 + 3
    assert text.count('scope="row"') == 3


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> Callable[[str], tuple[int, str, str]]:
    """``odeclaims conform`` on a backend, in a folder where hostile ones can be imported."""
    from odeclaims import backends, cli
    from odeclaims.conform import scorecard

    (tmp_path / "hostile.py").write_text(HOSTILE)
    monkeypatch.chdir(tmp_path)
    # The processes that answer the checks import from there, too.
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "hostile", raising=False)
    hostile = importlib.import_module("hostile")
    known = {"hostile": hostile.Hostile(), "missing": Ours()}
    monkeypatch.setattr(backends, "find_backends", lambda: known)
    monkeypatch.setattr(scorecard, "CHECKS", hostile.CHECKS)

    def run(name: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["odeclaims", "conform", name])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, said.out, said.err

    return run


@pytest.mark.slow(reason="a check runs into its time limit")
def test_a_hang_and_a_death_fail_their_own_checks_only(command, tmp_path):
    code, output, errors = command("hostile")
    assert (code, errors) == (1, "")
    assert "2 pass, 2 fail, 0 not offered, 0 cannot be asked" in " ".join(output.split())
    kept = json.loads((tmp_path / "results/conform/hostile/scorecard.json").read_text())
    assert [(f["check"], f["outcome"], f["sentence"]) for f in kept["findings"]] == [
        ("answers", "pass", "hostile <b>&"),
        ("hangs", "fail", "no answer within 0.2 s"),
        ("dies", "fail", "the process died"),
        ("answers", "pass", "hostile <b>&"),
    ]


def test_an_unknown_backend_is_named(command, tmp_path):
    code, output, errors = command("nobody")
    assert (code, output) == (2, "")
    assert errors == (
        "odeclaims: there is no backend 'nobody'; the backends are hostile, missing\n"
    )
    assert not (tmp_path / "results").exists()


class Missing(Ours):
    """A solver that is not installed."""

    name, requires = "missing", ("a-solver-that-is-nowhere",)


@pytest.mark.parametrize(
    ("names", "code", "says"),
    [
        (["ours"], 0, "2 pass, 0 fail, 0 not offered, 0 cannot be asked"),
        (["ours", "missing"], 2, "backend missing needs a-solver-that-is-nowhere"),
        ([], 0, "needs a-solver-that-is-nowhere"),
    ],
)
def test_the_other_ends_of_the_command(tmp_path, monkeypatch, capsys, names, code, says):
    from odeclaims import backends, cli
    from odeclaims.conform import scorecard

    known: dict[str, Backend] = {"ours": Ours(), "missing": Missing()}
    passed = replace(card(), findings=card().findings[:1] * 2)
    monkeypatch.setattr(backends, "find_backends", lambda: known)
    monkeypatch.setattr(scorecard, "fill_scorecard", lambda backend: passed)
    monkeypatch.setattr(sys, "argv", ["odeclaims", "conform", *names, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code or 0) == code
    said = capsys.readouterr()
    assert says in " ".join((said.out + said.err).split())
    assert (tmp_path / "conform").exists() == (names == ["ours"])
