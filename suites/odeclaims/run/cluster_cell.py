"""One cell in a process of its own: an order comes in as JSON, and what was found goes out as JSON.

python -m odeclaims.run.cluster_cell < order
"""

import json
import os
import pkgutil
import sys
import threading
from typing import Any

from odeclaims.cell import Cell, Context
from odeclaims.record.provenance import versions
from odeclaims.run.code import CodeHere
from odeclaims.run.observe import observe


def carry_out(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out an order.

    Returns:
        The ``record`` of the cell, or a sentence: why it ``failed``, or why this machine is
        ``refused``, where its code or its versions are not those that the order names.
    """
    for name, wanted in order["versions"].items():
        if versions()[name] != wanted:
            return {"refused": f"it has {name} {versions()[name]}, and {wanted} is wanted"}
    cell = Cell(**order["cell"] | {"paired": tuple(order["cell"]["paired"])})
    try:
        measure = pkgutil.resolve_name(order["measure"])
    except (ImportError, AttributeError) as error:
        return {"refused": f"it lacks the claim {cell.claim} ({error})"}
    code = CodeHere(measure, cell.solver)
    if cell.key(code.digest) != order["key"]:
        return {"refused": f"its code of the claim {cell.claim} is not that of the run"}
    record = observe(
        measure,
        cell,
        Context(),
        code=order["code"],
        timeout_s=order["timeout_s"],
        code_changed=code.changed,
    )
    return {"failed": record} if isinstance(record, str) else {"record": record}


def _end_with_the_worker() -> None:
    """End this process when the worker that holds the other end of its input is gone."""
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    """Read an order, carry it out and say what was found."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a claim prints is no part of it
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    with said:
        json.dump(carry_out(order), said)


if __name__ == "__main__":
    main()
