"""The commands that draw: what they write, what they say, and in which order."""

import re
import shutil
from pathlib import Path

import pytest

from odeclaims.claims import _figure3
from odeclaims.cli.draw import _sort, figures
from odeclaims.report import draw

RESULTS = Path(__file__).parents[3] / "results"


def test_what_is_drawn_in_another_order_comes_in_that_of_the_results():
    taken = []

    def drawn():
        for i in (2, 0, 3, 1):
            taken.append(i)
            yield "abcd"[i]

    seen = []
    for each in _sort(drawn(), [2, 0, 3, 1]):
        seen.append((each, len(taken)))
    assert seen == [("a", 2), ("b", 4), ("c", 4), ("d", 4)]


def test_figures_tables_and_check_start_from_the_rows(done):
    shutil.rmtree(done.out / "cells")
    assert done("figures")[0] == done("tables")[0] == done("check")[0] == 0
    folder = done.out / "quick" / "toy"
    names = {"data.csv", "verdict.json", "provenance.json", "figure.png", "figure.pdf"}
    names |= {"figure-column.pdf", "table.md", "table.tex", "table.csv", "hashes.csv"}
    assert {p.name for p in folder.iterdir()} == names
    assert "toy" in (done.out / "README.md").read_text()


@pytest.mark.parametrize(
    ("slug", "profile", "joint"),
    [
        ("tolerance_tradeoff", None, ["quick"]),
        ("annulus", None, []),
        ("nfe_growth", "quick", ["quick"]),
    ],
)
def test_a_joint_figure_is_drawn_with_its_claims_alone(monkeypatch, tmp_path, slug, profile, joint):
    drawn = []
    monkeypatch.setattr(draw, "draw", lambda each, **_: ([], []))
    monkeypatch.setattr(_figure3, "draw_figure3", lambda *asked: (drawn.append(asked), ([], []))[1])
    figures([slug], profile, results=RESULTS, out=tmp_path)
    assert drawn == [(RESULTS, name, tmp_path) for name in joint]


@pytest.mark.parametrize("command", ["figures", "tables", "report", "redraw"])
def test_a_long_command_ends_with_what_was_found_and_names_files_when_asked(done, command):
    code, output, _ = done(command)
    assert code == 0
    *_, last = output.splitlines()
    names = r"wrote results/report\.html" if command == "report" else None
    assert re.fullmatch(names or r"\d+ files written; --verbose names them\.", last)
    assert "quick/toy: 1 of 1 reproduced" in output
    assert ("wrote" in output) == (command == "report")
    assert ("Central statements: 1 of 1 reproduced, over 1 claim." in output) == (
        command != "figures"
    )
    *_, last = done(command, "-v")[1].splitlines()
    count, _, rest = last.partition(" ")
    assert rest == f"{'file' if count == '1' else 'files'} written."
    assert done(command, "--verbose")[1].count("wrote ") == int(count) > 0
