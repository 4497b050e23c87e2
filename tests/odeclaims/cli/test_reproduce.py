"""The main job as a process: what is measured here, set beside the published record."""

import json
from pathlib import Path

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
    assert last.startswith("Beside the published record ")
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
