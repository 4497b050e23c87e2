"""One cell in a process of its own: what an order gives, and which orders are refused."""

import importlib.metadata

import pytest

from odeclaims.cell import Cell
from odeclaims.record.cells import describe
from odeclaims.record.provenance import versions
from odeclaims.record.source import source_digest
from odeclaims.run import cluster_cell

MINE = """
from odeclaims.cell import Cell, Context

def measure(cell: Cell, context: Context) -> list[dict]:
    print("not a part of the answer")
    return [{"y": 1}]
"""


@pytest.fixture
def order(tmp_path, monkeypatch) -> dict:
    """An order to measure a cell of a claim in a file of its own."""
    (tmp_path / "mine_on_a_cluster.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    cell = Cell("mine", {"x": 1}, paired=("x",))
    return {
        "measure": "mine_on_a_cluster:measure",
        "cell": describe(cell),
        "key": cell.key(source_digest("mine_on_a_cluster")),
        "timeout_s": 600.0,
        "code": {"commit": "abc", "clean_tree": False},
        "versions": versions(),
    }


def test_an_order_is_carried_out(order):
    record = cluster_cell.carry_out(order)["record"]
    assert (record["commit"], record["clean_tree"]) == ("abc", False)
    assert record["seed"] == Cell("mine", {}).seed
    (row,) = record["rows"]
    assert (row["x"], row["y"], row["status"]) == (1, 1, "ok")
    # What is installed; torch itself adds the kind of its build.
    assert record["machine"]["packages"]["torch"] == importlib.metadata.version("torch")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"versions": {"torch": "1.0"}}, "and 1.0 is wanted"),
        ({"key": "of other code"}, "its code of the claim mine is not that of the run"),
        ({"measure": "no_such_claim:measure"}, "it lacks the claim mine"),
        ({"measure": "mine_on_a_cluster:forgotten"}, "it lacks the claim mine"),
    ],
)
def test_a_worker_with_other_code_is_refused(order, change, says):
    assert says in cluster_cell.carry_out(order | change)["refused"]
