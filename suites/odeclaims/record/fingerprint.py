"""The digest of a rule: its kind, its bound, what it needs, and the code of its quantity.

Two rules have one digest where they decide alike. The code of a function enters with everything of
this project, or of the claim's own package, that it uses: other functions, constants, closures.
Comments, docstrings and layout do not enter, and neither does the reason of a bound. The digest is
the same on every version of Python, since it is taken from the text of the code.
"""

import functools
import hashlib
import inspect
import io
import json
import textwrap
import tokenize
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from odeclaims.statement import Check, Size, Statement

_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def rule_digest(statement: Statement) -> str:
    """Sixteen hexadecimal digits that name the rule of a statement.

    Raises:
        TypeError: where a quantity or a need uses something whose content cannot be named.
    """
    walk = _Walk(_packages(statement.quantity))
    parts = [
        walk.content(part) for part in (statement.rule, statement.quantity, tuple(statement.needs))
    ]
    return _digest([*parts, statement.central, sorted(statement.rests_on)])


def check_digest(check: Check) -> str:
    """The same for a check of the instrument, on which outcomes rest.

    Raises:
        TypeError: where its quantity uses something whose content cannot be named.
    """
    walk = _Walk(_packages(check.quantity))
    return _digest([walk.content(check.bounds), walk.content(check.quantity)])


def size_digest(size: Size) -> str:
    """The same for the published size, by which a result is of that scale, reduced or a toy.

    Raises:
        TypeError: where its share or its floor uses something whose content cannot be named.
    """
    walk = _Walk(_packages(size.share))
    return _digest([walk.content(size.share), walk.content(size.floor)])


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _packages(quantity: Any) -> set[str]:
    """The packages whose code enters: this project, and that of the function."""
    while isinstance(quantity, functools.partial):
        quantity = quantity.func
    return {"odeclaims", quantity.__module__.partition(".")[0]}


class _Walk:
    """One walk through what a rule uses; a function that was met is only named again."""

    def __init__(self, packages: set[str]) -> None:
        self.packages = packages
        self.met: set[int] = set()

    def content(self, value: Any) -> Any:
        """The value as JSON that changes exactly where what it does changes."""
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return repr(value)
        if isinstance(value, functools.partial):
            return ["partial", *map(self.content, (value.func, value.args, value.keywords))]
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, Mapping):
            return {str(key): self.content(value[key]) for key in sorted(value, key=str)}
        if isinstance(value, tuple | list):
            return [self.content(each) for each in value]
        if isinstance(value, set | frozenset):
            return sorted(json.dumps(self.content(each)) for each in value)
        if is_dataclass(value) and not isinstance(value, type):
            parts = {f.name: self.content(getattr(value, f.name)) for f in fields(value)}
            return [type(value).__qualname__, parts]
        if isinstance(value, type | types.BuiltinFunctionType | types.ModuleType):
            return _name(value)
        raise TypeError(
            f"a rule uses {value!r}, whose content has no name; expected functions, numbers, texts,"
            " and tuples, lists and dictionaries of them"
        )

    def _function(self, wrapped: types.FunctionType) -> Any:
        # A decorator that checks types, as the tests have, changes nothing that a rule decides.
        function: Any = inspect.unwrap(wrapped)
        if not self._is_inside(function.__module__):
            return _name(function)
        if id(function) in self.met:
            return ["met", function.__qualname__]
        self.met.add(id(function))
        return [
            _text(function),
            self.content(function.__defaults__),
            self.content(function.__kwdefaults__),
            {name: self.content(value) for name, value in _closure(function)},
            {name: self.content(value) for name, value in self._globals(function)},
        ]

    def _globals(self, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
        """What the function takes from its module, and from modules of the same packages."""
        # What does not stand in the source was added by a check of types, as the tests have.
        source = _source(function)
        names = sorted(name for name in _names(function.__code__) if name in source)
        for name in names:
            value = function.__globals__.get(name)
            if isinstance(value, types.ModuleType) and self._is_inside(value.__name__):
                for attribute in names:
                    if hasattr(value, attribute):
                        yield f"{name}.{attribute}", getattr(value, attribute)
            elif name in function.__globals__:
                yield name, value

    def _is_inside(self, module: str | None) -> bool:
        return (module or "").partition(".")[0] in self.packages


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}"


def _closure(function: types.FunctionType) -> list[tuple[str, Any]]:
    cells = function.__closure__ or ()
    return [
        (name, cell.cell_contents)
        for name, cell in zip(function.__code__.co_freevars, cells, strict=True)
    ]


def _names(code: types.CodeType) -> set[str]:
    """The names that a function, or one inside it, takes from elsewhere."""
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


@functools.cache
def _source(function: types.FunctionType) -> str:
    """The source of a function, which several rules may use."""
    return inspect.getsource(function)


@functools.cache
def _text(function: types.FunctionType) -> str:
    """The tokens of a function without white space, comments and docstrings.

    Without white space the parts of an f-string are the same on every version of Python. What a
    formatter may put at the end of a line, a comma before a closing bracket, is left out.
    """
    source = textwrap.dedent(_source(function))
    kept: list[str] = []
    starts_line = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _LAYOUT:
            starts_line = starts_line or token.type in (tokenize.NEWLINE, tokenize.INDENT)
            continue
        is_docstring = token.type == tokenize.STRING and starts_line
        starts_line = False
        if is_docstring:
            continue
        if token.string in ")]}" and kept and kept[-1] == ",":
            kept.pop()
        kept.append(token.string)
    return "".join("".join(kept).split())
