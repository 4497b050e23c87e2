"""What a file of results may say: names, types and ranges, checked whenever one is read.

A results folder may come from anybody. Nothing that is read from it is used before it has passed
here: texts hold no control characters, so that they can be shown on a terminal, and numbers are
finite.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from odeclaims.record.files import CorruptFile, read_json


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("the text holds control characters")
    return text


Text = Annotated[str, AfterValidator(_check_printable), Field(max_length=10_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]{0,99}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\+\d\d:\d\d|Z)$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Outcome = Literal["reproduced", "partly", "not reproduced", "insufficient"]


class _Record(BaseModel):
    # A whole number is welcome where a float is asked for, as JSON has it.
    model_config = ConfigDict(strict=True, extra="forbid")


class CriterionRecord(_Record):
    """One criterion of a verdict."""

    name: Text
    decides: bool
    outcome: Outcome
    value: Number | None
    interval_95: Annotated[list[Number], Field(min_length=2, max_length=2)] | None
    values: Count
    statistic: Literal["median", "min", "max"]
    reproduced_if: Text
    partly_if: Text | None
    because: Text
    lacking: Text


class VerdictRecord(_Record):
    """``verdict.json``."""

    claim: Name
    title: Text
    outcome: Outcome
    criteria: Annotated[list[CriterionRecord], Field(min_length=1)]
    caveats: list[Text]


class MachineRecord(_Record):
    """What computed: versions, system, processor and GPU."""

    python: Version
    packages: dict[Text, Version]
    system: Text
    cpu: Text
    cores: Annotated[int, Field(ge=1)] | None
    gpu: Text | None


class CellsOfMachine(MachineRecord):
    """One of several machines, with the number of cells that it measured."""

    cells: Count


class ProvenanceRecord(MachineRecord):
    """``provenance.json`` of a claim.

    ``sha256`` is the digest of all the rest; results from before it was introduced lack it.
    """

    odeclaims: Version
    commit: Commit | None
    clean_tree: bool
    profile: Literal["smoke", "quick", "hour", "paper"]
    device: Text
    threads: Annotated[int, Field(ge=1)]
    datasets: dict[Text, Text]
    seeds: list[Count]
    cells: Count
    cells_made_at_commits: list[Text]
    started: Moment
    duration_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    machines: list[CellsOfMachine] = []
    rows: Count
    data_sha256: Sha256
    sha256: Sha256 | None = None


def read_verdict(path: Path) -> dict[str, Any]:
    """A stored verdict, checked.

    Raises:
        FileNotFoundError: where there is no such file.
        CorruptFile: where it is not a verdict; the message says what is wrong.
    """
    return _read(path, VerdictRecord, "a verdict")


def read_provenance(path: Path) -> dict[str, Any]:
    """A stored provenance, checked.

    Raises:
        FileNotFoundError: where there is no such file.
        CorruptFile: where it is not a provenance; the message says what is wrong.
    """
    return _read(path, ProvenanceRecord, "a provenance")


def _read(path: Path, record: type[_Record], what: str) -> dict[str, Any]:
    content = read_json(path)
    try:
        record.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        where = place.encode("unicode_escape").decode()[:200]
        raise CorruptFile(f"{path} is not {what}: {where}: {first['msg']}") from None
    return content
