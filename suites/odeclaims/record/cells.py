"""Finished cells, one file each, by their keys: what a run that was stopped goes on from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from odeclaims.cell import Cell
from odeclaims.record.files import CorruptFile, read_json, set_aside, sha256, write_json

CELL_FORMAT = 2


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
        """Keep a finished cell."""
        whole = {"format": CELL_FORMAT, "key": key, **record}
        write_json(self.path(cell, key), whole | {"sha256": _content(whole)})

    def read(self, cell: Cell, key: str) -> tuple[dict[str, Any] | None, str]:
        """A finished cell, or ``None`` where there is none, and what was wrong with it, if
        anything.

        A file that is not what was written, or of another format, is set aside.
        """
        path = self.path(cell, key)
        if not path.exists():
            return None, ""
        try:
            return _checked(read_json(path), key), ""
        except CorruptFile as error:
            return None, f"{error}; set aside as {set_aside(path).name} and measured again"


def _checked(record: dict[str, Any], key: str) -> dict[str, Any]:
    if record.get("format") != CELL_FORMAT or record.get("key") != key:
        raise CorruptFile(f"cell {key}: the file is of another format or of another cell")
    rows = record.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CorruptFile(f"cell {key}: the file has no list of rows")
    if record.pop("sha256", None) != _content(record):
        raise CorruptFile(f"cell {key}: the content is not the one that was written")
    return record


def _content(record: dict[str, Any]) -> str:
    """The digest of what a file says, however it is laid out."""
    return sha256(json.dumps(record, sort_keys=True))
