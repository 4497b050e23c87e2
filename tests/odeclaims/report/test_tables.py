"""The claims' tables as LaTeX, over all committed results of the profile quick."""

import shutil
import subprocess
from pathlib import Path

import pytest

from odeclaims.claims import find_claims
from odeclaims.record.results import read_results
from odeclaims.report.tables import latex

RESULTS = Path(__file__).parents[3] / "results"


def test_every_latex_table_compiles_in_a_minimal_document(tmp_path):
    tables = [
        latex(r.claim.table(r.read()), r.claim)
        for r in read_results(RESULTS, find_claims().values(), "quick")
    ]
    assert all(r"\toprule" in table for table in tables)
    if not shutil.which("pdflatex"):
        pytest.skip("there is no pdflatex here")
    body = "\n\\clearpage\n".join(tables)
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs, graphicx}\n\\usepackage[T1]{fontenc}\n"
        "\\begin{document}\n" + body + "\n\\end{document}\n",
        encoding="utf-8",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    # All of them lie on their pages.
    assert "Overfull" not in done.stdout
    assert "too large" not in done.stdout
