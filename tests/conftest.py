"""Every test runs with the shape annotations of the packages checked, on one thread, repeatably."""

from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import settings

# An int is welcome where a float is asked for, as static checkers have it (PEP 484).
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"

jaxtyping.install_import_hook(["neural_ode", "odeclaims"], CHECKER)
torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("repeatable")


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations are not checked, so a bad argument meets the library's own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
