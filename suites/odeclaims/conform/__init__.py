"""A scorecard of any registered solver: what it promises, asked one question at a time.

check.py      what a check is, and how a backend is asked
problems.py   problems with answers that no solver of this project made
accuracy.py, cost.py, gradients.py, failing.py, manners.py   the checks, a file a group
guard.py      the process in which they are put
"""

import importlib.metadata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from odeclaims.backends import Backend, find_backends
from odeclaims.conform import accuracy, cost, failing, gradients, manners
from odeclaims.conform.check import Check, Finding
from odeclaims.conform.guard import findings
from odeclaims.provenance import provenance

__all__ = ["CHECKS", "Check", "Finding", "Scorecard", "chosen", "conform"]

CHECKS: tuple[Check, ...] = tuple(
    accuracy.CHECKS + cost.CHECKS + gradients.CHECKS + failing.CHECKS + manners.CHECKS
)


@dataclass(frozen=True)
class Scorecard:
    """What a backend's checks came to.

    Attributes:
        backend: its name.
        what: its own description, in one line.
        findings: one for each check.
        provenance: what made them.
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
        """Whether a check was failed."""
        return any(finding.outcome == "fail" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in ``scorecard.json``."""
        return {
            "backend": self.backend,
            "what": self.what,
            "counts": self.counts,
            "findings": [finding.as_dict() for finding in self.findings],
            "provenance": self.provenance,
        }


def conform(backend: Backend) -> Scorecard:
    """Put every check to the backend, in a process of its own."""
    made = provenance("cpu")
    solver = {name: importlib.metadata.version(name) for name in backend.requires}
    made["packages"] = made["packages"] | solver
    what = (type(backend).__doc__ or "").strip().partition("\n")[0]
    return Scorecard(backend.name, what, findings(backend, CHECKS), made)


def chosen(names: Iterable[str]) -> list[Backend]:
    """The backends of these names, all of which can be used.

    Raises:
        ValueError: for a name that is no backend's, or a backend that lacks something.
    """
    known = find_backends()
    picked = []
    for name in dict.fromkeys(names):
        if name not in known:
            raise ValueError(f"there is no backend {name!r}; the backends are {', '.join(known)}")
        if known[name].missing():
            raise ValueError(f"backend {name} needs {', '.join(known[name].missing())}")
        picked.append(known[name])
    return picked
