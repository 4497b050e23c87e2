"""How Sphinx builds these pages: ``tox run -e docs`` puts them into ``docs/_build/html``.

Nothing comes from a network, neither while building nor while reading.
"""

import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import download_reference, pending_xref
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from odeclaims import __version__
from odeclaims.claims import find_claims
from odeclaims.report.docs import write_claim_pages
from odeclaims.report.notebooks import write_notebooks

DOCS = Path(__file__).parent

project = "odeclaims"
release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
html_static_path = ["_static"]
html_css_files = ["gallery.css"]

myst_enable_extensions = ["dollarmath"]
# The anchors that code hosts give to headings.
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
# A dataclass documents its attributes once, in its docstring.
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"odeclaims {release}"
html_copy_source = False
html_show_copyright = False
html_math_renderer = "mathml"


def visit_math(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers draw and screen readers read without a script."""
    block = isinstance(node, nodes.math_block)
    mathml = tex2mathml(node.astext(), as_block=block)
    # What is too wide for a phone scrolls by itself.
    scroll = "overflow-x: auto; overflow-y: hidden; padding: 0.4em 0"
    translator.body.append(f'<div style="{scroll}">{mathml}</div>' if block else mathml)
    raise nodes.SkipNode


def make_pages(app: Sphinx) -> None:
    """Write the pages of the claims, and the notebooks, before Sphinx looks for pages."""
    write_claim_pages(DOCS / "claims", list(find_claims().values()), DOCS.parent / "results")
    write_notebooks(DOCS)


# What ``tox run -e site`` puts beside these pages; in this folder alone they would lead nowhere.
BESIDE = """
Beside these pages: <a href="report.html">all results on one page</a>,
<a href="asv/index.html">this library against its own past</a>, and
<a href="peers/index.html">versions of another solver</a>.
"""


def lead_beside(app: Sphinx, docname: str, source: list[str]) -> None:
    """Lead the first page of the whole site to its other parts."""
    if docname == "index" and app.tags.has("site"):
        source[0] = source[0].replace("\n```{toctree}", f"{BESIDE}\n```{{toctree}}")


def lead_out(app: Sphinx, doctree: nodes.document) -> None:
    """Lead the links that leave ``docs/`` somewhere: the sources are read on code hosts, too.

    A claim's table becomes the claim's page, another file a copy of it, a folder plain text.
    """
    for link in list(doctree.findall(pending_xref)):
        if link["reftype"] != "myst":
            continue
        target = link["reftarget"]
        path = Path(app.srcdir, link["refdoc"]).parent / target.partition("#")[0]
        if table := re.search(r"results/\w+/(\w+)/table$", target):
            link["reftarget"] = f"claims/{table[1]}"
        elif path.is_dir() and target not in app.env.found_docs:
            link.replace_self(link.children)
        elif link.get("refdomain") == "doc" and target not in app.env.found_docs:
            copy = download_reference(reftarget=f"/{target}.md", refdoc=link["refdoc"])
            link.replace_self(copy)
            copy += link.children


def join_names(app: Sphinx, what, name, obj, options, lines: list[str]) -> None:
    """Make one name of two attributes that share a line, which napoleon takes for type and name."""
    section = ""
    for i, line in enumerate(lines):
        section = line if re.fullmatch(r"\w+:", line) else section
        if section == "Attributes:":
            lines[i] = re.sub(r"^    \w+(, \w+)+:", lambda m: m[0].replace(", ", "/"), line)


def escape_stars(app: Sphinx, what, name, obj, options, lines: list[str]) -> None:
    """Keep the star of a shape such as [time, *state] from opening an emphasis."""
    for i, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [re.sub(r"(?<![\w\\*])\*(?=\w+[^\w*])", r"\\*", part) for part in parts[::2]]
        lines[i] = "``".join(parts)


def setup(app: Sphinx) -> None:
    """Register the above."""
    renderers = (visit_math, None)
    app.add_html_math_renderer("mathml", renderers, renderers)
    app.connect("builder-inited", make_pages)
    app.connect("source-read", lead_beside)
    # Before Sphinx collects the files to copy, at 500.
    app.connect("doctree-read", lead_out, priority=400)
    # Before napoleon, at 500, and after it has added the annotations of attributes.
    app.connect("autodoc-process-docstring", join_names, priority=400)
    app.connect("autodoc-process-docstring", escape_stars, priority=600)
