"""A cell's key follows the code that measures it, and nothing that judges or shows."""

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from odeclaims.claims import find_claims
from odeclaims.record import source
from odeclaims.record.source import source_digest

ROOT = Path(__file__).parents[3]
CLAIMS = find_claims()
# What is in no digest, of this package and of a claim's folder.
NEVER = ("odeclaims.claim", "odeclaims.statistics", "odeclaims.record", "odeclaims.report")
NEVER_OF_A_FOLDER = ("", ".judge", ".show")

MEASURE = '''
"""How it is measured."""

import math

from mine.helper import scale
from mine.settings import TIMES

SIZE = 3


def inner(x):
    """Says something."""
    return scale(x) + SIZE  # a comment


def measure(cell, context):
    return [inner(x) for x in range(2)]
'''
ROOMS = {
    "__init__": '"""A claim."""\n\nLEDGER = ["a line"]\n',
    "settings": "TIMES = 3\n",
    "helper": "def scale(x):\n    return 2 * x\n",
    "measure": MEASURE,
    "judge": "CRITERIA = [1]\nLOOKS = {}\nx = 3\n",
    "show": "from mine.judge import LOOKS\n\n\ndef figure(df):\n    return LOOKS\n",
}


def changed(room: str, before: str, after: str) -> dict[str, str]:
    """The text of a room with something in it replaced."""
    assert before in ROOMS[room]
    return {room: ROOMS[room].replace(before, after)}


def forget(*packages: str) -> None:
    """Have these packages, and what was read of any module, read again."""
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
    for function in (source._spec, source._path, source._parse, source._imports, source._content):
        function.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture(autouse=True)
def read_afresh() -> Iterator[None]:
    yield
    forget()


