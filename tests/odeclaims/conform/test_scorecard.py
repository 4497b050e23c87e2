"""The scorecard: what is written, the command, and a process that hangs or dies."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from odeclaims.backends import Backend
from odeclaims.backends.ours import Ours
from odeclaims.conform.check import Finding
from odeclaims.conform.scorecard import CHECKS, Scorecard
from odeclaims.conform.show import render_page, write

ROOT = Path(__file__).parents[3]

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


COMMAND = """
import odeclaims.backends as backends
import odeclaims.cli as cli
import odeclaims.conform.scorecard as scorecard
from odeclaims.backends.ours import Ours
import hostile

if __name__ == "__main__":
    backends.find_backends = lambda: {"hostile": hostile.Hostile(), "missing": Ours()}
    scorecard.CHECKS = hostile.CHECKS
    cli.main()
"""


def command(folder: Path, name: str) -> tuple[int, str, str]:
    (folder / "hostile.py").write_text(HOSTILE)
    (folder / "main.py").write_text(COMMAND)
    paths = [str(folder), str(ROOT / "reference"), str(ROOT / "suites")]
    done = subprocess.run(
        [sys.executable, "main.py", "conform", name],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_hang_and_a_death_fail_their_own_checks_only(tmp_path):
    code, output, errors = command(tmp_path, "hostile")
    assert (code, errors) == (1, "")
    assert "2 pass, 2 fail, 0 not offered, 0 cannot be asked" in " ".join(output.split())
    kept = json.loads((tmp_path / "results/conform/hostile/scorecard.json").read_text())
    assert [(f["check"], f["outcome"], f["sentence"]) for f in kept["findings"]] == [
        ("answers", "pass", "hostile <b>&"),
        ("hangs", "fail", "no answer within 0.2 s"),
        ("dies", "fail", "the process died"),
        ("answers", "pass", "hostile <b>&"),
    ]


def test_an_unknown_backend_is_named(tmp_path):
    code, output, errors = command(tmp_path, "nobody")
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
