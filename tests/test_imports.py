"""Imports point one way, those inside of functions too. Nothing is imported: sources are read."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A line is a part, its modules with all below them, and the parts above it that it may import.
ORDER: list[tuple[str, str, str]] = [
    ("solver", "neural_ode", ""),
    ("benchmarks", "benchmarks", "solver"),
    ("version", "odeclaims", ""),
    ("workloads", "odeclaims.workloads", "solver"),
    ("backends", "odeclaims.backends", "solver workloads"),
    ("numbers", "odeclaims.kits.constants", ""),
    ("cell", "odeclaims.cell", "solver"),
    ("measuring-kits", "odeclaims.kits", "solver cell numbers"),
    ("statistics", "odeclaims.statistics", ""),
    ("statement", "odeclaims.rules odeclaims.statement", "statistics"),
    # What reads and writes files, and says what made them.
    (
        "files",
        "odeclaims.record.files odeclaims.record.provenance odeclaims.record.schema"
        " odeclaims.record.published odeclaims.record.older_pandas",
        "version cell statement",
    ),
    ("pool", "odeclaims.trained", "solver cell measuring-kits files"),
    # Every module of a claim's folder that its measure imports, directly or not.
    ("measured-with", "", "solver cell numbers measuring-kits pool"),
    (
        "measure",
        "odeclaims.claims.*.measure",
        "solver cell numbers measuring-kits pool measured-with",
    ),
    ("claim", "odeclaims.claim", "cell statement"),
    ("record", "odeclaims.record", "version cell statement claim files"),
    ("run", "odeclaims.run", "solver backends cell claim files record"),
    (
        "training",
        "odeclaims.trained.work odeclaims.trained.publish",
        "solver cell files record run pool",
    ),
    ("report", "odeclaims.report", "version cell statement claim files record"),
    (
        "judging-kits",
        "odeclaims.kits.needs odeclaims.kits.quantities odeclaims.kits.rows",
        "numbers statement",
    ),
    (
        "showing-kits",
        "odeclaims.kits.columns odeclaims.kits.marks odeclaims.kits.pictures",
        "numbers claim report judging-kits",
    ),
    # What else a claim's folder holds: published numbers, a catalogue.
    ("published", "odeclaims.claims.*.*", "numbers measured-with"),
    (
        "judge",
        "odeclaims.claims.*.judge",
        "numbers statistics statement claim files record judging-kits measured-with published",
    ),
    (
        "show",
        "odeclaims.claims.*.show",
        "numbers statistics statement claim files record report judging-kits showing-kits"
        " measured-with published judge",
    ),
    ("ledger", "odeclaims.claims.*", "numbers claim showing-kits measured-with published"),
    (
        "one-file-claim",
        "",
        "solver cell numbers measuring-kits statistics statement claim files record report"
        " judging-kits showing-kits",
    ),
    ("find-claims", "odeclaims.claims", "claim"),
    ("joint-figures", "odeclaims.claims._*", "files record report showing-kits ledger show"),
    ("conform", "odeclaims.conform", "solver version cell statistics claim workloads backends"
     " files record report"),
    ("speed", "odeclaims.speed", "solver version cell statistics claim workloads backends files"
     " record report"),
    ("simulations", "odeclaims.simulations", "statement"),
    ("dropin", "odeclaims.dropin", "solver"),
    ("terminal", "odeclaims.terminal", "cell claim files record"),
    (
        "commands",
        "odeclaims.cli odeclaims.__main__",
        "version cell claim files record run report backends conform find-claims joint-figures"
        " terminal pool training",
    ),
]  # fmt: skip
# What of other people's packages a part may import; a part that is not named may import any.
OTHERS = {
    "solver": {"jaxtyping", "numpy", "scipy", "torch"},
    "numbers": set(),
    "claim": {"matplotlib", "numpy", "pandas"},
    "statistics": {"numpy", "scipy"},
    "judge": {"numpy", "pandas"},
    "judging-kits": {"numpy", "pandas", "scipy"},
    "measure": {"jaxtyping", "numpy", "pandas", "scipy", "torch"},
    "measured-with": {"jaxtyping", "numpy", "pandas", "scipy", "torch"},
}


# --- reading


@cache
def sources() -> dict[str, Path]:
    """The file of every module of the three packages, by the name of the module."""
    found = {}
    for root, package in (
        ("reference", "neural_ode"),
        ("suites", "odeclaims"),
        (".", "benchmarks"),
    ):
        for path in (ROOT / root / package).rglob("*.py"):
            parts = path.relative_to(ROOT / root).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports_in(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module but for those that only a type checker sees."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        for node in tree.orelse:
            yield from imports_in(node)
    elif isinstance(tree, ast.Import | ast.ImportFrom):
        yield tree
    else:
        for node in ast.iter_child_nodes(tree):
            # No expression holds an import, and most of a source is expressions.
            if not isinstance(node, ast.expr):
                yield from imports_in(node)


def names_in(text: str) -> set[str]:
    """The absolute names of modules, and of what is taken out of modules, that a source imports."""
    names = set()
    for node in imports_in(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            assert not node.level, "an import is relative"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(name: str) -> str:
    """The module that is imported by a name, which may be that of something in it."""
    return name if name in sources() else name.rpartition(".")[0]


@cache
def imports() -> dict[str, set[str]]:
    """For every module of the three packages what it imports, theirs by the names of modules."""
    own = {name.partition(".")[0] for name in sources()}
    return {
        module: {
            module_of(name) if name.partition(".")[0] in own else name
            for name in names_in(path.read_text("utf-8"))
        }
        for module, path in sources().items()
    }


def inner(module: str) -> set[str]:
    """What a module imports of the three packages."""
    return imports()[module] & set(sources())


def reach(module: str) -> set[str]:
    """All modules of the three packages that a module imports, directly or not.

    What ``odeclaims.cell`` imports is left out: only functions that measuring calls import it.
    """
    found, waiting = set(), {module}
    while waiting:
        new = inner(waiting.pop()) - found
        found |= new
        waiting |= new - {"odeclaims.cell"}
    return found


# --- the order


@cache
def measured_with() -> set[str]:
    """The modules of claims' folders that their measure imports, directly or not."""
    return {
        module
        for room in sources()
        if fnmatchcase(room, "odeclaims.claims.*.measure")
        for module in reach(room)
        if module.startswith(f"{room.rpartition('.')[0]}.")
    }


