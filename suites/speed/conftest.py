"""One session of the speed suite: equal cores for all, and files at the end if all went well."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from odeclaims.backends import find_backends
from odeclaims.report.speed import FOLDER, write
from odeclaims.speed import Speed, schedule

# A part of the suite is no record, so it does not take the place of one; nor is another device's.
PART = Path("results/bench/speed")

STARTED = datetime.now(UTC)
SPEED = pytest.StashKey[Speed]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """On which device, and where the results go."""
    parser.addoption("--device", default="cpu", help="a torch device: cpu, cuda or cuda:N")
    parser.addoption(
        "--out",
        type=Path,
        help=f"the results' folder; by default {FOLDER}, or {PART} where only a part was chosen",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Give every library the same cores: XLA takes all that it sees, whatever torch takes."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: torch.get_num_threads()])
    # On a GPU torch's convolutions would round their factors to ten bits, its products would not.
    torch.backends.cudnn.allow_tf32 = False
    config.stash[SPEED] = Speed(find_backends(), str(config.getoption("--device")))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every backend, every case and every turn, of those that can be had on the device."""
    session = metafunc.config.stash[SPEED]
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", session.backends)
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", session.cases(), ids=str)
    if "turn" in metafunc.fixturenames:
        metafunc.parametrize("turn", schedule(session.cases()), ids=str)


@pytest.fixture(scope="session")
def session(request: pytest.FixtureRequest) -> Iterator[Speed]:
    """The work of this session; what an earlier one compiled is not at hand."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", folder)
        yield request.config.stash[SPEED]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Write rows, tables and figures, where nothing failed."""
    speed = config.stash[SPEED]
    if exitstatus != pytest.ExitCode.OK or not speed.rows:
        return
    whole = speed.timed == set(speed.cases()) and speed.device == "cpu"
    folder = config.getoption("--out") or (FOLDER if whole else PART)
    speed.store(folder, STARTED)
    for path in write(folder):
        terminalreporter.write_line(f"wrote {path}")
