"""Pages of the documentation as notebooks: some of their sections, each runnable by itself.

A page goes from block to block, and a section needs what earlier ones have made. So its notebook
begins with the statements of earlier blocks that it needs, and with no others.
"""

import ast
import re
import symtable
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from odeclaims.record.files import write_text


@dataclass(frozen=True)
class Notebook:
    """Sections of a page.

    Attributes:
        name: of the file, without its ending.
        title: what it teaches.
        page: of the documentation, by its file.
        sections: the numbers of its sections.
    """

    name: str
    title: str
    page: str
    sections: tuple[int, ...]


NOTEBOOKS = (
    Notebook("ode_net", "From Euler's method to an ODE-Net", "tutorial.md", (1, 2, 3, 4, 7)),
    Notebook("adjoint", "The adjoint, and what it saves", "tutorial.md", (5, 6)),
    Notebook("flows", "Densities that flow", "tutorial.md", (8,)),
    Notebook("anode", "What no flow can do, and ANODE", "tutorial.md", (9, 10)),
    Notebook("your_solver", "Does it hold on your solver?", "your_solver.md", (1, 2, 3, 4)),
)
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n"
    r"(?:\n(?:<!-- numbers may differ by (?P<percent>\d+)% -->\n)?```text\n(?P<output>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)

# Statements that bind their names whatever these were before.
_BINDING = ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Assign


def write_notebooks(docs: Path) -> list[Path]:
    """Write every notebook into the folder ``notebooks`` of the documentation."""
    folder = docs / "notebooks"
    folder.mkdir(exist_ok=True)
    return [
        write_text(folder / f"{each.name}.ipynb", nbformat.writes(make(each, docs)) + "\n")
        for each in NOTEBOOKS
    ]


def make(notebook: Notebook, docs: Path) -> nbformat.NotebookNode:
    """The notebook, with the outputs that its page shows."""
    sections = _sections((docs / notebook.page).read_text("utf-8"))
    chosen = "\n".join(sections[number] for number in notebook.sections)
    others = set(range(1, notebook.sections[-1])) - set(notebook.sections)
    earlier = "\n".join(sections[number] for number in sorted(others))
    cells = [new_markdown_cell(f"# {notebook.title}\n\n{_about(notebook)}")]
    if setup := needed(_code(earlier), _code(chosen)):
        cells.append(new_markdown_cell("What it needs of the other sections:"))
        cells.append(new_code_cell(setup))
    cells += _cells(chosen)
    for number, cell in enumerate(cells):
        # A random name would change the file at each build.
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _about(notebook: Notebook) -> str:
    numbers = ", ".join(map(str, notebook.sections))
    return (
        f"From the page `docs/{notebook.page}` of odeclaims, sections {numbers}. It needs the"
        " project with its suite, `pip install 'odeclaims[suite]' odeclaims-results`, or in a clone"
        " `pip install -e '.[suite]'`."
    )


def _sections(page: str) -> dict[int, str]:
    """The numbered sections of a page, with their headings."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    found = ((re.match(r"## (\d+)\. ", part), part) for part in parts)
    return {int(match[1]): part for match, part in found if match}


def _code(text: str) -> list[str]:
    return [block["code"] for block in BLOCK.finditer(text)]


def _cells(text: str) -> Iterator[nbformat.NotebookNode]:
    """A cell for each block of code, and for the prose before, between and after them."""
    end = 0
    for block in BLOCK.finditer(text):
        yield from _prose(text[end : block.start()])
        outputs = []
        if block["output"]:
            outputs = [new_output("stream", name="stdout", text=block["output"])]
        yield new_code_cell(
            block["code"].rstrip("\n"),
            outputs=outputs,
            metadata={"percent": block["percent"]} if block["percent"] else {},
        )
        end = block.end()
    yield from _prose(text[end:])


def _prose(text: str) -> Iterator[nbformat.NotebookNode]:
    """A cell of Markdown. Its links to other files name them, since nothing lies beside it."""
    plain = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text).strip()
    if plain:
        yield new_markdown_cell(plain)


def needed(earlier: Sequence[str], chosen: Sequence[str]) -> str:
    """The statements of earlier blocks that the chosen ones need, in their order.

    A statement is needed if it binds a name that a later one reads.
    """
    wanted = _read_first(statement for _, statement in _statements(chosen))
    kept: list[str] = []
    for code, statement in reversed(_statements(earlier)):
        names = _bound(statement)
        if names & wanted:
            if isinstance(statement, _BINDING):
                wanted -= names
            wanted |= _read(statement)
            kept.append(ast.get_source_segment(code, statement) or "")
    return "\n".join(_spaced(kept[::-1]))


def _statements(blocks: Sequence[str]) -> list[tuple[str, ast.stmt]]:
    """The statements of all blocks, each with the block that it stands in."""
    return [(code, statement) for code in blocks for statement in ast.parse(code).body]


def _spaced(statements: list[str]) -> Iterator[str]:
    """The statements, with two empty lines around each definition."""
    for number, statement in enumerate(statements):
        around = statements[max(number - 1, 0) : number + 1]
        if number and any(re.match(r"def |class |@", each) for each in around):
            yield "\n"
        yield statement


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {each.asname or each.name.partition(".")[0] for each in statement.names}
    nodes = ast.walk(statement)
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _read_first(statements: Iterable[ast.stmt]) -> set[str]:
    """The names that statements read before they bind them."""
    read, bound = set[str](), set[str]()
    for statement in statements:
        read |= _read(statement) - bound
        bound |= _bound(statement)
    return read


def _read(statement: ast.stmt) -> set[str]:
    """The names that a statement reads from around it, in functions that it defines too."""
    if isinstance(statement, ast.For):
        of_loop = _read_first(statement.body) - _bound(ast.Expr(statement.target))
        return _read(ast.Expr(statement.iter)) | of_loop
    scopes = [symtable.symtable(ast.unparse(statement), "block", "exec")]
    names = {symbol.get_name() for symbol in scopes[0].get_symbols() if symbol.is_referenced()}
    while scopes:
        inner = scopes.pop().get_children()
        symbols = (symbol for scope in inner for symbol in scope.get_symbols())
        names |= {symbol.get_name() for symbol in symbols if symbol.is_global()}
        scopes += inner
    return names
