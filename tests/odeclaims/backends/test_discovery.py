"""How backends are found: by entry points, without importing their libraries."""

import importlib.metadata
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from odeclaims.backends import ENTRY_POINT, find_backends, select_usable
from odeclaims.speed.answers import error_limit, relative_error, solve_reference
from tests.odeclaims.backends.common import TOL, mlp, settings
from tests.odeclaims.backends.example import example_module

ROOT = Path(__file__).parents[3]


def register(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Let these be the only backends that are installed."""
    entries = [importlib.metadata.EntryPoint(*item, ENTRY_POINT) for item in values.items()]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries)


@pytest.fixture
def third_party(monkeypatch) -> ModuleType:
    """The backend that the page about the suite shows, as a module that can be imported."""
    module = example_module()
    monkeypatch.setitem(sys.modules, "third_party", module)
    return module


@pytest.mark.usefixtures("unchecked")
def test_a_third_party_joins_by_an_entry_point(monkeypatch, third_party):
    register(monkeypatch, scipy="third_party:Scipy")
    backend = find_backends()["scipy"]
    assert not backend.missing()
    for times in (2, 4):
        problem = mlp(times)
        work = backend.prepare(problem, method="dopri5", tol=TOL, gradient=None)
        answer = work.answer(work.run())
        expected = solve_reference(problem, *settings(1e-9), differentiated=False)
        assert relative_error(answer.states, expected.states) < error_limit(TOL)
        assert answer.nfe_forward is not None


def test_every_file_of_a_backend_is_registered_under_its_name():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    registered = project["entry-points"][ENTRY_POINT]
    folder = ROOT / "suites" / "odeclaims" / "backends"
    shared = {"__init__", "base", "diffrax_programs", "jax_fields", "offers", "on_jax", "on_torch"}
    assert {path.stem for path in folder.glob("*.py")} - shared == set(registered)
    for name, value in registered.items():
        assert value.startswith(f"odeclaims.backends.{name}:")
        assert find_backends()[name].name == name


def test_names_of_backends_need_no_solver():
    code = (
        "import sys, odeclaims.backends, odeclaims.conform, odeclaims.speed\n"
        "heavy = {'torch', 'jax', 'matplotlib', 'seaborn', 'pandas', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    path = {"PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("reference", "suites"))}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path
    )
    assert ended.stdout == "[]\n"


def test_what_is_not_installed_is_skipped_by_name(monkeypatch, third_party):
    third_party.Scipy.requires = ("scipy", "a-solver-that-is-nowhere")
    register(monkeypatch, scipy="third_party:Scipy")
    backends = find_backends()
    assert backends["scipy"].missing() == ["a-solver-that-is-nowhere"]
    assert select_usable(backends) == []


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
