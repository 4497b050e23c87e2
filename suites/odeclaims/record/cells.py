"""Finished cells, one file each, by their keys: what a run that was stopped goes on from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from odeclaims.cell import Cell
from odeclaims.record.files import CorruptFile, read_json, set_aside, sha256, write_json
from odeclaims.record.schema import check_cell

CELL_FORMAT = 3


def describe(cell: Cell) -> dict[str, Any]:
    """The cell as plain data."""
    return asdict(cell) | {"params": dict(cell.params)}


@dataclass(frozen=True)
class CellStore:
    """The finished cells of all claims, one file each, by their keys."""

    out: Path

    def path(self, cell: Cell, key: str) -> Path:
        """Where the cell of that key lies."""
        return self.out / "cells" / cell.claim / f"{key}.json"

    def write(self, cell: Cell, key: str, record: dict[str, Any]) -> None:
        """Keep a finished cell.

        Raises:
            CorruptFile: where the record is not that of this cell; nothing is kept then.
        """
        # As it will read back, tuples as lists.
        whole = json.loads(json.dumps({"format": CELL_FORMAT, "key": key, **record}))
        whole["sha256"] = _content(whole)
        _check(whole, cell, key)
        write_json(self.path(cell, key), whole)

    def read(self, cell: Cell, key: str) -> tuple[dict[str, Any] | None, str]:
        """A finished cell, or ``None`` where there is none, and what was wrong with it, if
        anything.

        A file that is not what was written, or of another format, is set aside.
        """
        path = self.path(cell, key)
        if not path.exists():
            return None, ""
        try:
            record = read_json(path)
            _check(record, cell, key)
        except CorruptFile as error:
            return None, f"{error}; set aside as {set_aside(path).name} and measured again"
        return record, ""


def _check(record: dict[str, Any], cell: Cell, key: str) -> None:
    """Check that a record is whole, and that of this cell.

    Raises:
        CorruptFile: where it is not.
    """
    name = f"cell {key}"
    if record.get("format") != CELL_FORMAT or record.get("key") != key:
        raise CorruptFile(f"{name}: the file is of another format or of another cell")
    check_cell(record, name)
    if record["sha256"] != _content(record):
        raise CorruptFile(f"{name}: the content is not the one that was written")
    as_json = json.loads(json.dumps(describe(cell)))
    if record["cell"] != as_json or record["seed"] != cell.seed:
        raise CorruptFile(f"{name}: the file describes another cell")


def _content(record: dict[str, Any]) -> str:
    """The digest of what a file says beside it, however it is laid out."""
    rest = {name: value for name, value in record.items() if name != "sha256"}
    return sha256(json.dumps(rest, sort_keys=True))
