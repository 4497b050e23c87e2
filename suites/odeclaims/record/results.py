"""Results on disk: nothing is half written, nothing is used that is not whole, nothing is lost.

    <out>/<profile>/<slug>/   data.csv  verdict.json  provenance.json  figure.*  table.*
    <out>/cells/<slug>/       one JSON file for each finished cell, shared by all profiles

Every file is written beside its place and then renamed. A file that cannot be trusted is set aside
under another name, with a sentence that says so. Rows and cells are trusted by their digests.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from odeclaims.cell import PROFILES, STATUSES
from odeclaims.claim import Claim
from odeclaims.record.files import CorruptFile, read_json, set_aside, sha256, write_json, write_text
from odeclaims.record.frame import read_csv, to_csv


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
        text = to_csv(df)
        write_text(self.next, text)
        made = provenance | {"rows": len(df), "data_sha256": sha256(text)}
        write_json(self.provenance, made)
        self._move_on()
        write_json(self.verdict, self.claim.judge(self.read()).as_dict())

    def _move_on(self) -> None:
        """Put the next rows in place if the provenance is theirs already."""
        # There may be none, no provenance yet, or a reader beside this one that is faster.
        with suppress(FileNotFoundError):
            digest = sha256(self.next.read_bytes())
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
        df = read_csv(text)
        if list(df.columns) != expected:
            wrong = sorted(set(df.columns) ^ set(expected)) or ["their order"]
            raise CorruptFile(f"its columns are not the claim's, they differ in {', '.join(wrong)}")
        unknown = set(df["status"].dropna().unique()) - set(STATUSES)
        if unknown or df["status"].isna().any():
            raise CorruptFile(f"its status column holds {sorted(unknown) or 'a gap'}")
        if made.get("data_sha256") != sha256(text):
            raise CorruptFile(
                f"it has {len(df)} rows and not the content that provenance.json records"
                f" ({made.get('rows')} rows)"
            )
        return df


def read_results(out: Path, claims: Iterable[Claim], profile: str | None) -> list[Results]:
    """The results that exist for these claims, under one profile or under all."""
    profiles = (profile,) if profile else PROFILES
    possible = [Results(out, p, claim) for p in profiles for claim in claims]
    return [results for results in possible if results.data.exists()]
