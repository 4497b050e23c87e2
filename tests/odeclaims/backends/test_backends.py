"""Every backend that is installed on tiny problems: the answer, the gradient, the counts."""

import importlib.metadata
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import neural_ode
from neural_ode.networks import ConvField, MLPField
from odeclaims.backends import Backend, Prepared, find_backends
from odeclaims.backends.diffrax import jax_field, jax_params, to_jax_layout, to_torch_layout
from odeclaims.backends.on_torch import CountedField
from odeclaims.speed import limit, reference, relative_error, usable
from odeclaims.workloads import Problem

ROOT = Path(__file__).parents[3]
TOL = 1e-4

# torchode gives every sample a time of its own, which the annotations of the fields do not allow.
pytestmark = pytest.mark.usefixtures("unchecked")


def at(tol: float) -> list[dict[str, float]]:
    """The settings of a reference of this tolerance, and of a looser one."""
    return [{"rtol": t, "atol": t} for t in (tol, 10 * tol)]


def mlp(times: int = 2) -> Problem:
    generator = torch.Generator().manual_seed(1)
    field = MLPField(2, 8, generator=generator)
    y0 = torch.randn(5, 2, generator=generator)
    return Problem(field, y0, torch.linspace(0, 1, times), TOL)


def conv() -> Problem:
    generator = torch.Generator().manual_seed(1)
    field = ConvField(4, 2, generator=generator)
    y0 = torch.randn(2, 4, 3, 3, generator=generator)
    return Problem(field, y0, torch.tensor([0.0, 1.0]), TOL)


def installed(name: str) -> Backend:
    backend = find_backends()[name]
    if backend.missing():
        pytest.skip(f"backend {name} needs {', '.join(backend.missing())}")
    return backend


def prepared(name: str, problem: Problem, gradient: str | None, tol: float = TOL) -> Prepared:
    return installed(name).prepare(problem, method="dopri5", tol=tol, gradient=gradient)


def arms() -> list[tuple[str, str | None]]:
    """Every backend with every gradient.

    Compiled steps are left to the solver's own tests: annotations that are checked, as here, cannot
    be compiled.
    """
    backends = [b for b in find_backends().values() if b.name != "ours_compiled"]
    return [(b.name, gradient) for b in backends for gradient in (None, *b.gradients)]


@pytest.mark.parametrize(("name", "gradient"), arms())
def test_answer_and_gradient_are_those_of_the_float64_reference(name, gradient):
    problem = mlp()
    work = prepared(name, problem, gradient)
    answer = work.answer(work.run())
    expected = reference(problem, *at(1e-11), differentiated=True)
    assert expected.error < 1e-6
    assert answer.states.shape == (1, 5, 2)
    assert answer.states.dtype == np.float64
    assert relative_error(answer.states, expected.states) < limit(TOL)
    if gradient is None:
        assert answer.gradient is None
        assert answer.nfe_backward is None
    else:
        assert answer.gradient is not None
        assert expected.gradient is not None
        assert relative_error(answer.gradient, expected.gradient) < limit(TOL)
    assert answer.nfe_forward is not None
    assert answer.nfe_forward > 6


@pytest.mark.parametrize("name", ["ours", "torchdiffeq", "torchode", "diffrax"])
def test_outputs_inside_steps(name):
    problem = mlp(times=7)
    work = prepared(name, problem, None)
    answer = work.answer(work.run())
    assert answer.states.shape == (6, 5, 2)
    expected = reference(problem, *at(1e-9), differentiated=False)
    assert relative_error(answer.states, expected.states) < limit(TOL)


@pytest.mark.parametrize(
    ("name", "gradient"),
    [
        ("ours", "checkpointed"),
        ("torchdiffeq", "seminorm"),
        ("torchode", "adjoint"),
        pytest.param("diffrax", "seminorm", marks=pytest.mark.slow),
    ],
)
def test_images_keep_their_layout(name, gradient):
    problem = conv()
    work = prepared(name, problem, gradient)
    answer = work.answer(work.run())
    expected = reference(problem, *at(1e-7), differentiated=True)
    assert answer.gradient is not None
    assert expected.gradient is not None
    assert answer.states.shape == (1, 2, 4, 3, 3)
    assert relative_error(answer.states, expected.states) < limit(TOL)
    # Through ReLU's kinks a discrete gradient is some percent off; a mixed-up layout, entirely.
    assert relative_error(answer.gradient, expected.gradient) < 0.1


