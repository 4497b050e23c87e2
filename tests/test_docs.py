"""The pages under docs/: what they print, where they lead, and those made from the claims."""

import importlib.metadata
import json
import re
import sys
import tomllib
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch

from neural_ode.methods import METHODS, NAMED
from odeclaims.cell import Context, Profile
from odeclaims.claims import ENTRY_POINT, find_claims
from odeclaims.report.docs import claim_page, size_frame, write_claim_pages
from odeclaims.report.notebooks import BLOCK, NOTEBOOKS, make, needed

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?")


# --- the code on the pages ------------------------------------------------------------------------


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def alike(printed: str, shown: str, percent: str | None) -> bool:
    """Whether the text is the same, but for numbers where the page allows them to differ."""
    if percent is None:
        return printed == shown
    # The width of a column follows its numbers.
    words = {re.sub(r"\s+", " ", NUMBER.sub("#", text)) for text in (printed, shown)}
    return len(words) == 1 and numbers(printed) == pytest.approx(
        numbers(shown), rel=int(percent) / 100
    )


# The blocks of the other pages are tested as notebooks, which hold every one of them.
@pytest.mark.parametrize(
    "page", ["../README.md", "extend.md", "torchdiffeq.md", "solver.md", "solvers.md"]
)
def test_the_blocks_of_a_page_print_what_it_shows(page):
    text = (DOCS / page).read_text()
    namespace, wrong = {"__name__": page}, []
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in BLOCK.finditer(text):
            line = text[: block.start()].count("\n") + 2
            printed = StringIO()
            with redirect_stdout(printed):
                exec(compile("\n" * (line - 1) + block["code"], page, "exec"), namespace)
            if not alike(printed.getvalue(), block["output"] or "", block["percent"]):
                wrong.append(f"{page}, line {line}, prints\n{printed.getvalue()}")
    assert not wrong, "\n".join(wrong)
    # No block is left out because it is not written as the pattern expects.
    assert len(BLOCK.findall(text)) == text.count("```python")
    assert sum(bool(block["output"]) for block in BLOCK.finditer(text)) == text.count("```text")


def test_the_page_of_the_solver_has_every_method_with_its_order():
    rows = re.findall(r"^\| (`.*?) \| (.*?) \| (yes|no) \|", (DOCS / "solver.md").read_text(), re.M)
    shown = {
        name: (order, adaptive == "yes")
        for names, order, adaptive in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert set(shown) == set(NAMED)
    assert all(NAMED[name].adaptive == adaptive for name, (_, adaptive) in shown.items())
    # Of the others a line has several, or several orders.
    assert all(int(shown[name][0]) == method.order for name, method in METHODS.items())


def test_numbers_may_differ_only_where_a_page_says_so_and_as_far():
    assert alike("NFE 20, error 1.1e-03\n", "NFE 20, error 1.0e-03\n", "20")
    assert not alike("NFE 20, error 1.1e-03\n", "NFE 20, error 1.0e-03\n", None)
    assert not alike("NFE 26, error 1.0e-03\n", "NFE 20, error 1.0e-03\n", "20")
    assert not alike("NFE 20, error 1.0e-03\n", "NFE 20, miss 1.0e-03\n", "20")
    assert not alike("", "NFE 20\n", "20")


# --- the notebooks --------------------------------------------------------------------------------


def test_the_committed_notebooks_are_those_of_the_pages():
    for notebook in NOTEBOOKS:
        path = DOCS / "notebooks" / f"{notebook.name}.ipynb"
        assert nbformat.reads(path.read_text(), 4) == make(notebook, DOCS), path
    assert len(list((DOCS / "notebooks").iterdir())) == len(NOTEBOOKS)


def test_every_block_of_the_pages_is_in_a_notebook():
    for page in {notebook.page for notebook in NOTEBOOKS}:
        cells = [cell for each in NOTEBOOKS if each.page == page for cell in make(each, DOCS).cells]
        sources = [cell.source for cell in cells]
        blocks = [block["code"].rstrip() for block in BLOCK.finditer((DOCS / page).read_text())]
        assert blocks
        assert all(sources.count(block) == 1 for block in blocks)


# They train and solve what the pages do.
@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_a_notebook_prints_by_itself_what_it_shows(notebook):
    made = make(notebook, DOCS)
    nbformat.validate(made)
    namespace = {"__name__": notebook.name}
    with torch.random.fork_rng():
        for cell in made.cells:
            if cell.cell_type != "code":
                continue
            printed = StringIO()
            with redirect_stdout(printed):
                exec(compile(cell.source, notebook.name, "exec"), namespace)
            shown = cell.outputs[0].text if cell.outputs else ""
            percent = cell.metadata.get("percent")
            assert alike(printed.getvalue(), shown, percent), cell.source


def test_a_notebook_begins_with_what_it_needs_and_nothing_else():
    earlier = [
        "import math\nimport torch\n\n\ndef double(x):\n    return math.pi * x\n",
        "unused = 1\nfor k in range(3):\n    print(k)\na = 1\na = double(a)\nprint(a)\n",
    ]
    chosen = ["for k in (1, 2):\n    print(k + a)\n", "b = [a for a in range(3)]\nprint(b)\n"]
    assert needed(earlier, chosen).split("\n") == [
        "import math",
        "",
        "",
        "def double(x):",
        "    return math.pi * x",
        "",
        "",
        "a = 1",
        "a = double(a)",
    ]
    assert needed(earlier, ["def f(math):\n    return math\n", "a = 3\nprint(a)\n"]) == ""


# --- links ----------------------------------------------------------------------------------------


def prose(page: Path) -> str:
    """The page without its code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"``.*?``|(?<!\[)`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """The names that code hosts give to the headings."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if re.match(r"https?://", target):
            continue
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            dead.append(target)
    assert not dead


# --- the pages of the claims ----------------------------------------------------------------------


def as_rooms(code: str) -> dict[str, str]:
    """The files of a folder with the parts of a claim of one file, as its comments divide them."""
    head, measure, judge, show = re.split(r"^# --- \w+\n", code, flags=re.MULTILINE)
    show, claim = re.split(r"^(?=CLAIM = )", show, flags=re.MULTILINE)
    rooms = {"__init__": claim, "measure": measure, "judge": judge, "show": show}
    return {f"{name}.py": head + body for name, body in rooms.items()}


@pytest.fixture(params=["file", "folder"])
def stranger(request, tmp_path, monkeypatch):
    """The page's claim in the package that it shows, registered as its pyproject says."""
    page = (DOCS / "extend.md").read_text()
    claim = re.search(r"<!-- example claim -->\n```python\n(.*?)```", page, re.DOTALL)
    project = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert claim
    assert project
    package = tmp_path / "my_claims"
    package.mkdir()
    (package / "__init__.py").touch()
    if request.param == "file":
        (package / "euler_stability.py").write_text(claim[1])
    else:
        (package / "euler_stability").mkdir()
        for name, code in as_rooms(claim[1]).items():
            (package / "euler_stability" / name).write_text(code)
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_claims"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    groups = tomllib.loads(project[1])["project"]["entry-points"]
    entries = [
        importlib.metadata.EntryPoint(name, value, group)
        for group, named in groups.items()
        for name, value in named.items()
    ]
    assert set(groups) == {ENTRY_POINT}
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [e for e in entries if e.group == group]
    )
    return find_claims()["euler_stability"]


