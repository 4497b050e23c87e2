"""The digest of the code that computes a measurement, so that no result outlives its code.

It covers the definitions in the claim's file that its ``measure`` reaches, and every module of this
project that those import, in whole. Comments, docstrings and layout do not enter, and neither do a
claim's criteria and figure: drawing or judging anew must not mean measuring anew.
"""

import ast
import importlib.util
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from odeclaims.claim import digest


def source_digest(function: Callable) -> str:
    """The digest of a function of a module and of all code of this project that it reaches."""
    module = function.__module__
    packages = frozenset({"neural_ode", "odeclaims", module.partition(".")[0]})
    tree = _parse(module)
    reached = _reached(tree, function.__name__)
    imported: set[str] = set()
    for node in reached:
        _collect(node, module, packages, imported)
    own = [_plain(node) for node in reached]
    return digest(own, {name: _plain(_parse(name)) for name in sorted(imported)})


def _collect(tree: ast.AST, module: str, packages: frozenset[str], found: set[str]) -> None:
    """Add to ``found`` every module of ``packages`` that ``tree`` imports, directly or not."""
    for name in _imports(tree, module):
        if name.partition(".")[0] in packages and name not in found and _path(name):
            found.add(name)
            _collect(_parse(name), name, packages, found)


def _imports(tree: ast.AST, module: str) -> Iterator[str]:
    """The absolute names of the modules, or of things in modules, that are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.rsplit(".", node.level)[0]
                base = f"{package}.{base}".rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _reached(tree: ast.Module, start: str) -> list[ast.stmt]:
    """The top-level statements that ``start`` reaches by name, in their order."""
    binds = {id(node): _bound(node) for node in tree.body}
    wanted, seen = {start}, set()
    while wanted - seen:
        name = (wanted - seen).pop()
        seen.add(name)
        for node in tree.body:
            if name in binds[id(node)]:
                wanted |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return [node for node in tree.body if binds[id(node)] & seen]


def _bound(node: ast.stmt) -> set[str]:
    """The names that a top-level statement binds."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def _plain(tree: ast.AST) -> str:
    """The tree as text, without docstrings and positions."""
    bare = ast.parse(ast.unparse(tree))
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
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    path = Path(spec.origin) if spec and spec.origin else None
    return path if path and path.suffix == ".py" else None


@cache
def _parse(module: str) -> ast.Module:
    path = _path(module)
    if path is None:
        raise ValueError(f"the source of {module} is not at hand, so its results cannot be kept")
    return ast.parse(path.read_text(encoding="utf-8"))
