"""What a file of results may say: names, types and ranges, checked whenever one is read.

A results folder may come from anybody. Nothing that is read from it is used before it has passed
here: texts hold no control characters, so that they can be shown on a terminal, and numbers are
finite.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from odeclaims.cell import OWN_SOLVER, ProfileName, Scalar
from odeclaims.record.files import CorruptFile, parse_json, read_json
from odeclaims.rules import WITHOUT_A_VALUE, Outcome
from odeclaims.statement import Scale, summarise


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("the text holds control characters")
    return text


def _check_moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Text = Annotated[str, AfterValidator(_check_printable), Field(max_length=10_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
NetworkName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$")]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]{0,99}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RuleDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Moment = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}(\+[0-9]{2}:[0-9]{2}|Z)$"),
    AfterValidator(_check_moment),
]
# It stands in a command that the page shows to be copied.
DEVICE = r"^(cpu|cuda(:[0-9]{1,3})?)$"
Device = Annotated[str, Field(pattern=DEVICE)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Record(BaseModel):
    # A whole number is welcome where a float is asked for, as JSON has it.
    model_config = ConfigDict(strict=True, extra="forbid")


class StatementRecord(_Record):
    """One statement of a verdict."""

    name: Name
    text: Text
    kind: Text
    central: bool
    outcome: Outcome
    value: Number | None
    interval: Annotated[list[Number], Field(min_length=2, max_length=2)] | None
    level: Annotated[float, Field(gt=0, lt=1)] | None
    values: Count
    words: Text
    p: Annotated[float, Field(ge=0, le=1)] | None
    seeds_needed: Count | None
    holds_if: Text
    because: Text
    lacking: Text

    @model_validator(mode="after")
    def _check(self) -> "StatementRecord":
        if self.value is None and self.outcome not in WITHOUT_A_VALUE:
            raise ValueError("it is decided without a value")
        if self.outcome in WITHOUT_A_VALUE and not self.lacking:
            raise ValueError("nothing says why it is not judged")
        if self.interval and self.interval[0] > self.interval[1]:
            raise ValueError("the ends of the interval are in the wrong order")
        return self


class CheckRecord(_Record):
    """One check of the instrument."""

    name: Name
    text: Text
    passed: bool
    values: Count
    outside: Count
    example: Number | None
    holds_if: Text
    because: Text

    @model_validator(mode="after")
    def _check(self) -> "CheckRecord":
        if self.passed != (self.outside == 0) or self.outside > self.values:
            raise ValueError("it says both that it passed and that it failed")
        return self


class VerdictRecord(_Record):
    """``verdict.json``."""

    claim: Name
    title: Text
    revision: Annotated[int, Field(ge=1, lt=10_000)]
    scale: Scale
    size: Text
    summary: Text
    statements: Annotated[list[StatementRecord], Field(min_length=1)]
    checks: list[CheckRecord]
    caveats: list[Text]

    @model_validator(mode="after")
    def _check(self) -> "VerdictRecord":
        central: list[Outcome] = [s.outcome for s in self.statements if s.central]
        if not central or summarise(central) != self.summary:
            raise ValueError("the summary does not count the central statements")
        names = [each.name for each in (*self.statements, *self.checks)]
        if len(set(names)) < len(names):
            raise ValueError("two statements or checks have one name")
        return self


class MachineRecord(_Record):
    """What computed: versions, system, processor and GPU."""

    python: Version
    packages: dict[Name, Version]
    system: Text
    cpu: Text
    cores: Annotated[int, Field(ge=1)] | None
    gpu: Text | None


class CellsOfMachine(MachineRecord):
    """One of several machines, with the number of cells that it measured."""

    cells: Count


class ProvenanceRecord(MachineRecord):
    """``provenance.json`` of a claim.

    ``sha256`` is the digest of all the rest; results from before it was introduced lack it, and
    those from before rules were registered lack ``rules`` and ``registered``.
    """

    odeclaims: Version
    commit: Commit | None
    clean_tree: bool
    profile: ProfileName
    device: Device
    solver: Name = OWN_SOLVER
    not_offered: list[Text] = []
    threads: Annotated[int, Field(ge=1)]
    datasets: dict[Name, Text]
    seeds: list[Count]
    cells: Count
    cells_made_at_commits: list[Commit | Literal["None"]]
    started: Moment
    duration_s: Duration
    machines: list[CellsOfMachine] = []
    revision: Annotated[int, Field(ge=1, lt=10_000)] = 1
    rules: dict[Name, RuleDigest] | None = None
    registered: list[Name] | None = None
    rows: Count
    data_sha256: Sha256
    sha256: Sha256 | None = None


class NetworkRecord(MachineRecord):
    """``network.json`` of a published network; ``sha256`` is the digest of all the rest.

    The first networks lack ``clean_tree``: whether the code had no changes whenever their training
    began or went on, and when it was finished.
    """

    name: NetworkName
    recipe: Name
    net: Name
    seed: Count
    size: dict[Name, Scalar]
    specification: RuleDigest
    parameters: Count
    test_error: Annotated[float, Field(ge=0, le=1)] | None
    core_hours: Duration
    commits: list[Commit | Literal["None"]]
    clean_tree: bool | None = None
    finished: Moment
    first_losses: Annotated[list[Number], Field(min_length=1)]
    weights_sha256: Sha256
    history_sha256: Sha256
    sha256: Sha256


class CellIdentity(_Record):
    """Which cell it is, as ``cells.describe`` has it."""

    claim: Text
    params: dict[str, Any]
    repetition: Count
    device: Device
    paired: list[str]
    revision: Annotated[int, Field(ge=1, lt=10_000)] = 1
    solver: Name = OWN_SOLVER


class CellRecord(_Record):
    """A finished cell. What its rows may hold is the claim's affair: here they are plain data.

    Cells from before these were recorded lack ``machine``, and ``clean_tree``: whether the code had
    no changes when the run began.
    """

    format: int
    key: Annotated[str, Field(pattern=r"^[0-9a-zA-Z]{1,64}$")]
    cell: CellIdentity
    seed: Count
    commit: Commit | None
    clean_tree: bool | None = None
    started: Moment
    duration_s: Duration
    rows: list[dict[str, Scalar]]
    not_offered: list[Text]
    machine: MachineRecord | None = None
    sha256: Sha256


class ProcessAnswer(_Record):
    """What a worker of a cluster says: what a cell's process said, and its exit code."""

    said: str
    code: Annotated[int, Field(ge=-255, le=255)]
    worker: Text