def test_the_page_of_a_claim_tells_what_its_code_and_its_rows_say(tmp_path):
    claim = find_claims()["crossing_1d"]
    folder = tmp_path / "docs" / "claims"
    page = write_claim_pages(folder, [claim], ROOT / "results")[0].read_text()
    page = page.replace("\\", "")
    assert page.startswith(f"# {claim.title}\n")
    for statement in claim.statements:
        assert statement.because in page
        assert f"| {statement.rule} " in page
    assert all(deviation in page for deviation in claim.deviations)
    assert all(f"`{column}`" in page for column in claim.all_columns)
    index = (folder / "index.md").read_text()
    assert "crossing_1d.md" in index
    kept = json.loads((ROOT / "results" / "paper" / "crossing_1d" / "verdict.json").read_text())
    assert f"{kept['summary']} ({kept['scale']}, paper)" in index
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert any(link.endswith("quick/crossing_1d/figure.png") for link in links)
    assert all((folder / link).exists() for link in links)


def test_a_claim_of_another_package_has_a_page_before_it_is_run(stranger, tmp_path):
    page = claim_page(stranger, [], tmp_path / "elsewhere" / "docs" / "claims")
    assert "the module `my_claims.euler_stability`" in page
    assert "Nothing was run yet." in page
    assert "Hairer and Wanner" in page
    sizes = size_frame(stranger).set_index("what")
    assert list(sizes.loc["cells"]) == ["2", "3", "3", "3"]
    assert sizes.loc["`step_size`", "smoke"] == "1.0, 2.5"


def test_the_example_claim_works_as_a_file_and_as_a_folder(stranger):
    rows = [
        {**cell.params, "status": "ok", **row}
        for cell in stranger.cells(Profile("quick"))
        for row in stranger.measure(cell, Context())
    ]
    df = pd.DataFrame(rows)
    assert stranger.judge(df).summary == "1 of 1 reproduced"
    assert len(stranger.table(df)) == len(stranger.figure(df).axes[0].lines[0].get_xdata()) == 3


def test_a_page_says_which_changes_measure_again(stranger, request, tmp_path):
    page = claim_page(stranger, [], tmp_path / "docs" / "claims")
    folder = "folder" in request.node.callspec.id
    assert ("A change of `measure.py`" in page) == folder
    assert ("The claim is one file" in page) != folder
    assert ("the folder [euler_stability](../../my_claims/euler_stability)" in page) == folder
    assert ("[euler_stability.py](../../my_claims/euler_stability.py)" in page) != folder


def test_pages_of_claims_that_are_gone_go(stranger, tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "old.md").touch()
    written = write_claim_pages(tmp_path / "claims", [stranger], tmp_path / "results")
    assert {path.name for path in written} == {"euler_stability.md", "gallery.md", "index.md"}
    assert sorted(tmp_path.glob("claims/*")) == sorted(written)
    assert "not run yet" in (tmp_path / "claims" / "index.md").read_text()
