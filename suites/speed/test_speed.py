"""Every workload on every installed backend: first whether the answer is right, then how fast.

``tox run -e speed`` runs all of it, and with ``-- -k WORDS`` a part.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from odeclaims.speed import Case, Speed, Turn, plan

# A step that could not be compiled would be timed as it is, under the wrong name.
pytestmark = pytest.mark.filterwarnings("error:not compiled")


def test_installed(session: Speed, name: str) -> None:
    """A backend that lacks something is skipped by its name."""
    missing = session.backends[name].missing(session.device)
    if missing:
        pytest.skip(f"backend {name} needs {', '.join(missing)}, not installed")


def test_answer(session: Speed, case: Case) -> None:
    """States and gradient are the float64 reference's, within reach of the tolerance."""
    wrong = session.wrong(case)
    assert not wrong, wrong


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest, session: Speed) -> None:
    """Nothing is timed before every case that will be has given the right answer."""
    chosen = [getattr(item, "callspec", None) for item in request.session.items]
    turns = [spec.params["turn"] for spec in chosen if spec and "turn" in spec.params]
    wrong = [session.wrong(case) for case in dict.fromkeys(turn.case for turn in turns)]
    wrong = [sentence for sentence in wrong if sentence]
    if wrong:
        pytest.exit(f"nothing is timed, {len(wrong)} answers are wrong: {wrong[0]}", 1)


@pytest.mark.usefixtures("answers")
def test_speed(session: Speed, benchmark: BenchmarkFixture, turn: Turn) -> None:
    """The rounds of one case in one pass."""
    rounds, passes = plan(turn.case, session.facts(turn.case).warm_s)
    if turn.number >= passes:
        pytest.skip("slow, so timed in the passes before")
    work, warm_up = session.work(turn.case).run, int(rounds > 1)
    benchmark.pedantic(work, rounds=rounds, warmup_rounds=warm_up, iterations=1)
    if benchmark.stats is not None:
        session.record(turn, benchmark.stats.stats.data)
