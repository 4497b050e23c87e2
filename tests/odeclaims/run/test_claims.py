"""What a run writes of its cells, beside the rows."""

import json

from odeclaims.cell import Cell
from odeclaims.record.cells import CellStore


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
