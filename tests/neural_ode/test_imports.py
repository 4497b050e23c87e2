"""The imports of the package run one way, read from its source."""

import ast
import graphlib
from pathlib import Path

import pytest

import neural_ode

FOLDER = Path(neural_ode.__file__).parent


def name_of(path: Path) -> str:
    parts = ["neural_ode", *path.relative_to(FOLDER).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FOLDER.rglob("*.py")}


def for_the_type_checker(node: ast.AST) -> bool:
    """Whether this is a block that only a type checker reads."""
    return isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"


def imported(node: ast.AST) -> set[str]:
    """The modules that are imported anywhere below the node, in functions too."""
    names: set[str] = set()
    for child in ast.iter_child_nodes(node):
        if for_the_type_checker(child):
            continue
        if isinstance(child, ast.Import):
            names |= {alias.name for alias in child.names}
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "relative import"
            base = child.module or ""
            inner = {f"{base}.{alias.name}" for alias in child.names}
            # What is imported is a module, or it stands in one.
            names |= inner & MODULES.keys() or {base}
        else:
            names |= imported(child)
    return names


IMPORTS = {name: imported(ast.parse(path.read_text())) for name, path in MODULES.items()}


def test_the_package_knows_nothing_of_the_experiments():
    outside = {
        name: {i for i in names if i.startswith("odeclaims")} for name, names in IMPORTS.items()
    }
    assert not {name: names for name, names in outside.items() if names}


def test_no_circle():
    inside = {name: names & MODULES.keys() for name, names in IMPORTS.items()}
    order = list(graphlib.TopologicalSorter(inside).static_order())
    assert set(order) == set(MODULES)


def test_a_circle_would_be_found():
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())
    source = "def f():\n    from neural_ode.solve import solve\n"
    assert imported(ast.parse(source)) == {"neural_ode.solve"}
    checked = "if TYPE_CHECKING:\n    import neural_ode.solve\n"
    assert imported(ast.parse(checked)) == set()
