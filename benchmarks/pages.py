"""Let asv's pages open without a network: ``python -m benchmarks.pages FOLDER...``.

The pages name scripts and a style by address. Copies in ``vendor`` take their place.
"""

import re
import shutil
import sys
from pathlib import Path

VENDOR = Path(__file__).parent / "vendor"
ADDRESS = re.compile(r'(?:src|href)="(https://[^"]+\.(?:js|css))"')
# They belong to the bytes and the host of the address.
ATTRIBUTES = re.compile(r'\s(?:integrity|crossorigin|referrerpolicy)="[^"]*"')


def take_copies(folder: Path) -> list[Path]:
    """Put the copies into a folder of pages, and have its ``index.html`` load them.

    Returns:
        The copies.

    Raises:
        FileNotFoundError: where there are no pages, or no copy of what they load; the message names
            the address.
    """
    page = folder / "index.html"
    text, copies = page.read_text(encoding="utf-8"), []
    for address in ADDRESS.findall(text):
        copy = _copy_of(address)
        text = text.replace(address, f"vendor/{copy.name}")
        (folder / "vendor").mkdir(exist_ok=True)
        copies.append(Path(shutil.copy(copy, folder / "vendor")))
    page.write_text(ATTRIBUTES.sub("", text), encoding="utf-8")
    return copies


def _copy_of(address: str) -> Path:
    """The copy that has the name of the address, but for a version or "min" in either."""
    wanted = _plain(address.rpartition("/")[2])
    for copy in VENDOR.iterdir():
        if _plain(copy.name) == wanted:
            return copy
    raise FileNotFoundError(f"asv's pages load {address}, of which {VENDOR} has no copy")


def _plain(name: str) -> str:
    return re.sub(r"-\d+(\.\d+)+|\.min", "", name)


if __name__ == "__main__":
    for each in sys.argv[1:]:
        take_copies(Path(each))