class CellAnswer(_Record):
    """What a cell's process on a cluster says: one of the three."""

    record: dict[str, Any] | None = None
    failed: str | None = None
    refused: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "CellAnswer":
        if len(self.model_fields_set) != 1:
            raise ValueError("it says not one thing")
        return self


def read_verdict(path: Path) -> dict[str, Any]:
    """A stored verdict, checked.

    Raises:
        FileNotFoundError: where there is no such file.
        CorruptFile: where it is not a verdict; the message says what is wrong.
    """
    content = read_json(path)
    check_verdict(content, path)
    return content


def read_provenance(path: Path) -> dict[str, Any]:
    """A stored provenance, checked.

    Raises:
        FileNotFoundError: where there is no such file.
        CorruptFile: where it is not a provenance; the message says what is wrong.
    """
    content = read_json(path)
    check_provenance(content, path)
    return content


def read_network(path: Path) -> dict[str, Any]:
    """The stored record of a network, checked.

    Raises:
        FileNotFoundError: where there is no such file.
        CorruptFile: where it is not such a record; the message says what is wrong.
    """
    content = read_json(path)
    check_network(content, path)
    return content


def check_verdict(content: dict[str, Any], path: Path) -> None:
    """Check what is to be written to ``path``, or was read there.

    Raises:
        CorruptFile: where it is not a verdict.
    """
    _check_record(content, VerdictRecord, f"{path} is not a verdict")


def check_provenance(content: dict[str, Any], path: Path) -> None:
    """As ``check_verdict``, for a provenance."""
    _check_record(content, ProvenanceRecord, f"{path} is not a provenance")


def check_network(content: dict[str, Any], path: Path) -> None:
    """As ``check_verdict``, for the record of a network."""
    _check_record(content, NetworkRecord, f"{path} is not the record of a network")


def check_cell(content: dict[str, Any], name: str) -> None:
    """As ``check_verdict``, for a finished cell, which has a name in place of a path."""
    _check_record(content, CellRecord, f"{name} is not a finished cell")


def parse_process_answer(text: str) -> dict[str, Any]:
    """What a worker of a cluster says.

    Raises:
        CorruptFile: where it is anything else.
    """
    content = parse_json(text, "the answer")
    _check_record(content, ProcessAnswer, "the answer is not one of a worker")
    return content


def parse_cell_answer(text: str) -> dict[str, Any]:
    """What a cell's process on a cluster says.

    Raises:
        CorruptFile: where it is anything else.
    """
    content = parse_json(text, "the answer")
    _check_record(content, CellAnswer, "the answer is not one of a cell's process")
    return content


def _check_record(content: dict[str, Any], record: type[_Record], says: str) -> None:
    try:
        record.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        where = place.encode("unicode_escape").decode()[:200]
        raise CorruptFile(f"{says}: {where}: {first['msg']}") from None
