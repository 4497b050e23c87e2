"""Every claim at smoke through the command line: rows, verdict, figure, table. And the README."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from odeclaims.store import Results, stored

from odeclaims.claim import OUTCOMES, Profile
from odeclaims.claims import find_claims
from odeclaims.report.draw import GALLERY, VERDICTS, index, refreshed_readme

ROOT = Path(__file__).parents[2]
CLAIMS = find_claims()


def odeclaims(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    paths = f"{ROOT / 'reference'}:{ROOT / 'suites'}"
    return subprocess.run(
        [sys.executable, "-m", "odeclaims", *arguments],
        cwd=cwd,
        env={"PYTHONPATH": paths, "PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": str(cwd)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    """The results folder of one smoke run of every claim, with figures and tables.

    Where the tests run on several workers the first one that comes makes it, on all cores, and the
    others wait for it.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "smoke"
    with FileLock(own.parent / "smoke.lock"):
        if not (folder / "finished").exists():
            folder.mkdir(exist_ok=True)
            for arguments in (["run", "--profile", "smoke"], ["figures"], ["tables"], ["check"]):
                done = odeclaims(*arguments, cwd=folder)
                assert done.returncode == 0, done.stdout + done.stderr
            (folder / "finished").touch()
    return folder / "results"


@pytest.mark.parametrize("slug", CLAIMS)
def test_every_claim_gives_rows_verdict_figure_and_table(smoke, slug):
    results = Results(smoke, "smoke", CLAIMS[slug])
    rows = results.read()
    assert len(rows)
    assert (rows["status"] == "ok").any()
    verdict = json.loads((results.folder / "verdict.json").read_text())
    assert verdict["outcome"] in OUTCOMES
    assert all(criterion["because"] for criterion in verdict["criteria"])
    assert (results.folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (results.folder / "figure.pdf").read_bytes().startswith(b"%PDF")
    assert (results.folder / "animation.gif").exists() == bool(CLAIMS[slug].animation)
    table = pd.read_csv(results.folder / "table.csv")
    assert len(table)
    assert r"\toprule" in (results.folder / "table.tex").read_text()
    assert f"# {CLAIMS[slug].title}" in (results.folder / "table.md").read_text()


@pytest.mark.parametrize("slug", CLAIMS)
def test_small_profiles_do_not_cost_large_ones_their_cells(slug):
    def seeds(name):
        return {cell.key("") for cell in CLAIMS[slug].cells(Profile(name))}

    assert len(seeds("smoke")) <= len(seeds("quick")) <= len(seeds("paper"))


@pytest.mark.parametrize("slug", CLAIMS)
def test_keys_of_cells_differ_and_name_their_claim(slug):
    cells = list(CLAIMS[slug].cells(Profile("quick")))
    assert len({cell.key("") for cell in cells}) == len(cells)
    assert {cell.claim for cell in cells} == {slug}
    assert set().union(*(cell.params for cell in cells)) <= set(CLAIMS[slug].columns)


@pytest.mark.parametrize("slug", CLAIMS)
def test_a_claim_is_documented(slug):
    claim = CLAIMS[slug]
    assert claim.ledger
    assert claim.statement.endswith(".")
    assert sys.modules[claim.measure.__module__].__doc__


def committed() -> list[Results]:
    return [r for r in stored(ROOT / "results", CLAIMS.values(), None) if r.profile != "smoke"]


@pytest.mark.parametrize("results", committed(), ids=lambda r: f"{r.profile}-{r.claim.slug}")
def test_committed_verdicts_follow_from_their_rows(results):
    assert results.stale() == ""


def test_every_claim_has_committed_quick_results():
    assert {r.claim.slug for r in committed() if r.profile == "quick"} == set(CLAIMS)


def test_what_is_generated_from_the_committed_results_is_not_stale():
    text, claims = (ROOT / "README.md").read_text(), list(CLAIMS.values())
    assert text == refreshed_readme(text, ROOT / "results", claims)
    assert (ROOT / "results" / "README.md").read_text() == index(ROOT / "results", claims)
    gallery = text.partition(GALLERY[0])[2].partition(GALLERY[1])[0]
    pictures = re.findall(r'src="([^"]+)"', gallery)
    assert len(pictures) == len(CLAIMS)
    assert all((ROOT / picture).exists() for picture in pictures)
    assert f"`{committed()[0].claim.slug}`" in text.partition(VERDICTS[0])[2]


def test_the_readme_claim_works_by_adding_one_file(tmp_path):
    text = (ROOT / "README.md").read_text()
    code = re.search(r"<!-- example claim -->\n```python\n(.*?)```", text, re.DOTALL)
    assert code
    package = tmp_path / "suites"
    subprocess.run(["cp", "-r", str(ROOT / "suites"), str(package)], check=True)
    (package / "odeclaims" / "claims" / "euler_stability.py").write_text(code[1])
    script = (
        f"import sys; sys.path[:0] = [{str(package)!r}, {str(ROOT / 'reference')!r}];"
        "from odeclaims.cli import main; main()"
    )
    for arguments in (["run", "euler_stability"], ["figures", "euler_stability"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{package}:{ROOT / 'reference'}", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "results" / "quick" / "euler_stability"
    assert json.loads((folder / "verdict.json").read_text())["outcome"] == "reproduced"
    assert (folder / "figure.png").exists()
