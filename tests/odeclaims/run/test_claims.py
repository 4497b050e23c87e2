"""What a run writes of its cells, beside the rows."""

import json
from io import StringIO

import pytest
from rich.console import Console

from odeclaims.cell import Cell, Profile
from odeclaims.claim import Column
from odeclaims.record.cells import CellStore
from odeclaims.run.claims import run_claims
from tests.odeclaims.toy_claims import make_claim


def test_the_provenance_tells_machines_apart(counted):
    counted.claim(cells=3)
    assert counted("run", "--jobs", "1")[0] == 0
    made = counted.out / "quick" / "counted" / "provenance.json"
    assert "machines" not in json.loads(made.read_text())
    path = next(iter(counted.out.glob("cells/counted/*.json")))
    record = json.loads(path.read_text())
    del record["sha256"]
    record["machine"]["cpu"] = "an abacus"
    identity = record["cell"]
    cell = Cell("counted", identity["params"], identity["repetition"])
    CellStore(counted.out).write(cell, path.stem, record)
    assert "0 cells measured, 3 taken" in counted("run", "--jobs", "1")[1]
    found = json.loads(made.read_text())
    cells = {machine["cpu"]: machine["cells"] for machine in found["machines"]}
    assert cells == {found["cpu"]: 2, "an abacus": 1}


def test_a_cell_that_was_measured_by_changed_code_stays_so_after_a_commit(counted):
    """A cell that was kept before this was recorded counts as one of a clean tree."""
    counted.claim(cells=2)
    made = counted.out / "quick" / "counted" / "provenance.json"

    def run(*arguments: str, clean: bool) -> tuple[str, bool]:
        """What a run in a clean tree or another says, and what it writes of that."""
        before = f"from odeclaims.record import provenance; provenance.clean_tree = lambda: {clean}"
        _, output, _ = counted("run", "--jobs", "1", *arguments, before=before)
        return output, json.loads(made.read_text())["clean_tree"]

    assert run(clean=False)[1] is False
    output, clean = run(clean=True)
    assert "0 cells measured, 2 taken" in output
    assert clean is False
    assert run("--fresh", clean=True)[1] is True
    assert run(clean=False)[1] is False
    for path in counted.out.glob("cells/counted/*.json"):
        record = json.loads(path.read_text())
        assert record.pop("clean_tree") is True
        del record["sha256"]
        identity = record["cell"]
        cell = Cell("counted", identity["params"], identity["repetition"])
        CellStore(counted.out).write(cell, path.stem, record)
    assert run(clean=True)[1] is True


@pytest.mark.parametrize(("status", "again"), [("timeout", 1), ("oom", 1), ("underflow", 0)])
def test_a_cell_that_was_given_up_is_tried_once_by_each_run(counted, status, again):
    """A solve that fails does so however often it is tried."""
    counted.claim(
        cells=2,
        trouble=f"""
    if cell.repetition == 1 and not (FOLDER / "enough").exists():
        rows = [{{"status": "{status}"}}]
""",
    )
    for measured in (2, again):
        _, output, _ = counted("run", "--jobs", "1")
        assert f"{measured} cells measured, {2 - measured} taken from before" in output
        assert list(counted.rows()["status"]) == ["ok", status]
    counted.put("enough", "")
    counted("run", "--jobs", "1")
    assert list(counted.rows()["status"]) == ["ok", "ok" if again else status]
    assert [repetition for repetition, _, _ in counted.log()].count(1) == 1 + 2 * again
    counted("run", "--jobs", "1")
    assert len(counted.log()) == 2 + 2 * again


@pytest.mark.parametrize("status", ["timeout", "oom"])
def test_a_cell_of_which_one_row_was_given_up_keeps_the_others(counted, status):
    counted.claim(
        cells=1,
        trouble=f"""
    rows = [{{"x": 1.0}}, {{"status": "{status}"}}]
    if (FOLDER / "log").read_text().count("\\n") > 1:
        rows = [{{"status": "timeout"}}]
""",
    )
    for measured in (1, 0):
        _, output, _ = counted("run", "--jobs", "1")
        assert f"{measured} cells measured, {1 - measured} taken from before" in output
        assert list(counted.rows()["status"]) == ["ok", status]


def test_the_rules_of_a_run_are_those_with_which_it_began(counted):
    """Their digests come from lines of files, and lines may be added while it measures."""
    made = counted.out / "quick" / "counted" / "provenance.json"
    found = []
    for trouble in ("pass", "COMMENTS"):
        counted.claim(cells=1, trouble=ADD_COMMENTS if trouble == "COMMENTS" else trouble)
        assert counted("run", "--jobs", "1", "--fresh")[0] == 0
        found.append(json.loads(made.read_text())["rules"])
    assert found[0] == found[1]


# A measurement during which somebody writes three lines at the top of the claim.
ADD_COMMENTS = """
    claim = FOLDER / "counted.py"
    claim.write_text("# one\\n# two\\n# three\\n" + claim.read_text())
"""


def test_a_claim_without_cells_is_said_and_no_failure(tmp_path):
    console = Console(width=200, file=StringIO())
    claim = make_claim("nothing", columns={"x": Column("a number")})
    summary = run_claims([claim], Profile("quick"), tmp_path / "out", jobs=1, console=console)
    assert (summary.computed, summary.failures, summary.written) == (0, [], [])
    (sentence,) = summary.empty
    assert "nothing has nothing to measure at quick." in sentence
    assert not (tmp_path / "out" / "quick").exists()
