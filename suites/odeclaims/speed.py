"""The speed suite: what is timed, what is checked before, and what is written down.

A case is one workload on one backend with one way to the gradient at one tolerance. All cases run
in one process, in several passes, each in a shuffled order of its own, so that a machine which
drifts does so for all of them and every ratio can be taken within a pass.
"""

import hashlib
import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from neural_ode import Checkpointed, solve
from neural_ode.memory import peak_allocated
from odeclaims.backends import Answer, Backend, Prepared, on_torch
from odeclaims.claim import Column
from odeclaims.provenance import provenance
from odeclaims.store import write_json, write_text
from odeclaims.workloads import WORKLOADS, Problem

SEED = 0
PASSES = 5
METHOD = "dopri5"
# Seconds that a case may take in one pass and, where it is slow, in all of them together; and the
# share of them that a case gets which only adds a point to a work-precision line.
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
# Where the gradients are those of training, others than these are not at issue.
TRAINING_GRADIENTS = ("backprop", "adjoint", "seminorm")
# What makes a reference, and a looser one beside it. ReLU gives the conv field kinks, for which
# tight tolerances take very many steps; through them the gradient converges with the step, not with
# its fourth power, and small equal steps are the quickest way to three digits of it.
_SMOOTH_REFERENCE = ({"rtol": 1e-11, "atol": 1e-11}, {"rtol": 1e-10, "atol": 1e-10})
_KINKED_REFERENCE = (
    {"method": "rk4", "step_size": 1 / 64},
    {"method": "rk4", "step_size": 1 / 32},
)
REFERENCES = {
    "conv_forward": ({"rtol": 1e-7, "atol": 1e-7}, {"rtol": 1e-6, "atol": 1e-6}),
    "conv_gradient": _KINKED_REFERENCE,
    "mnist_training": _KINKED_REFERENCE,
}

# The cost of the field alone, measured beside the solvers.
FIELD = "field"
VJP = "vjp"
# How the CSV names the absence of a gradient, where an empty entry would read as not a number.
NO_GRADIENT = "none"

COLUMNS = {
    "pass": Column("number of the pass over all cases, from 0"),
    "position": Column("place of the case in the shuffled order of its pass, from 0"),
    "workload": Column("name of the workload"),
    "backend": Column("name of the backend; `field` is the torch field alone, without a solver"),
    "gradient": Column(
        "way to the gradient; `none` is the forward solve, and for `field` one evaluation; `vjp` is"
        " one evaluation with its vector-Jacobian product"
    ),
    "tol": Column("relative and absolute tolerance"),
    "own": Column("whether it is the workload's own tolerance"),
    "time_s": Column("median over the rounds of this pass, seconds", varies=True),
    "iqr_s": Column("interquartile range over the rounds of this pass, seconds", varies=True),
    "rounds": Column("rounds in this pass", varies=True),
    "first_s": Column("seconds of the first call, at the workload's own tolerance", varies=True),
    "compile_s": Column("seconds of it spent compiling; empty where nothing is", varies=True),
    "nfe_forward": Column("field evaluations of the forward solve"),
    "nfe_backward": Column(
        "evaluations with their vector-Jacobian product on the way back; empty where nothing is"
        " evaluated again or the backend does not say"
    ),
    "peak_bytes": Column(
        "peak of torch's allocator beyond what was there before, at the workload's own tolerance",
        varies=True,
    ),
    "error": Column("relative L2 error of the states after the first output time"),
    "gradient_error": Column("relative L2 error of the gradient, all parts as one vector"),
    "reference_error": Column(
        "relative L2 distance of the reference from a looser one, the larger of states and gradient"
    ),
}


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
    def own(self) -> bool:
        """Whether the tolerance is the workload's own."""
        return self.tol == WORKLOADS[self.workload].tol

    def __str__(self) -> str:
        parts = (self.workload, self.backend, self.gradient or NO_GRADIENT, f"{self.tol:.0e}")
        return "-".join(parts)


def cases(backends: Iterable[Backend]) -> list[Case]:
    """Every case of these backends, each group with the workload's own tolerance first."""
    found = []
    for workload in WORKLOADS.values():
        found.append(Case(workload.name, FIELD, None, workload.tol))
        if workload.differentiated:
            found.append(Case(workload.name, FIELD, VJP, workload.tol))
        others = [tol for tol in TOLERANCES[workload.name] if tol != workload.tol]
        for backend in backends:
            tols = [workload.tol, *others]
            gradients = backend.gradients if workload.differentiated else (None,)
            if workload.trains:
                gradients = [g for g in gradients if g in TRAINING_GRADIENTS and backend.in_torch]
            found += [
                Case(workload.name, backend.name, gradient, tol)
                for gradient in gradients
                for tol in tols
            ]
    return found


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


def schedule(chosen: Sequence[Case]) -> list[Turn]:
    """The cases once in every pass, each pass shuffled anew by a seed of its own."""
    turns = []
    for number in range(PASSES):
        shuffled = list(chosen)
        random.Random(SEED + number).shuffle(shuffled)
        turns += [Turn(number, position, case) for position, case in enumerate(shuffled)]
    return turns


