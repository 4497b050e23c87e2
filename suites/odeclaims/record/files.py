"""Files that are written whole or not at all, and set aside rather than lost."""

import gzip
import hashlib
import json
import os
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

# Seconds to wait for whoever reads a file that is replaced; Windows refuses until then.
WAITS_S = (0.01, 0.1, 0.5)
# Deeper than anything that this program writes,
MOST_LEVELS = 12
# and longer, in bytes.
MOST_BYTES = 2**30


class CorruptFile(ValueError):
    """A results file that is not what this program wrote; the message says what is wrong.

    The message may quote the file, so control characters in it are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(escape_controls(message))


def escape_controls(text: str) -> str:
    """The text with what a terminal would obey, such as ESC, written out as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write_bytes(path: Path, content: bytes) -> Path:
    """Put ``content`` at ``path`` in one step: a reader sees the old file or the new, never half.

    Returns:
        The path.

    Raises:
        OSError: where the folder cannot be written or the disk is full; the old file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        _replace(beside, path)
    except OSError as error:
        Path(beside).unlink(missing_ok=True)
        # A full disk says what is wrong, but not where.
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return path


def _replace(beside: str, path: Path) -> None:
    for wait in WAITS_S:
        try:
            return os.replace(beside, path)
        except PermissionError:
            time.sleep(wait)
    return os.replace(beside, path)


def write_text(path: Path, text: str) -> Path:
    """Put ``text`` at ``path`` as UTF-8; see ``write_bytes``."""
    return write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Put ``content`` at ``path`` as indented JSON, in one step."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def remove_litter(out: Path) -> None:
    """Remove what a run that was killed left half written; for whoever holds the folder's lock.

    Other commands write figures and tables without the lock, so theirs are left alone.
    """
    for written in ("cells/*/.*", "*/*/.data.csv", "*/*/.provenance.json", "*/*/.verdict.json"):
        for path in out.glob(f"{written}.*.part"):
            path.unlink()


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be trusted, so that it is kept but never read again."""
    for count in range(1, 1000):
        aside = path.with_name(f"{path.name}.corrupt-{count}")
        if not aside.exists():
            path.rename(aside)
            return aside
    raise CorruptFile(f"{path}: 999 corrupt copies lie beside it, remove some")


def describe_set_aside(path: Path) -> str:
    """Set a file aside and say so, or say why that cannot be done; the end of a sentence."""
    try:
        return f"it is set aside as {set_aside(path).name}"
    except OSError as error:
        return f"it cannot be set aside: {error.strerror}"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file; see ``parse_json``.

    Raises:
        OSError: where it cannot be read.
        CorruptFile: where it is not a JSON object.
    """
    return parse_json(path.read_bytes(), str(path))


def parse_json(content: str | bytes, name: str) -> dict[str, Any]:
    """A JSON object in UTF-8 that names nothing twice and is not nested deeply.

    Raises:
        CorruptFile: where it is not; ``name`` is what the message calls it.
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        parsed = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        # A ValueError for what is not UTF-8, not JSON, or has a number of thousands of digits.
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CorruptFile(f"{name} is not JSON: {reason}") from error
    if not isinstance(parsed, dict):
        raise CorruptFile(f"{name} holds {type(parsed).__name__}, expected an object")
    if _is_deeper_than(MOST_LEVELS, parsed):
        raise CorruptFile(f"{name} is nested too deeply")
    return parsed


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, whose reader must not see another value than a program does."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("an object names something twice")
    return content


def _is_deeper_than(levels: int, content: Any) -> bool:
    layer = [content]
    for _ in range(levels):
        layer = [
            part
            for whole in layer
            if isinstance(whole, dict | list)
            for part in (whole.values() if isinstance(whole, dict) else whole)
        ]
    return bool(layer)


def read_compressed(path: Path) -> bytes:
    """The content of a file that gzip compressed.

    Raises:
        OSError: where it cannot be read.
        ValueError: where it is not compressed so, or would take more than ``MOST_BYTES``.
    """
    try:
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"it cannot be decompressed: {error}") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes when it is decompressed")
    return content


def sha256(content: str | bytes) -> str:
    """The SHA-256 digest of a text or of bytes, in hexadecimal digits."""
    raw = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(raw).hexdigest()
