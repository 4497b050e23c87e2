"""Results on disk: nothing is half written, nothing is used that is not whole, nothing is lost.

    <out>/<profile>/<slug>/   data.csv  verdict.json  provenance.json  figure.*  table.*
                              (an installed record has data.csv.gz in the place of data.csv)
    <out>/cells/<slug>/       one JSON file for each finished cell, shared by all profiles

Every file is written beside its place and then renamed. A file that cannot be trusted is set aside
under another name, with a sentence that says so. Rows and cells are trusted by their digests.
"""

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from odeclaims.cell import PROFILES, STATUSES
from odeclaims.claim import Claim
from odeclaims.record import schema
from odeclaims.record.derive import judge_rows
from odeclaims.record.files import (
    CorruptFile,
    describe_set_aside,
    read_compressed,
    set_aside,
    sha256,
    write_json,
    write_text,
)
from odeclaims.record.frame import read_csv, to_csv
from odeclaims.statement import Verdict


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

    def within(self, out: Path | None) -> "Results":
        """The same result in another results folder, if one is named: there it is written."""
        return replace(self, out=out) if out else self

    @property
    def data(self) -> Path:
        """The CSV with every row; a compressed one where only that is there."""
        packed = self.folder / "data.csv.gz"
        return packed if packed.exists() and not self._plain.exists() else self._plain

    @property
    def _plain(self) -> Path:
        """Where rows are written."""
        return self.folder / "data.csv"

    @property
    def provenance(self) -> Path:
        """What made the rows, and their digest."""
        return self.folder / "provenance.json"

    @property
    def verdict(self) -> Path:
        """What the claim's statements make of the rows."""
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
        text = to_csv(df)
        write_text(self.next, text)
        whole = provenance | {"rows": len(df), "data_sha256": sha256(text)}
        whole["sha256"] = provenance_digest(whole)
        schema.check_provenance(whole, self.provenance)
        write_json(self.provenance, whole)
        self._move_on()
        self.write_verdict(judge_rows(self.claim, self.read(), self.data))

    def write_verdict(self, verdict: Verdict) -> None:
        """Write the verdict that follows from the rows.

        Raises:
            CorruptFile: where it could not be read back, as with control characters in a text.
        """
        content = verdict.as_dict()
        schema.check_verdict(content, self.verdict)
        write_json(self.verdict, content)

    def _move_on(self) -> None:
        """Put the next rows in place if the provenance is theirs already."""
        # There may be none, no provenance yet, or a reader beside this one that is faster.
        with suppress(FileNotFoundError):
            digest = sha256(self.next.read_bytes())
            if self.read_provenance()["data_sha256"] == digest:
                self.next.replace(self._plain)

    def read_provenance(self) -> dict[str, Any]:
        """What made the rows, checked against the schema.

        Raises:
            FileNotFoundError: where there is no such file.
            CorruptFile: where it is not a provenance; it has then been set aside, and the rows are
                left as they are.
        """
        try:
            made = schema.read_provenance(self.provenance)
            if made["profile"] != self.profile:
                raise CorruptFile(f"{self.provenance} is that of the profile {made['profile']}")
            if made.get("sha256") not in (None, provenance_digest(made)):
                raise CorruptFile(f"{self.provenance} was changed after it was written")
            return made
        except CorruptFile as error:
            aside = describe_set_aside(self.provenance)
            raise CorruptFile(f"{error}; {aside}, {self._again}") from error

    def read_verdict(self) -> dict[str, Any]:
        """The stored verdict, checked against the schema.

        Raises:
            FileNotFoundError: where there is no such file.
            CorruptFile: where it is not a verdict; it has then been set aside.
        """
        try:
            verdict = schema.read_verdict(self.verdict)
            if verdict["claim"] != self.claim.slug:
                raise CorruptFile(f"{self.verdict} is that of the claim {verdict['claim']}")
            return verdict
        except CorruptFile as error:
            aside = describe_set_aside(self.verdict)
            again = f"`odeclaims tables {self.claim.slug} --profile {self.profile}`"
            raise CorruptFile(f"{error}; {aside}, and {again} judges the rows again") from error

    @property
    def _again(self) -> str:
        """How to get rows that can be trusted."""
        return (
            f"and `odeclaims run {self.claim.slug} --profile {self.profile}` measures again what is"
            " no longer in cells/"
        )

    def read(self) -> pd.DataFrame:
        """The rows, checked against the claim's columns and against the digest in the provenance.

        Raises:
            FileNotFoundError: where nothing was measured, or nothing says what measured it.
            CorruptFile: where a file is not what was written; it has then been set aside.
        """
        return self._read()[0]

    def read_text(self) -> str:
        """The rows as CSV, as they were written; checked as ``read`` checks them.

        Raises:
            FileNotFoundError: as ``read``.
            CorruptFile: as ``read``.
        """
        return self._read()[1]

    def _read(self) -> tuple[pd.DataFrame, str]:
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
        provenance, _ = before = self._state()
        try:
            read = read_compressed if self.data.suffix == ".gz" else Path.read_bytes
            return self._parse(read(self.data).decode("utf-8"), provenance)
        except (ValueError, OverflowError) as error:
            # Of what is not UTF-8 or not a CSV, too.
            self._move_on()
            if not self.data.exists() or self._state() != before:
                # A run wrote in between, and the provenance was that of other rows.
                return self._read()
            aside = describe_set_aside(self.data)
            raise CorruptFile(f"{self.data}: {error}; {aside}, {self._again}") from error

    def _state(self) -> tuple[dict[str, Any], tuple[int, int]]:
        """The provenance, and what changes when the rows are replaced."""
        made, rows = self.read_provenance(), self.data.stat()
        return made, (rows.st_ino, rows.st_mtime_ns)

    def _parse(self, text: str, provenance: dict[str, Any]) -> tuple[pd.DataFrame, str]:
        expected = list(self.claim.all_columns)
        text = _with_our_line_ends(text, provenance["data_sha256"])
        if not text.strip():
            raise CorruptFile("the file is empty")
        df = read_csv(text)
        if list(df.columns) != expected:
            wrong = sorted(set(df.columns) ^ set(expected)) or ["their order"]
            raise CorruptFile(f"its columns are not the claim's, they differ in {', '.join(wrong)}")
        unknown = set(df["status"].dropna().unique()) - set(STATUSES)
        if unknown or df["status"].isna().any():
            raise CorruptFile(f"its status column holds {sorted(unknown) or 'a gap'}")
        if provenance["data_sha256"] != sha256(text):
            raise CorruptFile(
                f"it has {len(df)} rows and not the content that provenance.json records"
                f" ({provenance['rows']} rows)"
            )
        if len(df) != provenance["rows"]:
            raise CorruptFile(f"it has {len(df)} rows and not {provenance['rows']}")
        return df, text


def possible_results(out: Path, claims: Collection[Claim], profile: str | None) -> list[Results]:
    """The results that these claims can have, under one profile or under all."""
    profiles = (profile,) if profile else PROFILES
    return [Results(out, p, claim) for p in profiles for claim in claims]


def read_results(out: Path, claims: Collection[Claim], profile: str | None) -> list[Results]:
    """Those of them that exist."""
    return [each for each in possible_results(out, claims, profile) if each.data.exists()]


def _with_our_line_ends(text: str, digest: str) -> str:
    """The text as it was written, where a checkout has turned its line ends into those of Windows.

    Git does that unless it is told not to. Only what has the recorded digest afterwards is taken.
    """
    turned_back = text.replace("\r\n", "\n")
    return turned_back if sha256(turned_back) == digest else text


def provenance_digest(provenance: dict[str, Any]) -> str:
    """The digest by which a change of any field of a provenance is noticed."""
    rest = {name: value for name, value in provenance.items() if name != "sha256"}
    return sha256(json.dumps(rest, sort_keys=True))
