"""The commands that read results: list, check, cite, verify, compare and register."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.odeclaims.cli.toy import ROOT, one_sentence


def test_list_shows_the_verdict(done):
    output = done("list")[1]
    assert "1 of 1 reproduced" in output
    assert "published size" in output
    assert output.endswith("These are the results in results.\n")
    (done.folder / "empty").mkdir()
    assert "not run yet" in done("list", "--results", "empty")[1]


@pytest.mark.parametrize("command", ["list", "check", "report", "trained"])
def test_a_folder_of_results_that_is_not_there_is_one_sentence(toy, command):
    code, _, errors = toy(command, "--results", "elsewhere")
    assert code == 2
    assert "--results is elsewhere, which is not a folder" in one_sentence(errors)


def test_provenance_names_no_host_and_no_path(finished):
    text = (finished.out / "quick" / "toy" / "provenance.json").read_text()
    made = json.loads(text)
    assert made["profile"] == "quick"
    assert {"commit", "packages", "cpu", "threads", "seeds", "started"} <= set(made)
    assert os.uname().nodename not in text
    assert str(ROOT) not in text
    assert str(Path.home()) not in text


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
    assert f"has the name {name}: it was measured again since, or the name is mistyped" in output


def test_a_manuscript_without_names_is_told_how_a_number_carries_one(done):
    (done.folder / "notes.md").write_text("An error of 0.5.\n")
    code, output, _ = done("verify", "notes.md")
    assert code == 0
    assert output.startswith("notes.md: no number carries a name, as in \\odeclaim{NAME}{0.998}")


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
    # The statement's, and the published size.
    assert "2 rules registered in results/registry.csv, 0 stood there" in output
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
    assert len((toy.out / "registry.csv").read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "expected two results folders to compare, or --by solver"),
        (["results"], "expected two results folders to compare, or --by solver"),
        (["results", "results", "--profile", "quick"], "--profile goes with --by solver"),
        (["results", "results", "--by", "solver"], "--by solver reads one results folder"),
        (["--by", "solver"], "has no results of another solver"),
    ],
)
def test_what_compare_is_asked_for_makes_no_sense(done, arguments, says):
    code, _, errors = done("compare", *arguments)
    assert code == 2
    assert says in one_sentence(errors)
