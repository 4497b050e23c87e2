"""One session of the speed suite: each case is prepared, checked and timed, and gets its rows."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from neural_ode.memory import peak_allocated
from odeclaims.backends import Answer, Backend, Prepared, on_torch, select_usable
from odeclaims.record.files import write_json, write_text
from odeclaims.record.provenance import provenance
from odeclaims.speed.answers import describe_fault, reference_of, relative_error
from odeclaims.speed.cases import (
    FIELD,
    METHOD,
    NO_GRADIENT,
    PASS_BUDGET_S,
    PASSES,
    SEED,
    VJP,
    Case,
    Turn,
    list_cases,
)
from odeclaims.speed.rows import COLUMNS, FILE
from odeclaims.workloads import WORKLOADS, Problem


@dataclass(frozen=True)
class Facts:
    """What the first calls of a case show before it is timed; most are columns of ``COLUMNS``."""

    warm_s: float
    first_s: float | None = None
    compile_s: float | None = None
    nfe_forward: int | None = None
    nfe_backward: int | None = None
    peak_bytes: int | None = None
    error: float | None = None
    gradient_error: float | None = None
    reference_error: float | None = None


class Session:
    """Problems and references are made once, and every case is checked before it is timed.

    Attributes:
        backends: all that are registered, by name.
        device: the torch device on which everything is timed.
        rows: one for each case and pass that was timed, by the columns of ``COLUMNS``.
        timed_cases: the cases that have a row.
    """

    def __init__(self, backends: Mapping[str, Backend], device: str = "cpu") -> None:
        self.backends, self.device = backends, device
        self.rows: list[dict[str, Any]] = []
        self.timed_cases: set[Case] = set()
        self._work: dict[Case, Prepared] = {}
        self._facts: dict[Case, Facts] = {}
        self._faults: dict[Case, str] = {}

    def cases(self) -> list[Case]:
        """Every case of the backends that can be used."""
        return list_cases(select_usable(self.backends, self.device))

    def work(self, case: Case) -> Prepared:
        """The work of a case, set up once."""
        if case not in self._work:
            problem = _problem(case.workload, self.device)
            if case.backend == FIELD:
                self._work[case] = prepare_field(problem, case.gradient)
            else:
                self._work[case] = self.backends[case.backend].prepare(
                    problem, method=METHOD, tol=case.tol, gradient=case.gradient
                )
        return self._work[case]

    def facts(self, case: Case) -> Facts:
        """What the first calls of a case show: its answer, its counts, its memory."""
        if case not in self._facts:
            self._facts[case] = self._measure_once(case)
        return self._facts[case]

    def fault(self, case: Case) -> str:
        """What is wrong with the answer of a case, in a sentence; "" if it is right."""
        self.facts(case)
        return self._faults.get(case, "")

    def _measure_once(self, case: Case) -> Facts:
        work = self.work(case)
        first_s, output = _time_once(work)
        if case.backend == FIELD:
            return Facts(warm_s=min(_time_once(work)[0] for _ in range(3)))
        answer = work.answer(output)
        reference = reference_of(case.workload, case.gradient is not None, self.device)
        error = relative_error(answer.states, reference.states)
        gradient_error = None
        if answer.gradient is not None and reference.gradient is not None:
            gradient_error = relative_error(answer.gradient, reference.gradient)
        self._faults[case] = describe_fault(case, error, gradient_error)
        # The time of a first call says little about the next if it compiled, or was very short.
        cold = answer.compile_s or first_s < PASS_BUDGET_S
        at_own = case.at_own_tolerance
        metered = at_own and self.backends[case.backend].in_torch
        device = torch.device(self.device)
        return Facts(
            warm_s=_time_once(work)[0] if cold else first_s,
            first_s=first_s if at_own else None,
            compile_s=answer.compile_s if at_own else None,
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
        self.timed_cases.add(case)
        self.rows.append(
            {
                "pass": turn.number,
                "position": turn.position,
                "workload": case.workload,
                "backend": case.backend,
                "gradient": case.gradient or NO_GRADIENT,
                "tol": case.tol,
                "own": case.at_own_tolerance,
                "time_s": float(median),
                "iqr_s": float(high - low),
                "rounds": len(seconds),
                **facts,
            }
        )

    def store(self, folder: Path, started: datetime) -> None:
        """Write the rows and their provenance."""
        text = pd.DataFrame(self.rows, columns=list(COLUMNS)).to_csv(
            index=False, lineterminator="\n"
        )
        usable = select_usable(self.backends, self.device)
        packages = {name for backend in usable for name in backend.requires}
        skipped = [backend for backend in self.backends.values() if backend not in usable]
        record = provenance(self.device)
        record["packages"] |= {name: version(name) for name in sorted(packages)}
        record |= {
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
        write_json(folder / "provenance.json", record)
        write_text(folder / FILE, text)


def _time_once(work: Prepared) -> tuple[float, Any]:
    """The seconds of one run, and its output."""
    start = time.perf_counter()
    output = work.run()
    return time.perf_counter() - start, output


@cache
def _problem(workload: str, device: str) -> Problem:
    return WORKLOADS[workload].problem(device)


def prepare_field(problem: Problem, gradient: str | None) -> Prepared:
    """One evaluation of the field, or for ``vjp`` one with its vector-Jacobian product.

    The cost of every backend's evaluations is taken from this one, the torch field run eagerly.
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