def is_one_file(module: str) -> bool:
    """Whether a module is a claim that stayed one file."""
    parts = module.split(".")
    inside = parts[:2] == ["odeclaims", "claims"] and len(parts) == 3
    return inside and not parts[2].startswith("_") and sources()[module].name != "__init__.py"


def part_of(module: str) -> str:
    """The part of ``ORDER`` that a module belongs to: the line that names most of its name."""
    if module in measured_with():
        return "measured-with"
    if is_one_file(module):
        return "one-file-claim"
    best, part = (0, 0), ""
    for name, patterns, _ in ORDER:
        for pattern in patterns.split():
            depth = pattern.count(".") + 1
            start = ".".join(module.split(".")[:depth])
            rank = (depth, len(pattern.replace("*", "")))
            if fnmatchcase(start, pattern) and start.count(".") + 1 == depth and rank > best:
                best, part = rank, name
    return part


def test_the_order_has_no_circle_itself():
    """A part may import those that stand above it alone."""
    above: set[str] = set()
    for name, _, allowed in ORDER:
        assert set(allowed.split()) <= above, name
        above.add(name)
    assert len(above) == len(ORDER)
    assert set(OTHERS) <= above


def test_every_part_is_that_of_a_module_or_could_be_one():
    parts = {part_of(module) for module in sources()}
    assert parts >= {name for name, _, _ in ORDER} - {"published", "one-file-claim"}
    # What no line names stands here, and may import nothing.
    assert [module for module in sources() if part_of(module) == "version"] == ["odeclaims"]


@pytest.mark.parametrize("module", sources())
def test_a_module_imports_what_the_order_lets_it(module):
    part = part_of(module)
    (allowed,) = [may.split() for name, _, may in ORDER if name == part]
    wrong = {other: part_of(other) for other in inner(module) - {module}}
    if part in ("measure", "judge", "show", "measured-with", "published", "ledger"):
        # A claim imports no other claim.
        home = ".".join(module.split(".")[:3])
        others = {o for o in wrong if o.startswith("odeclaims.claims.")}
        assert {o for o in others if not f"{o}.".startswith(f"{home}.")} == set()
    assert {other: p for other, p in wrong.items() if p not in (part, *allowed)} == {}


def test_every_module_of_ours_that_is_imported_is_there():
    ours = {name.partition(".")[0] for name in sources()}
    missing = {
        (module, other)
        for module, others in imports().items()
        for other in others - set(sources())
        if other.partition(".")[0] in ours
    }
    assert missing == set()


@pytest.mark.parametrize("module", [m for m in sources() if part_of(m) in OTHERS])
def test_a_module_imports_no_other_package_than_its_part_needs(module):
    own = {name.partition(".")[0] for name in sources()}
    others = {name.partition(".")[0] for name in imports()[module]} - own
    assert others - set(sys.stdlib_module_names) <= OTHERS[part_of(module)]


def test_no_circle():
    try:
        TopologicalSorter({module: inner(module) - {module} for module in sources()}).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


@pytest.mark.parametrize(
    "module", [m for m in sources() if part_of(m) in ("judge", "show", "ledger", "published")]
)
def test_whoever_reads_results_reaches_nothing_that_measures(module):
    reached = reach(module)
    assert {m for m in reached if part_of(m) in ("solver", "measuring-kits", "measure")} == set()
    named = {m for m in reached for name in imports()[m] if name.partition(".")[0] == "torch"}
    assert named <= {"odeclaims.cell"}


# --- the reading itself


def test_imports_are_read_wherever_they_stand():
    text = """
import a.b as c
from d import e, f

if TYPE_CHECKING:
    import never
else:
    import g

def h():
    with i:
        from j.k import l

class M:
    if TYPE_CHECKING:
        from never import ever
    import n
"""
    assert names_in(text) == {"a.b", "d.e", "d.f", "g", "j.k.l", "n"}


def test_modules_are_told_apart():
    parts = {
        "neural_ode.solve": "solver",
        "odeclaims": "version",
        "odeclaims.kits.constants": "numbers",
        "odeclaims.kits.toy_models": "measuring-kits",
        "odeclaims.kits.needs": "judging-kits",
        "odeclaims.claims.crossing_1d": "ledger",
        "odeclaims.claims.crossing_1d.measure": "measure",
        "odeclaims.claims.crossing_1d.settings": "measured-with",
        "odeclaims.claims.crossing_1d.judge": "judge",
        "odeclaims.claims": "find-claims",
        "odeclaims.record.source": "record",
        "odeclaims.cli": "commands",
    }
    assert {module: part_of(module) for module in parts} == parts
