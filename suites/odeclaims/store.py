"""Results on disk: nothing is half written, nothing is used that is not whole, nothing is lost.

    <out>/<profile>/<slug>/   data.csv  verdict.json  provenance.json  figure.*  table.*
    <out>/cells/<slug>/       one JSON file for each finished cell, shared by all profiles

Every file is written beside its place and then renamed. A file that cannot be trusted is set aside
under another name, with a sentence that says so. Rows and cells are trusted by their digests.
"""

import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from odeclaims.claim import PROFILES, STATUSES, Cell, Claim, Row, Scalar

CELL_FORMAT = 2

# Of what is worked out again from the same rows, the last digits differ between processors; where
# they cancel, all that is left may be such a digit of numbers of about one.
ROUNDING, ROUNDED_ZERO = 1e-9, 1e-15


class CorruptFile(ValueError):
    """A results file that is not what this program wrote; the message says what is wrong."""


def write_text(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` in one step: a reader sees the old file or the new one, never half.

    Raises:
        OSError: where the folder cannot be written or the disk is full; the old file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except OSError as error:
        Path(beside).unlink(missing_ok=True)
        # A full disk says what is wrong, but not where.
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


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


@dataclass(frozen=True)
class Results:
    """The results of one claim under one profile."""

    out: Path
    profile: str
    claim: Claim

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.out / self.profile / self.claim.slug

    @property
    def data(self) -> Path:
        """The CSV with every row."""
        return self.folder / "data.csv"

    @property
    def provenance(self) -> Path:
        """What made the rows, and their digest."""
        return self.folder / "provenance.json"

    @property
    def verdict(self) -> Path:
        """What the claim's criteria made of the rows."""
        return self.folder / "verdict.json"

    @property
    def next(self) -> Path:
        """Rows on their way: they count once the provenance has their digest, not before."""
        return self.folder / "data.csv.next"

    def write(self, df: pd.DataFrame, provenance: dict[str, Any]) -> None:
        """Write rows, provenance and the verdict that follows from the rows as they read back.

        Rows and provenance change in the one moment in which the provenance is put in place: a run
        that is killed before it leaves the old pair, and one killed after it the new one.
        """
        if self.data.exists() and not self.provenance.exists():
            # Nothing says what these rows are, so nothing says that the new ones are the better.
            set_aside(self.data)
        text = _csv(df)
        write_text(self.next, text)
        made = provenance | {"rows": len(df), "data_sha256": _sha256(text)}
        write_json(self.provenance, made)
        self._move_on()
        self.write_verdict(self.read())

    def _move_on(self) -> None:
        """Put the next rows in place if the provenance is theirs already."""
        # There may be none, no provenance yet, or a reader beside this one that is faster.
        with suppress(FileNotFoundError):
            digest = _sha256(self.next.read_bytes())
            if self._recorded().get("data_sha256") == digest:
                self.next.replace(self.data)

    def _recorded(self) -> dict[str, Any]:
        """The provenance; one that is not JSON is set aside, and the rows are left as they are."""
        try:
            return read_json(self.provenance)
        except CorruptFile as error:
            aside = set_aside(self.provenance)
            raise CorruptFile(f"{error}; it is set aside as {aside.name}, {self._again}") from error

    @property
    def _again(self) -> str:
        """How to get rows that can be trusted."""
        return (
            f"and `odeclaims run {self.claim.slug} --profile {self.profile}` measures again what is"
            " no longer in cells/"
        )

    def write_verdict(self, df: pd.DataFrame) -> None:
        """Judge the rows anew and write the verdict."""
        write_json(self.verdict, self.claim.judge(df).as_dict())

    def stale(self) -> str:
        """What is wrong with the stored verdict; "" where it follows from the rows."""
        if not self.verdict.exists():
            return "there are rows but no verdict.json"
        kept = read_json(self.verdict)
        now = json.loads(json.dumps(self.claim.judge(self.read()).as_dict()))
        parts = [name for name in now if not _agree(now[name], kept.get(name))]
        return f"the stored verdict differs from its rows in {', '.join(parts)}" if parts else ""

    def read(self) -> pd.DataFrame:
        """The rows, checked against the claim's columns and against the digest in the provenance.

        Raises:
            FileNotFoundError: where nothing was measured, or nothing says what measured it.
            CorruptFile: where a file is not what was written; it has then been set aside.
        """
        self._move_on()
        if not self.data.exists():
            raise FileNotFoundError(
                f"{self.data} does not exist; `odeclaims run {self.claim.slug}"
                f" --profile {self.profile}` makes it"
            )
        if not self.provenance.exists():
            raise FileNotFoundError(
                f"{self.provenance} does not exist, so nothing says what made {self.data.name}"
                f" beside it, {self._again}"
            )
        made = self._recorded()
        try:
            return self._parse(self.data.read_bytes().decode("utf-8"), made)
        except (CorruptFile, UnicodeDecodeError, pd.errors.ParserError) as error:
            aside = set_aside(self.data)
            raise CorruptFile(
                f"{self.data}: {error}; it is set aside as {aside.name}, {self._again}"
            ) from error

    def _parse(self, text: str, made: dict[str, Any]) -> pd.DataFrame:
        expected = list(self.claim.all_columns)
        if not text.strip():
            raise CorruptFile("the file is empty")
        df = _read_csv(text)
        if list(df.columns) != expected:
            wrong = sorted(set(df.columns) ^ set(expected)) or ["their order"]
            raise CorruptFile(f"its columns are not the claim's, they differ in {', '.join(wrong)}")
        unknown = set(df["status"].dropna().unique()) - set(STATUSES)
        if unknown or df["status"].isna().any():
            raise CorruptFile(f"its status column holds {sorted(unknown) or 'a gap'}")
        if made.get("data_sha256") != _sha256(text):
            raise CorruptFile(
                f"it has {len(df)} rows and not the content that provenance.json records"
                f" ({made.get('rows')} rows)"
            )
        return df


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        FileNotFoundError: where there is no such file.
        CorruptFile: where it is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CorruptFile(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CorruptFile(f"{path} holds {type(content).__name__}, expected an object")
    return content


def _sha256(content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(raw).hexdigest()


def _agree(one: Any, other: Any) -> bool:
    """Whether two values out of JSON are the same, but for how a processor rounds."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_agree(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_agree, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDED_ZERO)
    return one == other


def stored(out: Path, claims: Iterable[Claim], profile: str | None) -> list[Results]:
    """The results that exist for these claims, under one profile or under all."""
    profiles = (profile,) if profile else PROFILES
    found = [Results(out, p, claim) for p in profiles for claim in claims]
    return [results for results in found if results.data.exists()]


def described(cell: Cell) -> dict[str, Any]:
    """The cell as plain data, without the files that belong to the run."""
    plain = {k: v for k, v in asdict(cell).items() if k not in ("checkpoint", "progress")}
    return plain | {"params": dict(cell.params)}


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
    return _sha256(json.dumps(record, sort_keys=True))


def _csv(df: pd.DataFrame) -> str:
    return df.to_csv(index=False, lineterminator="\n")


def _read_csv(text: str) -> pd.DataFrame:
    """The rows of a CSV; only an empty field is a gap, not a text such as NA, and \\r is text."""
    return pd.read_csv(
        io.StringIO(text),
        lineterminator="\n",
        keep_default_na=False,
        na_values=[""],
        low_memory=False,
    )


def _survives(value: Scalar, found: Any) -> bool:
    """Whether what reads back is what was measured: None, NaN and an empty text are all gaps."""
    if value is None or value == "" or value != value:
        return bool(pd.isna(found))
    return isinstance(value, str) == isinstance(found, str) and bool(value == found)


def frame(claim: Claim, rows: list[Row]) -> pd.DataFrame:
    """The rows as a frame with the claim's columns.

    A CSV knows no types: a column of texts that all look like numbers reads back as numbers, whole
    numbers beyond 2^53 beside a gap or a fraction are rounded, and so on.

    Raises:
        ValueError: for a row with a column that the claim does not describe, or with a value that
            would not read back as it is.
    """
    undescribed = sorted({name for row in rows for name in row} - set(claim.all_columns))
    if undescribed:
        raise ValueError(
            f"claim {claim.slug} measures {', '.join(undescribed)}, which its columns do not"
            " describe"
        )
    df = pd.DataFrame(rows, columns=list(claim.all_columns))
    back = _read_csv(_csv(df))
    for name in df.columns:
        for row, found in zip(rows, back[name], strict=True):
            if not _survives(row.get(name), found):
                raise ValueError(
                    f"claim {claim.slug} measures {row[name]!r} in the column {name}, which would"
                    f" read back from the CSV as {found!r}; a column holds one kind of value, and"
                    " text that does not look like numbers alone"
                )
    return df
