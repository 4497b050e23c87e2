"""The scorecard of a backend: all checks, and the findings of a run of them."""

import importlib.metadata
from collections import Counter
from dataclasses import dataclass
from typing import Any

from odeclaims.backends import Backend
from odeclaims.conform import (
    accuracy,
    complex_states,
    cost,
    dense,
    derivatives,
    events,
    failing,
    gradients,
    manners,
    stiff,
)
from odeclaims.conform.check import Check, Finding
from odeclaims.conform.guard import ask_in_process
from odeclaims.record.provenance import provenance

CHECKS: tuple[Check, ...] = tuple(
    accuracy.CHECKS
    + dense.CHECKS
    + events.CHECKS
    + cost.CHECKS
    + gradients.CHECKS
    + derivatives.CHECKS
    + complex_states.CHECKS
    + failing.CHECKS
    + stiff.CHECKS
    + manners.CHECKS
)


@dataclass(frozen=True)
class Scorecard:
    """The findings of all checks of a backend.

    Attributes:
        backend: its name.
        what: its own description, in one line.
        findings: one for each check.
        provenance: code, versions and machine of the run.
    """

    backend: str
    what: str
    findings: list[Finding]
    provenance: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """How many checks have each outcome."""
        return dict(Counter(finding.outcome for finding in self.findings))

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(finding.outcome == "fail" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The content of ``scorecard.json``."""
        return {
            "backend": self.backend,
            "what": self.what,
            "counts": self.counts,
            "findings": [finding.as_dict() for finding in self.findings],
            "provenance": self.provenance,
        }


def fill_scorecard(backend: Backend) -> Scorecard:
    """Run every check on the backend, in a process of its own."""
    record = provenance("cpu")
    solver = {name: importlib.metadata.version(name) for name in backend.requires}
    record["packages"] = record["packages"] | solver
    what = (type(backend).__doc__ or "").strip().partition("\n")[0]
    return Scorecard(backend.name, what, ask_in_process(backend, CHECKS), record)