def test_the_compiled_backend_asks_for_compiled_steps(monkeypatch):
    asked = []

    def solve(*arguments, compile, **settings):
        asked.append(compile)
        return neural_ode.solve(*arguments, **settings)

    monkeypatch.setattr("odeclaims.backends.ours.solve", solve)
    work = prepared("ours_compiled", mlp(), "seminorm")
    assert work.answer(work.run()).compile_s == 0
    assert asked == [True]


def test_dopri5_costs_two_and_six_a_step():
    counts = []
    for name in ("ours", "torchdiffeq"):
        work = prepared(name, mlp(), None)
        counts.append(work.answer(work.run()).nfe_forward)
    steps = (counts[0] - 2) / 6
    assert steps == int(steps) > 0
    assert counts == [counts[0]] * 2


@pytest.mark.parametrize(
    ("name", "gradient"),
    [
        ("ours", None),
        ("ours", "checkpointed"),
        ("ours", "reversible"),
        ("ours", "adjoint"),
        ("ours", "seminorm"),
        ("ours", "interpolated"),
        ("torchdiffeq", "adjoint"),
        ("torchdiffeq", "seminorm"),
        ("torchode", None),
        ("torchode", "adjoint"),
    ],
)
def test_counts_are_those_of_a_field_that_counts(name, gradient):
    problem = mlp()
    field = CountedField(problem.field)
    counted = prepared(name, Problem(field, problem.y0, problem.ts, TOL), gradient)
    done = counted.run()
    evaluations = field.count
    answer = counted.answer(done)
    assert answer.nfe_forward is not None
    assert evaluations == answer.nfe_forward + (answer.nfe_backward or 0)
    assert (answer.nfe_backward is None) == (gradient is None)


def test_backprop_evaluates_nothing_on_the_way_back():
    for name in ("ours", "torchdiffeq"):
        work = prepared(name, mlp(), "backprop")
        assert work.answer(work.run()).nfe_backward is None


# A GPU's convolution is another than a CPU's, and runs on both.
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("problem", [mlp(), conv()], ids=["mlp", "conv"])
def test_the_field_in_jax_is_the_torch_field(problem, device):
    pytest.importorskip("jax")
    field, y = problem.field, problem.y0
    with torch.no_grad():
        expected = field(torch.tensor(0.3), y).numpy()
    derivative = jax_field(field, device)(0.3, to_jax_layout(field, y.numpy()), jax_params(field))
    found = to_torch_layout(field, derivative)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-6)


def test_diffrax_costs_one_and_six_a_step():
    pytest.importorskip("diffrax")
    import jax

    from odeclaims.backends.diffrax import _program

    problem, times = mlp(), []

    def counted(t, y, params):
        jax.debug.callback(lambda t: times.append(float(t)), t)
        return jax_field(problem.field)(t, y, params)

    program = _program(counted, (5, 2), (0.0, 1.0), "dopri5", None)
    output = program(problem.y0.numpy(), jax_params(problem.field), np.float32(TOL))
    jax.effects_barrier()
    work = prepared("diffrax", problem, None)
    assert work.answer(work.run()).nfe_forward == len(times) == 1 + 6 * int(output[2])


def test_diffrax_compiles_once_for_all_tolerances():
    pytest.importorskip("diffrax")
    problem = mlp(times=3)
    first, second = (prepared("diffrax", problem, None, tol) for tol in (1e-2, 1e-7))
    loose, tight = first.answer(first.run()), second.answer(second.run())
    assert loose.compile_s is not None
    assert loose.compile_s > 0
    assert tight.compile_s is None
    assert not np.array_equal(loose.states, tight.states)


