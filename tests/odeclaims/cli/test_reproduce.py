"""The main job as a process: what is measured here, set beside the published record."""

import json
import math
from pathlib import Path

import pytest

from odeclaims.cli.reproduce import Minutes, _plan, _with_minutes
from odeclaims.record.results import provenance_digest
from odeclaims.report.draw import VERDICTS
from tests.odeclaims.cli.toy import Toy, one_sentence


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_that_agrees_says_so_and_leaves_the_record_alone(done: Toy):
    readme = done.folder / "README.md"
    readme.write_text(f"{VERDICTS[0]}\n{VERDICTS[1]}\n")
    before = contents(done.out)
    code, output, _ = done("reproduce", "--results", "results", "--out", "out")
    assert code == 0
    last = output.strip().splitlines()[-1]
    assert last.startswith("Compared with the published record, ")
    assert "1 of 1 statements agree" in last
    assert "The page of all results is out/report.html." in output
    assert (done.folder / "out" / "report.html").exists()
    assert {k: v for k, v in contents(done.out).items() if ".lock" not in k} == {
        k: v for k, v in before.items() if ".lock" not in k
    }
    assert readme.read_text() == f"{VERDICTS[0]}\n{VERDICTS[1]}\n"


def test_a_statement_that_differs_is_named_with_the_reason(done: Toy):
    path = done.out / "quick" / "toy" / "verdict.json"
    verdict = json.loads(path.read_text())
    verdict["statements"][0]["outcome"] = "not reproduced"
    verdict["summary"] = "0 of 1 reproduced, 1 not reproduced"
    path.write_text(json.dumps(verdict))
    code, output, _ = done("reproduce")
    assert code == 1
    assert "x_is_small: not reproduced became reproduced" in output
    assert "0 of 1 statements agree; 1 differs: toy x_is_small" in output


def test_update_writes_into_the_record(done: Toy):
    (done.out / "quick" / "toy" / "figure.png").unlink(missing_ok=True)
    code, output, _ = done("reproduce", "--update")
    assert code == 0
    assert "1 of 1 statements agree" in output
    assert (done.out / "quick" / "toy" / "figure.png").exists()
    assert not (done.folder / "out").exists()


def test_update_leaves_the_other_results_of_the_record_in_its_lists(done: Toy):
    assert done("run", "--profile", "paper")[0] == 0
    assert done("reproduce", "--update")[0] == 0
    lists = (done.out / "README.md").read_text()
    assert "(paper)" in lists
    assert (done.out / "paper" / "toy" / "figure.png").exists()


def test_without_a_record_there_is_nothing_to_agree_with(toy: Toy):
    code, _, errors = toy("reproduce")
    assert code == 2
    assert "holds no verdict.json" in one_sentence(errors)


def test_a_cell_that_fails_is_said(done: Toy):
    done.claim(trouble="raise RuntimeError('broken')")
    code, output, _ = done("reproduce")
    assert code == 1
    assert "broken" in output


def test_a_claim_without_cells_is_a_failure_whatever_lies_there(done: Toy):
    """An older result beside it says nothing of today's code."""
    assert done("reproduce")[0] == 0
    claim = done.folder / "toy.py"
    claim.write_text(
        claim.read_text().replace("profile.repetitions(smoke=6, quick=6, paper=8)", "()")
    )
    for command in ("reproduce", "run"):
        code, output, _ = done(command, *(["--out", "out"] if command == "run" else []))
        assert code == 1
        assert "toy has nothing to measure at quick." in output
        assert "1 of 1" not in output


def rewrite_duration(done: Toy, seconds: float) -> None:
    """Let the record have taken so long."""
    path = done.out / "quick" / "toy" / "provenance.json"
    made = json.loads(path.read_text()) | {"duration_s": seconds}
    path.write_text(json.dumps(made | {"sha256": provenance_digest(made)}))


def test_what_does_not_fit_into_the_minutes_is_left_out(done: Toy):
    rewrite_duration(done, 600.0)
    code, _, errors = done("reproduce", "--minutes", "0.8", "--jobs", "2")
    assert code == 2
    sentence = "--minutes is 0.8, and the quickest cell, one of toy, took 0.83 minutes"
    assert sentence in one_sentence(errors)
    code, output, _ = done("reproduce", "--minutes", "5", "--jobs", "2")
    assert code == 0
    assert "1 claim to measure, some 5 minutes by the durations in the record" in output
    assert "Left out" not in output


def test_of_a_claim_that_does_not_fit_one_cell_is_held_against_the_published_rows(done: Toy):
    rewrite_duration(done, 600.0)
    code, output, _ = done("reproduce", "--minutes", "4", "--jobs", "2")
    assert code == 0
    assert "0 claims to measure and one cell each of 1 more, some 1 minutes" in output
    assert "one of 6 cells" in output
    assert "1 row as published" in output
    assert "Of 1 claim one cell was measured; 1 of 1 have the rows that are published." in output
    assert len(list((done.folder / "out").glob("cells/toy/*.json"))) == 1
    assert not (done.folder / "out" / "report.html").exists()
    code, output, _ = done("reproduce", "--minutes", "5", "--jobs", "2")
    assert code == 0
    assert "1 of 1 statements agree" in output
    assert len(list((done.folder / "out").glob("cells/toy/*.json"))) == 6


def test_a_cell_whose_numbers_moved_is_said_and_is_no_error(done: Toy):
    rewrite_duration(done, 600.0)
    done.claim()
    source = done.folder / "toy.py"
    source.write_text(source.read_text().replace("% 97)", "% 97) + 1.0"))
    code, output, _ = done("reproduce", "--minutes", "4", "--jobs", "2")
    assert code == 0
    assert "1 of 7 values differ (numbers by more than 1%), most of them in x" in output
    assert "0 of 1 have the rows that are published" in output


def test_a_sampled_cell_that_fails_is_an_error(done: Toy):
    rewrite_duration(done, 600.0)
    done.claim(trouble="raise RuntimeError('broken')")
    code, output, _ = done("reproduce", "--minutes", "4", "--jobs", "2")
    assert code == 1
    assert "broken" in output


def test_minutes_without_a_record_are_one_sentence(toy: Toy):
    code, _, errors = toy("reproduce", "--minutes", "4")
    assert code == 2
    assert "results has none at quick: name one with --results" in one_sentence(errors)


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_minutes_are_more_than_none(done: Toy, minutes):
    code, _, errors = done("reproduce", f"--minutes={minutes}")
    assert code == 2
    assert f"--minutes is {minutes}, expected more than 0" in one_sentence(errors)


def test_one_cell_of_each_claim_comes_first_and_then_the_quickest_claims():
    took = {"slow": Minutes(9.0, 1.0), "quick": Minutes(1.0, 0.5), "middle": Minutes(2.0, 2.0)}
    assert _plan(took, 3.5) == (set(), set(took))
    assert _plan(took, 4.0) == ({"quick", "middle"}, {"slow"})
    assert _plan(took, 11.9) == ({"quick", "middle"}, {"slow"})
    assert _plan(took, 12.0) == (set(took), set())
    assert _plan(took, math.inf) == (set(took), set())
    # Of the last the single cell does not fit.
    assert _plan(took, 2.0) == ({"quick"}, {"slow"})
    assert _with_minutes("slow", took) == "slow (9 min)"
    assert _with_minutes("new", took) == "new (not in the record)"
