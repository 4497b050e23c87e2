"""Claims whose rooms hold what a test puts there, and which have no file."""

import sys
from collections.abc import Mapping
from itertools import count
from types import ModuleType
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from odeclaims.cell import Cell, Row
from odeclaims.claim import Claim, Column, Evidence
from odeclaims.record.cells import describe
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Size, Statement

NUMBERS = count()
MACHINE = {
    "python": "3.11.7",
    "packages": {"torch": "2.13.0+cpu", "numpy": "2.3.5"},
    "system": "Linux x86_64",
    "cpu": "an abacus",
    "cores": 2,
    "gpu": None,
}
# What made the rows of a toy claim, as complete as a run records it.
PROVENANCE: dict[str, Any] = {
    "odeclaims": "0.1.0",
    "commit": "a" * 40,
    "clean_tree": True,
    **MACHINE,
    "profile": "quick",
    "device": "cpu",
    "threads": 1,
    "datasets": {},
    "seeds": [1, 2, 3],
    "cells": 3,
    "cells_made_at_commits": ["a" * 40],
    "started": "2026-01-02T03:04:05+00:00",
    "duration_s": 1.5,
}
# What a measurement of ``cell`` is kept with beside it.
MEASURED: dict[str, Any] = {
    "commit": "a" * 40,
    "started": "2026-01-01T00:00:00+00:00",
    "duration_s": 0.5,
    "machine": MACHINE,
}


def x_of(df: pd.DataFrame) -> pd.Series:
    return df["x"]


def whole(df: pd.DataFrame) -> float:
    return 1.0


SMALL = Statement("small", "x is small", x_of, Exact(Bounds(at_most=1)), "a test", central=True)
SIZE = Size("three rows", whole)


def record_of(cell: Cell, rows: list[Row]) -> dict[str, Any]:
    """What a worker keeps of a cell with these rows."""
    return {"cell": describe(cell), "seed": cell.seed, "rows": rows, "not_offered": [], **MEASURED}


def make_claim(
    slug: str = "toy",
    *,
    title: str = "A toy",
    statement: str = "x is small.",
    source: str = "nowhere",
    ledger: tuple[Evidence, ...] = (),
    columns: Mapping[str, Column],
    **rooms: Any,
) -> Claim:
    """A claim of these words, whose rooms hold no cell and little else but ``rooms``."""
    little: dict[str, Any] = {
        "cells": lambda profile: [],
        "measure": lambda cell, context: [],
        "STATEMENTS": [SMALL],
        "SIZE": SIZE,
        "figure": lambda df: Figure(),
        "table": lambda df: df,
    }
    module = make_module(**(little | rooms))
    return Claim(slug, title, statement, source, ledger, [], columns, module)


def make_module(**members: Any) -> str:
    """A module with these members, by its name."""
    name = f"toy_claim_{next(NUMBERS)}"
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(members)
    return name
