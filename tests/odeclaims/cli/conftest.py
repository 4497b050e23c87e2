"""The toy claim in a folder of a test's own, with and without results."""

import shutil
from collections.abc import Iterator

import pytest

from tests.odeclaims.cli.toy import Toy


@pytest.fixture
def toy(tmp_path, forks) -> Iterator[Toy]:
    made = Toy(tmp_path, forks)
    yield made
    made.end_at_once()


@pytest.fixture(scope="session")
def finished(tmp_path_factory, forks) -> Toy:
    """A folder with the results of one whole run; not to be changed."""
    made = Toy(tmp_path_factory.mktemp("finished"), forks)
    code, output, errors = made("run")
    assert (code, errors) == (0, "")
    assert "6 cells measured, 0 taken from before" in output
    return made


@pytest.fixture
def done(toy, finished) -> Toy:
    """A toy of one's own with a copy of those results."""
    shutil.copytree(finished.out, toy.out)
    return toy
