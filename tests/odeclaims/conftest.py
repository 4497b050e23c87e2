"""The process that runs of the command line are forked off, and a claim for them to measure."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.odeclaims.forked import SERVER, Counted

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def forks(tmp_path_factory) -> Iterator[subprocess.Popen]:
    """The server of all runs of a session; it takes the next order while runs go on."""
    paths = os.pathsep.join([str(ROOT / "reference"), str(ROOT / "suites")])
    environment = os.environ | {
        "PYTHONPATH": paths,
        "COLUMNS": "300",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Where runs keep locks, which stay.
        "TMPDIR": str(tmp_path_factory.getbasetemp()),
    }
    process = subprocess.Popen(
        # The server's folder would otherwise be the first place to import from.
        [sys.executable, "-P", str(SERVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    yield process
    process.communicate(timeout=60)


@pytest.fixture
def counted(tmp_path, forks) -> Iterator[Counted]:
    made = Counted(tmp_path, forks)
    yield made
    made.end_at_once()