@pytest.fixture
def digest_of(tmp_path, monkeypatch) -> Callable[..., str]:
    """A function from rooms of a claim that have another text to the digest of its measure."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(**changed: str) -> str:
        (tmp_path / "mine").mkdir(exist_ok=True)
        for name, text in (ROOMS | changed).items():
            (tmp_path / "mine" / f"{name}.py").write_text(text)
        forget("mine")
        return source_digest("mine.measure")

    return make


# --- which changes of a claim's rooms change it


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# a comment", "# another"),
        ('"""Says something."""', '"""Says something else."""'),
        ('"""How it is measured."""', '"""How it is measured, in other words."""'),
        ("\n\n\ndef inner", "\n\n\n\n\ndef inner"),
    ],
)
def test_words_and_layout_do_not_change_it(digest_of, before, after):
    assert digest_of() == digest_of(**changed("measure", before, after))


def test_no_module_is_imported_for_it(digest_of):
    """Some take seconds: torch's compiler, which a claim's code may name and never ask."""
    digest_of(__init__="raise RuntimeError\n")
    assert "mine" not in sys.modules


@pytest.mark.parametrize(
    ("room", "before", "after"),
    [
        ("measure", "SIZE = 3", "SIZE = 4"),
        ("measure", "+ SIZE", "- SIZE"),
        ("measure", "[inner(x) for x in range(2)]", "[]"),
        ("measure", "import math", "import cmath"),
        ("helper", "2 * x", "3 * x"),
        ("helper", "def scale", "UNUSED = 1\n\n\ndef scale"),
        ("settings", "TIMES = 3", "TIMES = 4"),
    ],
)
def test_code_that_measures_changes_it(digest_of, room, before, after):
    assert digest_of() != digest_of(**changed(room, before, after))


@pytest.mark.parametrize(
    ("room", "before", "after"),
    [
        ("__init__", "a line", "another line"),
        ("judge", "CRITERIA = [1]", "CRITERIA = [2]"),
        ("show", "return LOOKS", "return None"),
        ("helper", "def scale", "# a remark\ndef scale"),
    ],
)
def test_rules_captions_and_ledgers_do_not(digest_of, room, before, after):
    assert digest_of() == digest_of(**changed(room, before, after))


@pytest.mark.parametrize("variable", ["LOOKS", "CRITERIA", "figure", "x"])
def test_a_comprehension_whose_variable_has_the_name_of_something_else_reaches_nothing(
    digest_of, variable
):
    named = {
        "measure": MEASURE.replace("inner(x) for x in", f"inner({variable}) for {variable} in")
    }
    judge, show = ROOMS["judge"].replace("{}", "{1: 2}"), ROOMS["show"].replace("LOOKS", "x")
    assert digest_of(**named) != digest_of() or variable == "x"
    assert digest_of(**named) == digest_of(**named, judge=judge, show=show)


@pytest.mark.parametrize(
    "statement", ["import mine.helper", "from . import helper", "from .helper import scale"]
)
def test_a_package_is_followed_however_it_imports(digest_of, statement):
    """Here ``measure`` imports the package ``mine.sub``, whose own file imports the helper."""
    digest_of()
    folder = Path(sys.path[0], "mine")
    (folder / "sub").mkdir()
    (folder / "measure.py").write_text("from mine import sub\n")
    (folder / "sub" / "__init__.py").write_text(statement.replace(" .", " ..") + "\n")
    digests = []
    for text in (ROOMS["helper"], ROOMS["helper"].replace("2", "3")):
        (folder / "helper.py").write_text(text)
        forget("mine")
        digests.append(source_digest("mine.measure"))
    assert digests[0] != digests[1]
    # Within the package one dot is the package itself.
    (folder / "sub" / "inside.py").write_text("SIZE = 1\n")
    (folder / "sub" / "__init__.py").write_text("from .inside import SIZE\n")
    forget("mine")
    before = source_digest("mine.measure")
    (folder / "sub" / "inside.py").write_text("SIZE = 2\n")
    forget("mine")
    assert source_digest("mine.measure") != before


@pytest.mark.parametrize("how", ["pkgutil.iter_modules(__path__)", "list_modules(__path__)"])
def test_a_package_that_imports_what_lies_in_its_folder_is_followed_there(digest_of, how):
    digest_of()
    folder = Path(sys.path[0], "mine")
    (folder / "sub").mkdir()
    (folder / "measure.py").write_text("from mine.sub import NAMED\n")
    (folder / "sub" / "__init__.py").write_text(f"NAMED = [m.name for m in {how}]\n")
    digests = []
    for inside, helper in (("", "1"), ("from mine import helper\n", "1"), ("", "2")):
        (folder / "sub" / "inside.py").write_text(f"{inside}SIZE = {helper}\n")
        forget("mine")
        digests.append(source_digest("mine.measure"))
    (folder / "sub" / "added.py").write_text("")
    forget("mine")
    digests.append(source_digest("mine.measure"))
    assert len(set(digests)) == 4


def test_a_module_that_is_no_package_has_nothing_in_its_folder(digest_of):
    digest_of()
    Path(sys.path[0], "mine", "measure.py").write_text("__path__ = []\n")
    forget("mine")
    assert modules_of("mine.measure") == {"mine.measure"}


def test_a_module_without_a_source_is_named(digest_of):
    with pytest.raises(ValueError, match="the source of math is not at hand"):
        source_digest("math")


# --- which changes of this package change that of a real claim


def digest_in(folder: Path, slug: str = "crossing_1d") -> str:
    """The digest of a claim as both packages are in a folder; nothing is imported from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "_path", lambda module: path_in(folder, module))
        for function in (source._parse, source._imports, source._content):
            function.cache_clear()
        return source_digest(f"odeclaims.claims.{slug}.measure")


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> tuple[Path, str]:
    """A copy of both packages, which may be changed, and its digest."""
    folder = tmp_path_factory.mktemp("copy")
    for root, package in (("reference", "neural_ode"), ("suites", "odeclaims")):
        left_out = shutil.ignore_patterns("__pycache__", "mnist")
        shutil.copytree(ROOT / root / package, folder / package, ignore=left_out)
    return folder, digest_in(folder)


def changes(copy: tuple[Path, str], file: str, before: str, after: str) -> bool:
    """Whether the digest of the copy is another one with something in a file replaced."""
    folder, digest = copy
    text = (folder / file).read_text()
    assert before in text
    (folder / file).write_text(text.replace(before, after))
    found = digest_in(folder)
    (folder / file).write_text(text)
    return found != digest


def path_in(folder: Path, module: str) -> Path | None:
    """The file of a module below a folder."""
    path = folder / module.replace(".", "/")
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((each for each in candidates if each.is_file()), None)


