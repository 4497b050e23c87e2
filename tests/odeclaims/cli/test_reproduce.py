"""The main job as a process: what is measured here, set beside the published record."""

import json
import math
from pathlib import Path

import pytest

from odeclaims.cli.reproduce import _fitting, _with_minutes
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
    code, _, errors = done("reproduce", "--minutes", "4", "--jobs", "2")
    assert code == 2
    assert "--minutes is 4, and the quickest claim, toy, took 5 minutes" in one_sentence(errors)
    code, output, _ = done("reproduce", "--minutes", "5", "--jobs", "2")
    assert code == 0
    assert "1 claim to measure, some 5 minutes by the durations in the record" in output
    assert "Left out" not in output


def test_minutes_without_a_record_are_one_sentence(toy: Toy):
    code, _, errors = toy("reproduce", "--minutes", "4")
    assert code == 2
    assert "results has none at quick: name one with --results" in one_sentence(errors)


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_minutes_are_more_than_none(done: Toy, minutes):
    code, _, errors = done("reproduce", f"--minutes={minutes}")
    assert code == 2
    assert f"--minutes is {minutes}, expected more than 0" in one_sentence(errors)


def test_the_quickest_claims_fit_and_the_others_are_named():
    took = {"slow": 9.0, "quick": 1.0, "middle": 2.0}
    assert _fitting(took, 3.0) == {"quick", "middle"}
    assert _fitting(took, 2.9) == {"quick"}
    assert _fitting(took, math.inf) == set(took)
    assert _with_minutes("slow", took) == "slow (9 min)"
    assert _with_minutes("new", took) == "new (not in the record)"
