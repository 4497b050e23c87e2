"""Results as one file for an archive: a zip that says of itself what is in it.

    datapackage.json         what each column means (a Frictionless Data Package)
    ro-crate-metadata.json   what made the rows (an RO-Crate)
    SHA256SUMS               the digest of every other file, as ``sha256sum -c`` reads it
    <profile>/<slug>/...     rows, verdict, provenance, tables and the names of their cells
    registry.csv, trained/   the rules and the trained networks, where they lie in the folder

The same results give the same bytes.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from odeclaims.record.crate import CRATE, describe_crate
from odeclaims.record.datapackage import PACKAGE, describe_package
from odeclaims.record.doi import read_doi
from odeclaims.record.files import sha256, write_bytes
from odeclaims.record.judged import Judged
from odeclaims.record.registry import FILE as REGISTRY

SUMS = "SHA256SUMS"
# Beside the rows, as far as they are there.
OF_RESULT = ("verdict.json", "provenance.json", "table.csv", "table.md", "table.tex", "hashes.csv")
OF_FOLDER = (REGISTRY, "trained/*/*")
# The first moment that a zip can name; the moment of writing would change the bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def export(results: Sequence[Judged], out: Path, path: Path) -> Path:
    """Write the archive of some results.

    Args:
        results: those that are archived; each has its rows checked.
        out: the results folder, for the registry, the networks and the DOI.
        path: the archive.

    Raises:
        CorruptFile: where rows or a provenance are not what was written.
        OSError: where a file cannot be read or written.
    """
    files = collect_files(results, out)
    doi = read_doi(out)
    described = {
        PACKAGE: describe_package(results, files, doi),
        CRATE: describe_crate(results, [*files, PACKAGE, SUMS], files, doi),
    }
    files |= {name: _json(content) for name, content in described.items()}
    lines = [f"{sha256(content)}  {name}\n" for name, content in sorted(files.items())]
    files[SUMS] = "".join(lines).encode()
    return write_bytes(path, _zip(files))


def collect_files(results: Sequence[Judged], out: Path) -> dict[str, bytes]:
    """The content of each file by its name in the archive, without what describes it."""
    files = {}
    for judged in results:
        place = f"{judged.profile}/{judged.claim.slug}"
        files[f"{place}/data.csv"] = judged.results.read_text().encode()
        for name in OF_RESULT:
            if (judged.results.folder / name).exists():
                files[f"{place}/{name}"] = (judged.results.folder / name).read_bytes()
    for glob in OF_FOLDER:
        for path in sorted(out.glob(glob)):
            files[path.relative_to(out).as_posix()] = path.read_bytes()
    return files


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3  # Unix
            entry.external_attr = 0o644 << 16
            file.writestr(entry, content)
    return archive.getvalue()
