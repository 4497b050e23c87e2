"""The asv benchmarks: each runs once, and what a commit lacks makes a gap and never a crash."""

import inspect
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from asv_runner.discovery import disc_benchmarks

import neural_ode
from benchmarks import flows, gate, gradients, solving, training, work

ROOT = Path(__file__).parents[2]
CLASSES: list[Any] = [
    found
    for module in (solving, gradients, flows, training)
    for name, found in inspect.getmembers(module, inspect.isclass)
    if found.__module__ == module.__name__ and not name.startswith("_")
]


def names(benchmark: type, kind: str) -> list[str]:
    return [name for name, _ in inspect.getmembers(benchmark) if name.startswith(kind)]


def cases(kind: str) -> list:
    return [
        pytest.param(found, name, id=f"{found.__module__}.{found.__name__}.{name}")
        for found in CLASSES
        for name in names(found, kind)
    ]


def cheapest(benchmark) -> str:
    return next(p for p in ("seminorm", "dopri5", "mlp_forward", "base") if p in benchmark.params)


@pytest.fixture
def afresh():
    """Nothing is kept from other tests, nor for them."""
    kept = (work._workloads, work.problem, work.reference)
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


@pytest.fixture
def small(afresh, monkeypatch):
    """Batches of a few states, and no compilation."""
    whole = work.problem
    monkeypatch.setattr(work, "problem", lambda workload, batch=None: whole(workload, 4))
    monkeypatch.setattr(work, "compile_solve", lambda problem: None)
    monkeypatch.setattr(solving.Compiled, "time_solve", lambda self, workload: None)


@pytest.mark.slow(reason="every count of the gate is taken")
@pytest.mark.parametrize(("benchmark_class", "name"), cases("track_"))
def test_every_count_is_a_number_with_a_unit(small, benchmark_class, name):
    param = cheapest(benchmark_class)
    benchmark = benchmark_class()
    benchmark.setup(param)
    value = getattr(benchmark, name)(param)
    assert isinstance(value, float)
    assert math.isfinite(value)
    units = ("evaluations", "steps", "bytes", "relative error", "nats")
    assert getattr(benchmark, name).unit in units


@pytest.mark.parametrize(("benchmark_class", "name"), cases("time_"))
def test_everything_that_is_timed_runs(small, benchmark_class, name):
    param = cheapest(benchmark_class)
    benchmark = benchmark_class()
    # asv sets up again before each call.
    for _ in range(2):
        benchmark.setup(param)
        getattr(benchmark, name)(param)


@pytest.mark.parametrize("benchmark_class", CLASSES)
def test_every_class_says_what_asv_needs(benchmark_class):
    assert benchmark_class.version
    assert len(benchmark_class.param_names) == 1
    assert names(benchmark_class, "time_") + names(benchmark_class, "track_")
    assert not names(benchmark_class, "peakmem_")


def test_asv_discovers_what_the_gate_measures():
    found = {b.name: b for b in disc_benchmarks(str(ROOT / "benchmarks"))}
    assert {b.type for b in found.values()} == {"time", "track"}
    tracked = {
        f"{c.__module__.partition('.')[2]}.{c.__name__}.{name}": c
        for c in CLASSES
        for name in names(c, "track_")
    }
    assert {name for name, b in found.items() if b.type == "track"} == set(tracked)
    for name, benchmark_class in tracked.items():
        assert found[name].version == benchmark_class.version
        assert found[name].params == [[repr(p) for p in benchmark_class.params]]


@pytest.mark.parametrize("counts", [c for c in CLASSES if c.__name__.endswith("Counts")])
def test_counts_are_taken_in_float64(small, counts):
    benchmark = counts()
    benchmark.setup(cheapest(counts))
    model = getattr(benchmark, "model", None) or benchmark.problem.field
    given = [getattr(benchmark, name, None) for name in ("images", "points")]
    states = (
        [benchmark.problem.y0, benchmark.problem.ts] if hasattr(benchmark, "problem") else given
    )
    tensors = [*model.parameters(), *(x for x in states if x is not None)]
    assert {x.dtype for x in tensors} == {torch.float64}


def test_what_is_counted_where_a_tolerance_decides_is_in_float64():
    decided = [c for c in CLASSES if names(c, "track_nfe") + names(c, "track_accepted")]
    assert decided
    assert all(c.__name__.endswith("Counts") for c in decided)


