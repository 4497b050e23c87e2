"""A description of results as a Frictionless Data Package, version 1.

The specification: https://specs.frictionlessdata.io. Rows are tabular resources, whose schema comes
from the claim's columns and from what stands in them; every other file is a plain resource.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pandas as pd

from odeclaims import __version__
from odeclaims.cell import STATUSES
from odeclaims.claim import Claim
from odeclaims.record.files import sha256
from odeclaims.record.judged import Judged

PACKAGE = "datapackage.json"
TITLE = "odeclaims: the published claims about Neural ODEs, measured again"
AUTHORS = "The odeclaims contributors"
LICENSE = {"name": "MIT", "title": "MIT License", "path": "https://opensource.org/license/mit"}
MEDIA = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".tex": "application/x-tex",
    ".safetensors": "application/octet-stream",
}


def describe_package(
    results: Sequence[Judged], files: Mapping[str, bytes], doi: str
) -> dict[str, Any]:
    """The descriptor of an archive of results.

    Args:
        results: whose rows are in it.
        files: the content of each file by its name.
        doi: the DOI of the record; "" for none.
    """
    rows = {f"{each.profile}/{each.claim.slug}/data.csv": each for each in results}
    return {
        "profile": "data-package",
        "name": "odeclaims-results",
        **({"id": f"https://doi.org/{doi}"} if doi else {}),
        "title": TITLE,
        "description": "Rows, verdicts, tables and provenance of every result.",
        "version": __version__,
        "created": latest_start(results),
        "licenses": [LICENSE],
        "contributors": [{"title": AUTHORS, "role": "author"}],
        "resources": [_resource(name, files[name], rows.get(name)) for name in sorted(files)],
    }


def latest_start(results: Sequence[Judged]) -> str:
    """When the last of these results was begun to be measured."""
    return max((each.provenance["started"] for each in results), default="1980-01-01T00:00:00Z")


def _resource(name: str, content: bytes, rows: Judged | None) -> dict[str, Any]:
    path = PurePosixPath(name)
    described = {
        "name": name.removesuffix(path.suffix).replace("/", ".").lower() + path.suffix,
        "path": name,
        "profile": "tabular-data-resource" if rows else "data-resource",
        "format": path.suffix.removeprefix("."),
        "mediatype": MEDIA.get(path.suffix, "application/octet-stream"),
        "bytes": len(content),
        "hash": f"sha256:{sha256(content)}",
    }
    if rows:
        described |= {
            "title": rows.claim.title,
            "description": rows.claim.statement,
            "encoding": "utf-8",
            "schema": table_schema(rows.claim, rows.rows),
        }
    return described


def table_schema(claim: Claim, rows: pd.DataFrame) -> dict[str, Any]:
    """The columns of a claim's rows: name, type and meaning of each."""
    fields = []
    for name, column in claim.all_columns.items():
        field: dict[str, Any] = {
            "name": name,
            "type": _type(rows[name]),
            "description": column.meaning,
        }
        if name == "status":
            field["constraints"] = {"required": True, "enum": list(STATUSES)}
        fields.append(field)
    return {"fields": fields, "missingValues": [""]}


def _type(column: pd.Series) -> str:
    """The type of the texts that a column has in the CSV, gaps left out."""
    values = column.dropna()
    if values.map(lambda value: isinstance(value, bool)).all() and len(values):
        return "boolean"
    if pd.api.types.is_integer_dtype(column):
        return "integer"
    if pd.api.types.is_float_dtype(column):
        # The specification writes INF, and pandas inf.
        return "any" if values.abs().eq(float("inf")).any() else "number"
    return "string"
