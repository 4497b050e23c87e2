"""What a run has to do: the cells of its claims, each with the key of its result."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from odeclaims.cell import Cell, Profile, ProfileName
from odeclaims.claim import Claim
from odeclaims.record.provenance import code_state
from odeclaims.run.code import code_of

# One thread a cell: cells run beside each other, and a time with one thread compares across
# machines.
THREADS = 1
# Seconds after which a cell is given up with the status "timeout": far more than any cell takes
# under that profile, so that one which hangs does not hold up the others for ever.
TIMEOUT_S: dict[ProfileName, float] = {
    "smoke": 600.0,
    "quick": 3600.0,
    "hour": 86_400.0,
    "paper": 30 * 86_400.0,
}


@dataclass(frozen=True)
class Task:
    """A cell with the claim that measures it.

    Attributes:
        claim: the claim.
        cell: the cell.
        key: the name under which its result is kept.
        alone: whether nothing else may run beside it.
        timeout_s: seconds after which it is given up.
        code: the commit of the code that the key was made from, and whether its tree was clean.
    """

    claim: Claim
    cell: Cell
    key: str
    alone: bool
    timeout_s: float
    code: Mapping[str, Any]


# How tasks are computed, so many at a time; for each, as it ends, "" or why it failed.
Compute = Callable[[list[Task], int], Iterator[str]]


@dataclass
class Summary:
    """How a run went.

    Attributes:
        computed, reused: cells that were measured, and that were taken from before.
        failures: what failed, one sentence each.
        empty: claims that have no cells at the profile, one sentence each.
        written: the slugs of the claims whose results were written.
    """

    computed: int = 0
    reused: int = 0
    failures: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)


def list_tasks(claims: Sequence[Claim], profile: Profile) -> list[Task]:
    """A task for each cell of the claims under a profile."""
    code = code_state()
    return [
        Task(claim, cell, cell.key(source), claim.alone(cell), TIMEOUT_S[profile.name], code)
        for claim in claims
        for source in [code_of(claim.measure, profile.solver)]
        for cell in claim.cells(profile)
    ]