def test_backprop_has_no_backward_evaluations():
    benchmark = gradients.SmallCounts()
    benchmark.setup("backprop")
    assert math.isnan(benchmark.track_nfe_backward("backprop"))


def test_each_step_of_training_starts_from_the_same_weights():
    benchmark = training.OdeNet()
    benchmark.setup("seminorm")
    before = benchmark.model.head[-1].weight.clone()
    benchmark.time_step("seminorm")
    assert not torch.equal(benchmark.model.head[-1].weight, before)
    benchmark.setup("seminorm")
    assert torch.equal(benchmark.model.head[-1].weight, before)


def test_the_reference_is_that_of_a_tight_solve():
    problem = work.problem("mlp_gradient", 4)
    ys, gradient = work.reference("mlp_gradient", 4)
    field = type(problem.field)(2, 32).double()
    field.load_state_dict(problem.field.state_dict())
    tight = type(problem)(field, problem.y0.double(), problem.ts.double(), 1e-10)
    solution, found = work.differentiate(tight)
    assert work.relative_error(solution.ys.detach(), ys) < 1e-8
    assert work.gradient_error(found, gradient) < 1e-8


def test_a_wrong_gradient_has_a_large_error():
    _, expected = work.reference("mlp_gradient", 4)
    assert work.gradient_error(expected, expected) == 0
    wrong = [expected[0], *(-x for x in expected[1:])]
    assert work.gradient_error(wrong, expected) == pytest.approx(2)


@pytest.mark.parametrize("benchmark_class", CLASSES)
def test_a_commit_without_models_is_a_gap(benchmark_class, afresh, monkeypatch):
    for package in ("neural_ode.networks", "neural_ode.flows"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NotImplementedError):
        benchmark_class().setup(cheapest(benchmark_class))


@pytest.mark.parametrize("benchmark_class", CLASSES)
def test_a_commit_without_the_package_is_a_gap(benchmark_class, afresh, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "neural_ode"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(NotImplementedError):
        benchmark_class().setup(cheapest(benchmark_class))


def test_a_commit_without_a_gradient_method_is_a_gap(monkeypatch):
    monkeypatch.delattr(neural_ode, "Adjoint")
    with pytest.raises(NotImplementedError, match=r"neural_ode.Adjoint is not there"):
        gradients.Small().setup("adjoint")


def test_a_commit_without_a_method_is_a_gap():
    with pytest.raises(NotImplementedError, match="unknown method 'dopri6'"):
        solving.Small().setup("dopri6")


def test_a_method_that_breaks_is_not_a_gap(monkeypatch):
    def broken(*_, **__):
        raise ValueError("something else")

    monkeypatch.setattr(neural_ode, "solve", broken)
    with pytest.raises(ValueError, match="something else"):
        solving.Small().setup("dopri5")


def test_a_commit_that_cannot_compile_is_a_gap(monkeypatch):
    monkeypatch.setattr(neural_ode, "solve", lambda field, y0, ts, *, rtol, atol: None)
    with pytest.raises(NotImplementedError, match="cannot compile yet"):
        solving.Compiled().setup("mlp_forward")


def compiling(field, y0, ts, *, rtol, atol, compile):
    import warnings

    warnings.warn("not compiled, so run as it is: a reason", stacklevel=1)


def test_a_machine_without_a_compiler_is_a_gap(monkeypatch):
    monkeypatch.setattr(neural_ode, "solve", compiling)
    monkeypatch.setattr(work.shutil, "which", lambda name: None)
    with pytest.raises(NotImplementedError, match=r"no C\+\+ compiler"):
        solving.Compiled().setup("mlp_forward")


def test_a_compilation_that_goes_wrong_is_a_failure(monkeypatch):
    monkeypatch.setattr(neural_ode, "solve", compiling)
    monkeypatch.setattr(work.shutil, "which", lambda name: name)
    with pytest.raises(UserWarning, match="a reason"):
        solving.Compiled().setup("mlp_forward")


def test_the_configuration_fits_the_rest():
    text = (ROOT / "asv.conf.json").read_text(encoding="utf-8")
    conf = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert ROOT / conf["results_dir"] == gate.HISTORY
    assert ROOT / conf["benchmark_dir"] == Path(work.__file__).parent
    (pin,) = conf["matrix"]["req"]["torch"]
    assert f"torch=={pin}" in (ROOT / "requirements" / "pins.in").read_text(encoding="utf-8")
