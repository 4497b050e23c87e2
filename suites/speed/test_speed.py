"""Every workload on every installed backend: first its answer is checked, then it is timed.

``tox run -e speed`` runs all of it, and with ``-- -k WORDS`` a part.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from odeclaims.speed.cases import Case, Turn, plan
from odeclaims.speed.session import Session

# A step that could not be compiled would run eagerly and be timed under the wrong name.
pytestmark = pytest.mark.filterwarnings("error:not compiled")


def test_installed(session: Session, name: str) -> None:
    """A backend whose library is not installed is skipped, and named."""
    missing = session.backends[name].missing(session.device)
    if missing:
        pytest.skip(f"backend {name} needs {', '.join(missing)}, not installed")


def test_answer(session: Session, case: Case) -> None:
    """States and gradient agree with the float64 reference, as far as the tolerance promises."""
    fault = session.fault(case)
    assert not fault, fault


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest, session: Session) -> None:
    """Check every case that will be timed before the first is timed; stop if one is wrong."""
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    turns = [spec.params["turn"] for spec in specs if spec and "turn" in spec.params]
    faults = [session.fault(case) for case in dict.fromkeys(turn.case for turn in turns)]
    faults = [fault for fault in faults if fault]
    if faults:
        pytest.exit(f"nothing is timed, {len(faults)} answers are wrong: {faults[0]}", 1)


@pytest.mark.usefixtures("answers")
def test_speed(session: Session, benchmark: BenchmarkFixture, turn: Turn) -> None:
    """Time the rounds of one case in one pass."""
    rounds, passes = plan(turn.case, session.facts(turn.case).warm_s)
    if turn.number >= passes:
        pytest.skip("a slow case, already timed in the passes before")
    work, warm_up = session.work(turn.case).run, int(rounds > 1)
    benchmark.pedantic(work, rounds=rounds, warmup_rounds=warm_up, iterations=1)
    if benchmark.stats is not None:
        session.record(turn, benchmark.stats.stats.data)