@dataclass(frozen=True)
class Facts:
    """What is known about a case before it is timed; the columns of ``COLUMNS``."""

    warm_s: float
    first_s: float | None = None
    compile_s: float | None = None
    nfe_forward: int | None = None
    nfe_backward: int | None = None
    peak_bytes: int | None = None
    error: float | None = None
    gradient_error: float | None = None
    reference_error: float | None = None


def plan(case: Case, warm_s: float) -> tuple[int, int]:
    """Rounds in a pass, and passes: fewer where one round takes seconds."""
    share = 1.0 if case.own else OTHER_SHARE
    rounds = int(share * PASS_BUDGET_S / warm_s)
    passes = int(share * CASE_BUDGET_S / warm_s)
    return max(1, min(MOST_ROUNDS, rounds)), max(1, min(PASSES, passes))


class Speed:
    """The work of one session: problems and references are made once, and every case checked.

    Attributes:
        backends: all that are known, by name.
        device: the torch device on which everything is timed.
        rows: one for each case and pass that was timed, by the columns of ``COLUMNS``.
        timed: the cases that have a row.
    """

    def __init__(self, backends: Mapping[str, Backend], device: str = "cpu") -> None:
        self.backends, self.device = backends, device
        self.rows: list[dict[str, Any]] = []
        self.timed: set[Case] = set()
        self._prepared: dict[Case, Prepared] = {}
        self._facts: dict[Case, Facts] = {}
        self._wrong: dict[Case, str] = {}

    def cases(self) -> list[Case]:
        """Every case of the backends that can be used."""
        return cases(usable(self.backends, self.device))

    def work(self, case: Case) -> Prepared:
        """The work of a case, set up once."""
        if case not in self._prepared:
            problem = _problem(case.workload, self.device)
            if case.backend == FIELD:
                self._prepared[case] = field_alone(problem, case.gradient)
            else:
                self._prepared[case] = self.backends[case.backend].prepare(
                    problem, method=METHOD, tol=case.tol, gradient=case.gradient
                )
        return self._prepared[case]

    def facts(self, case: Case) -> Facts:
        """What the first calls of a case show: its answer, its counts, its memory."""
        if case not in self._facts:
            self._facts[case] = self._measure_once(case)
        return self._facts[case]

    def wrong(self, case: Case) -> str:
        """What is wrong with the answer of a case, in a sentence; "" where it is right."""
        self.facts(case)
        return self._wrong.get(case, "")

    def _measure_once(self, case: Case) -> Facts:
        work = self.work(case)
        first_s, output = _timed(work)
        if case.backend == FIELD:
            return Facts(warm_s=min(_timed(work)[0] for _ in range(3)))
        answer = work.answer(output)
        reference = _reference(case.workload, case.gradient is not None, self.device)
        error = relative_error(answer.states, reference.states)
        gradient_error = None
        if answer.gradient is not None and reference.gradient is not None:
            gradient_error = relative_error(answer.gradient, reference.gradient)
        self._wrong[case] = verdict(case, error, gradient_error)
        # A first call that compiles says nothing about the next, nor does a very short one.
        cold = answer.compile_s or first_s < PASS_BUDGET_S
        own = case.own
        metered = own and self.backends[case.backend].in_torch
        device = torch.device(self.device)
        return Facts(
            warm_s=_timed(work)[0] if cold else first_s,
            first_s=first_s if own else None,
            compile_s=answer.compile_s if own else None,
            nfe_forward=answer.nfe_forward,
            nfe_backward=answer.nfe_backward,
            peak_bytes=peak_allocated(work.run, device) if metered else None,
            error=error,
            gradient_error=gradient_error,
            reference_error=reference.error,
        )

    def record(self, turn: Turn, seconds: Sequence[float]) -> None:
        """Keep the times of the rounds of a case in one pass."""
        case = turn.case
        low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75])
        facts = asdict(self.facts(case))
        del facts["warm_s"]
        self.timed.add(case)
        self.rows.append(
            {
                "pass": turn.number,
                "position": turn.position,
                "workload": case.workload,
                "backend": case.backend,
                "gradient": case.gradient or NO_GRADIENT,
                "tol": case.tol,
                "own": case.own,
                "time_s": float(median),
                "iqr_s": float(high - low),
                "rounds": len(seconds),
                **facts,
            }
        )

    def store(self, folder: Path, started: datetime) -> None:
        """Write the rows and what made them."""
        text = pd.DataFrame(self.rows, columns=list(COLUMNS)).to_csv(
            index=False, lineterminator="\n"
        )
        chosen = usable(self.backends, self.device)
        packages = {name for backend in chosen for name in backend.requires}
        skipped = [backend for backend in self.backends.values() if backend not in chosen]
        made = provenance(self.device)
        made["packages"] |= {name: version(name) for name in sorted(packages)}
        made |= {
            "device": self.device,
            "skipped": {backend.name: backend.missing(self.device) for backend in skipped},
            "method": METHOD,
            "dtype": "float32",
            "threads": torch.get_num_threads(),
            "seed": SEED,
            "passes": PASSES,
            "started": started.isoformat(timespec="seconds"),
            "duration_s": round((datetime.now(UTC) - started).total_seconds(), 1),
            "rows": len(self.rows),
            "data_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        write_json(folder / "provenance.json", made)
        write_text(folder / "data.csv", text)


def usable(backends: Mapping[str, Backend], device: str = "cpu") -> list[Backend]:
    """The backends that lack nothing for problems on the device."""
    return [backend for backend in backends.values() if not backend.missing(device)]


def _timed(work: Prepared) -> tuple[float, Any]:
    started = time.perf_counter()
    output = work.run()
    return time.perf_counter() - started, output


@cache
def _problem(workload: str, device: str) -> Problem:
    return WORKLOADS[workload].problem(device)


def field_alone(problem: Problem, gradient: str | None) -> Prepared:
    """One evaluation of the field, or one with its vector-Jacobian product, as an adjoint does it.

    Every backend's evaluations are priced by this one, the torch field run eagerly.
    """
    field, t = problem.field, problem.ts[0]
    params = list(field.parameters())
    cotangent = torch.ones_like(problem.y0)

    def evaluate() -> None:
        with torch.no_grad():
            field(t, problem.y0)
        on_torch.wait_for(problem)

    def differentiate() -> None:
        y = problem.y0.detach().requires_grad_()
        torch.autograd.grad(field(t, y), [y, *params], cotangent)
        on_torch.wait_for(problem)

    def answer(_: Any) -> Answer:
        raise NotImplementedError("the field alone solves nothing")

    return Prepared(differentiate if gradient == VJP else evaluate, answer)


# --- what is right


@dataclass(frozen=True)
class Reference:
    """A tight solve in float64, and how far it is from a looser one."""

    states: np.ndarray
    gradient: np.ndarray | None
    error: float


@cache
def _reference(workload: str, differentiated: bool, device: str) -> Reference:
    tight, loose = REFERENCES.get(workload, _SMOOTH_REFERENCE)
    return reference(WORKLOADS[workload].problem(device), tight, loose, differentiated)


def reference(
    problem: Problem, tight: Mapping[str, Any], loose: Mapping[str, Any], differentiated: bool
) -> Reference:
    """The answer in float64 with the settings ``tight`` of ``solve``, compared with ``loose``."""
    states, gradient = _in_float64(problem, tight, differentiated)
    looser_states, looser_gradient = _in_float64(problem, loose, differentiated)
    error = relative_error(looser_states, states)
    if gradient is not None and looser_gradient is not None:
        error = max(error, relative_error(looser_gradient, gradient))
    return Reference(states, gradient, error)


def _in_float64(
    problem: Problem, settings: Mapping[str, Any], differentiated: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """States and gradient, the latter that of the discrete solve, which converges with it."""
    problem = _double(problem)
    solver = {**settings, "gradient": Checkpointed() if differentiated else None}

    def solved(y0: Tensor) -> tuple[Tensor, None]:
        return solve(problem.field, y0, problem.ts, **solver).ys, None

    done = on_torch.run(solved, problem, "checkpointed" if differentiated else None)
    return on_torch.states(done, problem), on_torch.gradient_vector(done)


def _double(problem: Problem) -> Problem:
    """The problem in float64; its times are those of float32, which all backends get."""
    problem = deepcopy(problem)
    training = problem.training
    if training is not None:
        stem, head = training.stem.double(), training.head.double()
        training = replace(training, stem=stem, head=head, images=training.images.double())
    field, y0, ts = problem.field.double(), problem.y0.double(), problem.ts.double()
    return replace(problem, field=field, y0=y0, ts=ts, training=training)


def relative_error(value: np.ndarray, reference: np.ndarray) -> float:
    """The L2 norm of the difference over that of the reference; infinite for another shape."""
    if value.shape != reference.shape:
        return math.inf
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


def limit(tol: float) -> float:
    """The error up to which an answer at a tolerance counts as right.

    A hundred times the tolerance, since errors add up over the steps and a tolerance is no bound,
    and never more than a tenth: a gradient of zeros is wrong by 1. Rounding in float32 is allowed
    for.
    """
    return min(0.1, 100 * tol + 1e-4)


# The mean over a batch makes the adjoint so small that at the published tolerance everybody's is
# a quarter off; one that is wrong is off by 1.
TRAINING_LIMIT = 0.5


def verdict(case: Case, error: float, gradient_error: float | None) -> str:
    """What is wrong with these errors, in a sentence; "" where nothing is."""
    most = limit(case.tol)
    trains = WORKLOADS[case.workload].trains
    for what, value, bound in (
        ("states", error, most),
        ("gradient", gradient_error, TRAINING_LIMIT if trains else most),
    ):
        # Written so that a NaN is wrong too.
        if value is not None and not value <= bound:
            return (
                f"{case}: the {what} are off by {value:.2e} from the float64 reference, expected at"
                f" most {bound:.2e}"
            )
    return ""
