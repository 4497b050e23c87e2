"""One session of the speed suite: equal cores for all, and files at the end if no test failed."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from odeclaims.backends import find_backends
from odeclaims.speed.cases import schedule
from odeclaims.speed.rows import FOLDER
from odeclaims.speed.session import Session
from odeclaims.speed.show import write

# Only a whole run on a CPU replaces the committed results; a part, or another device's, goes here.
PART = Path("results/bench/speed")

STARTED = datetime.now(UTC)
SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the device and for the results' folder."""
    parser.addoption("--device", default="cpu", help="a torch device: cpu, cuda or cuda:N")
    parser.addoption(
        "--out",
        type=Path,
        help=f"the results' folder; by default {FOLDER}, or {PART} if only a part was selected",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Give every library the same cores; XLA would use all that it sees, unlike torch."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: torch.get_num_threads()])
    # By default torch rounds the factors of convolutions on a GPU to ten bits, but not of products.
    torch.backends.cudnn.allow_tf32 = False
    config.stash[SESSION] = Session(find_backends(), str(config.getoption("--device")))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise over every backend, and over every case and turn that the device allows."""
    session = metafunc.config.stash[SESSION]
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", session.backends)
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", session.cases(), ids=str)
    if "turn" in metafunc.fixturenames:
        metafunc.parametrize("turn", schedule(session.cases()), ids=str)


@pytest.fixture(scope="session")
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """The work of this session, without what an earlier session has compiled."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", folder)
        yield request.config.stash[SESSION]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Write rows, tables and figures if no test failed."""
    session = config.stash[SESSION]
    if exitstatus != pytest.ExitCode.OK or not session.rows:
        return
    whole = session.timed_cases == set(session.cases()) and session.device == "cpu"
    folder = config.getoption("--out") or (FOLDER if whole else PART)
    session.store(folder, STARTED)
    for path in write(folder):
        terminalreporter.write_line(f"wrote {path}")
