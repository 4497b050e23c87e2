"""Let asv's pages open from a disk, without a network: ``python -m benchmarks.pages FOLDER...``.

The pages name scripts and a style by address. Copies in ``vendor`` take their place. The pages also
ask for their numbers file by file, which a browser lets no page do that lies on a disk. So a script
brings all of them.
"""

import json
import re
import shutil
import sys
from pathlib import Path

VENDOR = Path(__file__).parent / "vendor"
ADDRESS = re.compile(r'(?:src|href)="(https://[^"]+\.(?:js|css))"')
# They belong to the bytes and the host of the address.
ATTRIBUTES = re.compile(r'\s(?:integrity|crossorigin|referrerpolicy)="[^"]*"')
JQUERY = re.compile(r'<script[^>]*src="[^"]*jquery(?:\.min)?\.js"[^>]*></script>')
# Answers from ``numbers`` whoever asks jQuery for one of these files.
ANSWER = """
$.ajaxTransport("+json", function (options) {
    const name = decodeURIComponent(options.url.split("?")[0]);
    if (!Object.hasOwn(numbers, name)) return;
    return {
        send: (_, done) => setTimeout(() => done(200, "OK", { json: numbers[name] })),
        abort: () => {},
    };
});
"""


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


def bring_numbers(folder: Path) -> Path:
    """Put all JSON files of a folder of pages into one script, and have ``index.html`` load it.

    Raises:
        ValueError: where the page loads no jQuery, through which it asks for its numbers.
    """
    page, script = folder / "index.html", folder / "numbers.js"
    files = sorted(folder.rglob("*.json"))
    numbers = {path.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in files}
    script.write_text(f"const numbers = {json.dumps(numbers)};\n{ANSWER}", encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    jquery = JQUERY.search(text)
    if not jquery:
        raise ValueError(f"{page} loads no jQuery, expected the page of asv")
    loads = f'\n    <script src="{script.name}"></script>'
    if loads not in text:
        page.write_text(text.replace(jquery[0], jquery[0] + loads), encoding="utf-8")
    return script


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
        bring_numbers(Path(each))
