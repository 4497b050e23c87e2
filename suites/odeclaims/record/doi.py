"""The DOI under which an archive keeps a record: the one line of the file ``DOI`` in its folder."""

import re
from pathlib import Path

from odeclaims.record.files import CorruptFile

FILE = "DOI"


def read_doi(out: Path) -> str:
    """The DOI of the record in this results folder, such as 10.5281/zenodo.1234567; "" for none.

    Raises:
        CorruptFile: where the file holds anything else.
    """
    path = out / FILE
    if not path.exists():
        return ""
    text = path.read_bytes().decode("utf-8", "replace").strip()
    if not re.fullmatch(r"10\.\d{4,9}/[-._;()/:A-Za-z0-9]{1,200}", text):
        raise CorruptFile(f"{path} holds {text[:60]!r}, expected a DOI such as 10.5281/zenodo.1")
    return text