@pytest.mark.parametrize("width", [4, 8])
def test_diffrax_keeps_float64_and_compiles_for_each_width(width):
    field = MLPField(2, width, generator=torch.Generator().manual_seed(1)).double()
    y0, ts = (torch.tensor(x, dtype=torch.float64) for x in ([[1.0, -1.0]], [0.0, 0.5, 1.0]))
    problem = Problem(field, y0, ts, TOL)
    tol = 1e-10
    work = prepared("diffrax", problem, None, tol)
    answer = work.answer(work.run())
    assert answer.compile_s is not None
    expected = reference(problem, *at(1e-12), differentiated=False)
    # The suite's hundred tolerances; rounding in float32 would be ten times more.
    assert relative_error(answer.states, expected.states) < 100 * tol


def test_torchode_says_when_it_gave_up():
    problem = mlp()
    with torch.no_grad():
        next(problem.field.parameters()).fill_(torch.nan)
    work = prepared("torchode", problem, None)
    done = work.run()
    with pytest.raises(RuntimeError, match="gave up with the status INFINITE_NORM"):
        work.answer(done)


@pytest.mark.parametrize("name", ["torchode", "diffrax"])
def test_an_unknown_method_is_named(name):
    backend = installed(name)
    with pytest.raises(ValueError, match="'midpoint'"):
        backend.prepare(mlp(), method="midpoint", tol=TOL, gradient=None)


def test_a_field_that_is_not_written_in_jax_is_named():
    with pytest.raises(ValueError, match="Identity has not been written in JAX"):
        jax_field(torch.nn.Identity())


# --- how backends are found


def register(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Let these be the only backends that are installed."""
    entries = [
        importlib.metadata.EntryPoint(name, value, "odeclaims.backends")
        for name, value in values.items()
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries)


@pytest.fixture
def third_party(monkeypatch) -> ModuleType:
    """A module with the backend that the page about the suite shows."""
    page = (ROOT / "docs" / "speed.md").read_text()
    example = re.search(r"<!-- example backend -->\n```python\n(.*?)```", page, re.DOTALL)
    assert example is not None
    module = ModuleType("third_party")
    exec(compile(example[1], "speed.md", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "third_party", module)
    return module


def test_a_third_party_joins_by_an_entry_point(monkeypatch, third_party):
    register(monkeypatch, scipy="third_party:Scipy")
    backend = find_backends()["scipy"]
    assert not backend.missing()
    for times in (2, 4):
        problem = mlp(times)
        work = backend.prepare(problem, method="dopri5", tol=TOL, gradient=None)
        answer = work.answer(work.run())
        expected = reference(problem, *at(1e-9), differentiated=False)
        assert relative_error(answer.states, expected.states) < limit(TOL)
        assert answer.nfe_forward is not None


def test_ours_are_registered():
    names = {"ours", "ours_compiled", "torchdiffeq", "torchode", "diffrax"}
    assert names <= set(find_backends())


def test_what_is_not_installed_is_skipped_by_name(monkeypatch, third_party):
    third_party.Scipy.requires = ("scipy", "a-solver-that-is-nowhere")
    register(monkeypatch, scipy="third_party:Scipy")
    backends = find_backends()
    assert backends["scipy"].missing() == ["a-solver-that-is-nowhere"]
    assert usable(backends) == []


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"x": "nowhere_at_all:X"}, "x = nowhere_at_all:X .* cannot be loaded: No module"),
        ({"x": "third_party:torch"}, "cannot be loaded"),
        ({"x": "builtins:object"}, "is object, expected a Backend"),
        (
            {"x": "third_party:Scipy", "y": "third_party:Scipy"},
            "two backends are registered under the name 'scipy'",
        ),
    ],
)
def test_a_bad_entry_point_is_named(monkeypatch, third_party, entries, says):
    register(monkeypatch, **entries)
    with pytest.raises(ValueError, match=says):
        find_backends()


def test_an_unknown_gradient_is_refused(monkeypatch, third_party):
    third_party.Scipy.gradients = ("magic",)
    register(monkeypatch, scipy="third_party:Scipy")
    with pytest.raises(ValueError, match="offers the unknown gradients magic"):
        find_backends()
