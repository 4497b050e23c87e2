"""Every test runs with the shape annotations of the packages checked, on one thread, repeatably."""

import gc
import importlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

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

# What a solve calls at every stage is nine in ten of all calls, and checking it takes as long as
# running it: it is checked where it is what is tested. Every function of these modules that some
# test calls with checks is called so by one of these.
INNER = ("neural_ode.step", "neural_ode.integrate", "neural_ode.tableau")
TESTS_OF_INNER = ("test_step", "test_tableau", "test_solve", "test_odeint", "test_multistep")


def pytest_collection_finish() -> None:
    """Leave what the imports have made out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


def functions_of(name: str) -> Iterator[Callable[..., Any]]:
    """The functions and methods that a module defines."""
    module = importlib.import_module(name)
    own = [each for each in vars(module).values() if getattr(each, "__module__", "") == name]
    for owner in (module, *filter(inspect.isclass, own)):
        for each in vars(owner).values():
            function = getattr(each, "fget", None) or getattr(each, "__func__", each)
            if inspect.isfunction(function) and function.__module__ == name:
                yield function


@pytest.fixture(autouse=True, scope="module")
def inner_checks(request: pytest.FixtureRequest) -> None:
    """Check what is called at every stage only in the tests that are about it."""
    tested = request.module.__name__.rpartition(".")[2] in TESTS_OF_INNER
    for name in INNER:
        for function in functions_of(name):
            # What jaxtyping asks of a function; no stub of functions has it.
            function.__no_type_check__ = not tested  # type: ignore[attr-defined]


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations are not checked, so a bad argument meets the library's own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