@pytest.mark.slow(reason="every claim's modules are read again and again")
@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("odeclaims/report/style.py", '"colorblind"', '"deep"'),
        ("odeclaims/statistics.py", "def slope", "UNUSED = 1\n\n\ndef slope"),
        ("odeclaims/claim.py", "revision: int = 1", "revision: int = 2"),
        ("odeclaims/claims/crossing_1d/judge.py", "FLOOR, PASSES", "FLOOR_, PASSES"),
        ("odeclaims/claims/crossing_1d/show.py", "The figure and the table", "Figure and table"),
        ("odeclaims/claims/crossing_1d/show.py", '"NODE: the order is kept"', '"In order"'),
        ("odeclaims/claims/crossing_1d/__init__.py", "the released notebook", "a notebook"),
    ],
)
def test_a_colour_a_rule_a_caption_and_a_ledger_line_measure_nothing_again(
    copy, file, before, after
):
    assert not changes(copy, file, before, after)


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("odeclaims/cell.py", "TELL_EVERY_S = 1.0", "TELL_EVERY_S = 2.0"),
        ("odeclaims/kits/toy_models.py", "STEP_LIMIT = 1000", "STEP_LIMIT = 1001"),
        ("odeclaims/kits/constants.py", "RECONSTRUCTION_LIMIT = ", "RECONSTRUCTION_LIMIT = 2 * "),
        ("odeclaims/claims/crossing_1d/settings.py", "STARTS, TIMES = 21", "STARTS, TIMES = 22"),
        ("neural_ode/networks/mlp.py", "class MLPField", "UNUSED = 1\n\n\nclass MLPField"),
        ("neural_ode/solve.py", "def solve(", "UNUSED = 1\n\n\ndef solve("),
        ("neural_ode/methods/runge_kutta_1_to_4.py", "a=lower([1 / 2])", "a=lower([1 / 3])"),
    ],
)
def test_a_kit_and_a_module_of_the_solver_that_are_used_measure_again(copy, file, before, after):
    assert changes(copy, file, before, after)


def test_a_recipe_measures_a_claim_about_its_networks_again(copy):
    folder, _ = copy
    recipe = folder / "odeclaims" / "trained" / "recipes" / "small_digits.py"
    before, text = digest_in(folder, "nfe_growth"), recipe.read_text()
    recipe.write_text(f"{text}\nUNUSED = 1\n")
    after = digest_in(folder, "nfe_growth")
    recipe.write_text(text)
    assert after != before


# --- what stands in the digest of every claim


def modules_of(module: str) -> set[str]:
    """The modules whose content enters the digest of a module."""
    packages = frozenset({"neural_ode", "odeclaims", module.partition(".")[0]})
    modules = {module}
    source._collect(module, packages, modules)
    return modules


@pytest.mark.slow(reason="every claim's modules are read")
@pytest.mark.parametrize("slug", CLAIMS)
def test_no_digest_holds_what_judges_records_or_shows(slug):
    claim = CLAIMS[slug]
    modules = modules_of(claim.measure.__module__)
    assert "odeclaims.cell" in modules
    spec = find_spec(claim.module)
    assert spec
    never = set(NEVER)
    if spec.submodule_search_locations:
        never |= {f"{claim.module}{room}" for room in NEVER_OF_A_FOLDER}
    reached = {m for m in modules if any(m == n or m.startswith(f"{n}.") for n in NEVER)}
    assert (reached | never & modules) == set()


def test_a_claim_of_one_file_has_the_whole_file_in_its_digest(digest_of):
    """Its rules and its figure with it, but none of what it judges and shows with."""
    digest_of()
    path = Path(sys.path[0], "mine", "whole.py")
    text = "from odeclaims.claim import Claim\nfrom odeclaims.report.style import panels\n"
    text += "from odeclaims.kits.needs import seeds\nfrom odeclaims.cell import Cell\nRULE = 1\n"
    path.write_text(text)
    forget("mine")
    before = source_digest("mine.whole")
    modules = modules_of("mine.whole")
    assert {m for m in modules if m.startswith("odeclaims")} == {"odeclaims.cell"}
    path.write_text(text.replace("RULE = 1", "RULE = 2"))
    forget("mine")
    assert source_digest("mine.whole") != before
