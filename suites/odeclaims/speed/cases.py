"""What the speed suite times, in which order and how often.

A case is one workload on one backend with one way to the gradient at one tolerance. All cases run
in one process, in several passes. Each pass has a shuffled order of its own, so that a drift of the
machine affects all cases alike, and every ratio can be taken within a pass.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from odeclaims.backends import Backend
from odeclaims.workloads import WORKLOADS, Workload

SEED = 0
PASSES = 5
METHOD = "dopri5"
# Seconds that a case may take in one pass and, if it is slow, in all passes together; and the share
# of them for a case that only adds a point to a work-precision line.
PASS_BUDGET_S = 0.1
CASE_BUDGET_S = 4.0
OTHER_SHARE = 1 / 3
MOST_ROUNDS = 30

# Tolerances beside the workload's own, from loose to tight.
_SMOOTH = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
TOLERANCES = {
    "mlp_forward": _SMOOTH,
    "mlp_outputs": _SMOOTH,
    "mlp_gradient": _SMOOTH,
    "wide_forward": _SMOOTH[1:],
    "wide_gradient": _SMOOTH[1:],
    "conv_forward": (1e-2, 1e-3, 1e-4),
    "conv_gradient": (1e-3, 3e-4),
    "mnist_training": (1e-3,),
}
# The gradients that training is timed with; the comparison of the others is not about training.
TRAINING_GRADIENTS = ("backprop", "adjoint", "seminorm")

# The cost of the field alone, measured beside the solvers.
FIELD = "field"
VJP = "vjp"
# How the CSV names the absence of a gradient; an empty entry would be read as not a number.
NO_GRADIENT = "none"


@dataclass(frozen=True)
class Case:
    """One thing to time.

    Attributes:
        workload: its name.
        backend: its name, or ``field``.
        gradient: one of the backend's, or ``None`` for the forward solve alone; for the field also
            ``vjp``.
        tol: relative and absolute tolerance.
    """

    workload: str
    backend: str
    gradient: str | None
    tol: float

    @property
    def at_own_tolerance(self) -> bool:
        """Whether the tolerance is the workload's own."""
        return self.tol == WORKLOADS[self.workload].tol

    def __str__(self) -> str:
        parts = (self.workload, self.backend, self.gradient or NO_GRADIENT, f"{self.tol:.0e}")
        return "-".join(parts)


def list_cases(backends: Iterable[Backend]) -> list[Case]:
    """Every case of these backends; each group begins with the workload's own tolerance."""
    backends, cases = list(backends), []
    for workload in WORKLOADS.values():
        name, tol = workload.name, workload.tol
        cases.append(Case(name, FIELD, None, tol))
        if workload.differentiated:
            cases.append(Case(name, FIELD, VJP, tol))
        tols = [tol, *(other for other in TOLERANCES[name] if other != tol)]
        cases += [
            Case(name, backend.name, gradient, each)
            for backend in backends
            for gradient in _list_gradients(workload, backend)
            for each in tols
        ]
    return cases


def _list_gradients(workload: Workload, backend: Backend) -> list[str | None]:
    """The ways to the gradient in which a backend does this workload."""
    if not workload.differentiated:
        return [None]
    if workload.trains:
        return [g for g in backend.gradients if g in TRAINING_GRADIENTS and backend.in_torch]
    return list(backend.gradients)


@dataclass(frozen=True)
class Turn:
    """A case in one pass.

    Attributes:
        number: the number of the pass, from 0.
        position: its place in the order of that pass, from 0.
        case: what is timed.
    """

    number: int
    position: int
    case: Case

    def __str__(self) -> str:
        return f"pass{self.number}-{self.case}"


def schedule(cases: Sequence[Case]) -> list[Turn]:
    """Every case once in every pass; each pass is shuffled by a seed of its own."""
    turns = []
    for number in range(PASSES):
        order = list(cases)
        random.Random(SEED + number).shuffle(order)
        turns += [Turn(number, position, case) for position, case in enumerate(order)]
    return turns


def plan(case: Case, warm_s: float) -> tuple[int, int]:
    """The rounds in a pass, and the passes: fewer if one round takes seconds."""
    share = 1.0 if case.at_own_tolerance else OTHER_SHARE
    rounds = int(share * PASS_BUDGET_S / warm_s)
    passes = int(share * CASE_BUDGET_S / warm_s)
    return max(1, min(MOST_ROUNDS, rounds)), max(1, min(PASSES, passes))
