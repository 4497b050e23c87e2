"""Every test runs with the shape annotations of the packages checked, on one thread, repeatably."""

import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import jaxtyping
import pytest
import torch
from hypothesis import settings

# An int is welcome where a float is asked for, as static checkers have it (PEP 484).
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"

CHECKED = ("neural_ode", "odeclaims")

jaxtyping.install_import_hook(CHECKED, CHECKER)
torch.set_num_threads(1)
# JAX compiles every program of a test to run it once; optimising takes a quarter of that.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# torch's compiler would start processes to compile in, each of which imports torch, for the one or
# two kernels of a test. What a test starts inherits this.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("repeatable")

# A solve calls the same few functions at every stage, and checking a call takes as long as most of
# them run: in each test a function has its first calls checked.
CHECKED_CALLS = 3

# What takes longest begins first, so that the workers of a parallel run end together.
LONGEST = (
    "odeclaims/test_claims.py",
    "odeclaims/run/test_cluster.py",
    "odeclaims/run/test_orphans.py",
    "odeclaims/report/test_draw.py",
    "neural_ode/test_compiled.py",
    "odeclaims/backends/test_backends.py",
    "odeclaims/test_hostile_files.py",
    "neural_ode/gradients/test_gradients.py",
    "test_docs.py",
    "neural_ode/test_solve.py",
    "neural_ode/test_properties.py",
    "neural_ode/test_odeint.py",
    "odeclaims/conform/test_checks.py",
    "neural_ode/flows/test_cnf.py",
    "neural_ode/test_progress.py",
    "neural_ode/test_kept.py",
    "benchmarks/test_benchmarks.py",
    "odeclaims/run/test_pool.py",
    "odeclaims/cli/test_measure.py",
    "odeclaims/cli/test_choose.py",
    "neural_ode/test_failures.py",
    "neural_ode/test_any_argument.py",
    "odeclaims/backends/test_diffrax.py",
    "odeclaims/conform/test_scorecard.py",
    "neural_ode/test_transforms.py",
    "odeclaims/run/test_faults.py",
)


class Budget:
    """The calls of one function that are still checked in a test.

    jaxtyping asks the function that it has wrapped for its ``__no_type_check__`` at each call, and
    whether that is true. Once the budget is spent, ``True`` takes its place there, which is the
    quickest answer.
    """

    used: ClassVar[list["Budget"]] = []

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0
        self.renew()

    def renew(self) -> None:
        self.calls = 0
        # No stub of functions has it.
        self.function.__no_type_check__ = self  # type: ignore[attr-defined]

    def __bool__(self) -> bool:
        """Whether a call, of which this takes note, is not checked."""
        if self.calls == 0:
            Budget.used.append(self)
        self.calls += 1
        spent = self.calls > CHECKED_CALLS
        if spent:
            self.function.__no_type_check__ = True  # type: ignore[attr-defined]
        return spent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, and mark the tests that start a browser."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
    skip_where_nothing_compiles(items)
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow(reason="a browser shows the page"))


def skip_where_nothing_compiles(items: list[pytest.Item]) -> None:
    """Skip what compiles a step where torch is too old for it."""
    compiling = [item for item in items if item.get_closest_marker("compiles")]
    if not compiling:
        return
    # Here the tests have imported the solver already, with its annotations checked.
    from neural_ode.older_torch import NEEDED_TO_COMPILE, compiles

    for item in compiling if not compiles() else []:
        item.add_marker(pytest.mark.skip(reason=f"it needs {NEEDED_TO_COMPILE}"))


def pytest_collection_finish() -> None:
    """Give each function its budget of checks, and have less garbage looked for."""
    for name in [name for name in sys.modules if name.partition(".")[0] in CHECKED]:
        for function in functions_of(name):
            Budget(inspect.unwrap(function))
    gc.collect()
    gc.freeze()
    # Graphs are many small objects, most of them freed without a collection: 5% of the time.
    gc.set_threshold(50_000, 20, 20)


def pytest_runtest_setup() -> None:
    """Begin to count the checked calls again."""
    while Budget.used:
        Budget.used.pop().renew()


def functions_of(name: str) -> Iterator[Callable[..., Any]]:
    """The functions and methods that a module defines."""
    members = vars(sys.modules[name])
    own = [each for each in members.values() if getattr(each, "__module__", "") == name]
    for owner in (members, *(vars(each) for each in own if inspect.isclass(each))):
        for each in owner.values():
            function = getattr(each, "fget", None) or getattr(each, "__func__", each)
            if inspect.isfunction(function) and function.__module__ == name:
                yield function


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations are not checked, so a bad argument meets the library's own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
