"""Where the published record lies: in a checkout, or in the installed package of it."""

import importlib.metadata
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from odeclaims import __version__

# The distribution that ``results/pyproject.toml`` builds, and the package in it.
DISTRIBUTION, PACKAGE = "odeclaims-results", "odeclaims_results"


def installed_record() -> Path | None:
    """The folder of the installed record; ``None`` where it is not installed.

    Raises:
        ValueError: where it is the record of another version, whose claims may be others.
    """
    if find_spec(PACKAGE) is None:
        return None
    version = importlib.metadata.version(DISTRIBUTION)
    if version != __version__:
        raise ValueError(
            f"{DISTRIBUTION} {version} is installed beside odeclaims {__version__}; expected the"
            " same version of both"
        )
    return Path(str(files(PACKAGE)))


def default_results() -> Path:
    """What is read where no folder is named: ``results`` here if it has rows, else the record."""
    here = Path("results")
    rows = any(here.glob("*/*/data.csv"))
    return here if rows else installed_record() or here
