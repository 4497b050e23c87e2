"""Builds the distribution ``odeclaims-results`` out of the files of this folder.

The wheel has the rows compressed, and no figures: ``odeclaims figures`` draws them from the rows.
"""

import gzip
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# What the record consists of; the profile smoke means nothing, and is not in it.
RECORD = [
    "registry.csv",
    "DOI",
    *(
        f"{folder}{profile}/*/{name}"
        for folder in ("", "solvers/*/")
        for profile in ("quick", "hour", "paper")
        for name in ("data.csv", "*.json", "table.*", "hashes.csv")
    ),
    "trained/*/*",
]
INIT = '"""The published record of odeclaims."""\n'


class BuildRecord(build_py):
    """Puts the record into the package."""

    def get_source_files(self) -> list[str]:
        """The files of the record, for a source distribution."""
        return sorted(path.as_posix() for glob in RECORD for path in Path().glob(glob))

    def run(self) -> None:
        """Copy the files, and compress the rows; the same rows give the same bytes."""
        package = Path(self.build_lib) / "odeclaims_results"
        for name in self.get_source_files():
            content, target = Path(name).read_bytes(), package / name
            if target.name == "data.csv":
                content, target = gzip.compress(content, mtime=0), target.with_suffix(".csv.gz")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (package / "__init__.py").write_text(INIT, encoding="utf-8")


setup(cmdclass={"build_py": BuildRecord})
