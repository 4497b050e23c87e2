"""The digest of the code that computes a measurement, so that no result outlives its code.

It covers the module that holds a claim's ``measure``, and every module of this project and of the
claim's own package that it imports, directly or not, each in whole. A package that imports what it
finds along its ``__path__``, as that of the methods does, imports every module in its folder.
Comments, docstrings and layout do not enter.

What judges and shows is in no digest, so a change of a rule, a colour or a caption measures nothing
again. The rooms of a claim see to that: ``measure`` imports neither ``judge`` nor ``show``. A claim
of one file has the whole file in its digest, its rules and its figure included; what that file
imports from ``NOT_MEASURING`` is left out.
"""

import ast
import importlib.util
import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from odeclaims.cell import digest

# What only a claim of one file imports beside what it measures with.
NOT_MEASURING = (
    "odeclaims.claim",
    "odeclaims.statement",
    "odeclaims.rules",
    "odeclaims.statistics",
    "odeclaims.record",
    "odeclaims.report",
    "odeclaims.kits.columns",
    "odeclaims.kits.marks",
    "odeclaims.kits.needs",
    "odeclaims.kits.pictures",
    "odeclaims.kits.quantities",
    "odeclaims.kits.rows",
)


def source_digest(module: str) -> str:
    """The digest of a module, by its name, and of all code of this project that it imports.

    Raises:
        ValueError: where the source of the module is not at hand.
    """
    return digest({name: _content(name) for name in files_of(module)})


def files_of(module: str) -> dict[str, Path | None]:
    """The names of a module and of all modules of this project that it imports, with their files.

    Raises:
        ValueError: where the source of the module is not at hand.
    """
    packages = frozenset({"neural_ode", "odeclaims", module.partition(".")[0]})
    modules = {module}
    _collect(module, packages, modules)
    return {name: _path(name) for name in sorted(modules)}


def _collect(module: str, packages: frozenset[str], modules: set[str]) -> None:
    """Add to ``modules`` every module of ``packages`` that ``module`` imports, directly or not."""
    for name in _imports(module):
        inside = name.partition(".")[0] in packages and not _is_or_is_in(name, NOT_MEASURING)
        if inside and name not in modules and _path(name):
            modules.add(name)
            _collect(name, packages, modules)


@cache
def _imports(module: str) -> tuple[str, ...]:
    """The absolute names of the modules, or of things in modules, that a module imports."""
    names = []
    for node in ast.walk(_parse(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = f"{_package(module, node.level)}.{base}".rstrip(".")
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Name) and node.id == "__path__":
            names += _modules_in(module)
    return tuple(names)


def _modules_in(package: str) -> Iterator[str]:
    """The modules in a package's folder."""
    path = _path(package)
    folder = [str(path.parent)] if path and path.name == "__init__.py" else []
    for each in pkgutil.iter_modules(folder):
        yield f"{package}.{each.name}"


def _package(module: str, level: int) -> str:
    """The package that so many dots at the beginning of an import stand for in this module."""
    path = _path(module)
    # In a package's own file the first dot is the package, and not the one around it.
    up = level - 1 if path and path.name == "__init__.py" else level
    return module.rsplit(".", up)[0] if up else module


def _is_or_is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@cache
def _content(module: str) -> str:
    """The syntax tree of a module as text, without docstrings and positions."""
    bare = ast.parse(ast.unparse(_parse(module)))
    for node in ast.walk(bare):
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and _is_text(body[0]):
            del body[0]
    return ast.dump(bare)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _path(module: str) -> Path | None:
    """The file of a module; ``None`` for what is not a module of Python source."""
    spec = _spec(module)
    path = Path(spec.origin) if spec and spec.origin else None
    return path if path and path.suffix == ".py" else None


@cache
def _spec(module: str) -> ModuleSpec | None:
    """Where a module is found, without importing the packages around it: some take seconds."""
    package, _, _ = module.rpartition(".")
    if not package:
        return importlib.util.find_spec(module)
    around = _spec(package)
    if around is None or around.submodule_search_locations is None:
        return None
    return PathFinder.find_spec(module, list(around.submodule_search_locations))


@cache
def _parse(module: str) -> ast.Module:
    path = _path(module)
    if path is None:
        raise ValueError(f"the source of {module} is not at hand, so its results cannot be kept")
    return ast.parse(path.read_text(encoding="utf-8"))
