"""Every claim at smoke through the command line: rows, verdict, figure, table.

Each is run for its own test alone, in a process that is forked off one which has imported
everything. ``test_readme`` has the command line on a claim as a user starts it.
"""

import json
from collections.abc import Iterator

import pandas as pd
import pytest

from odeclaims.cell import Profile
from odeclaims.claims import find_claims
from odeclaims.record.results import Results
from odeclaims.rules import OUTCOMES
from tests.odeclaims.forked import Forked

CLAIMS = find_claims()
# What is timed is called twice, instead of up to 31 times, and pictures have few pixels. Figures
# for a column are left to ``report/test_draw.py``, which draws all. The claims have imported the
# function that calls by its name, so its code is what changes.
SOONER = """
from odeclaims.report import draw, style

style.ANIMATION_DPI = 20
style._RC["savefig.dpi"] = 50
save = draw.save
draw.save = lambda *what: [] if what[2].endswith("-column") else save(*what)
from odeclaims.kits import timers

def durations(work, *_, **how):
    times = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return times

timers.durations.__code__ = durations.__code__
"""


@pytest.fixture
def odeclaims(tmp_path, forks) -> Iterator[Forked]:
    """The command line in a folder of the test's own."""
    commands = Forked(tmp_path, forks)
    yield commands
    commands.end_at_once()


@pytest.mark.slow(reason="each claim is measured, judged and drawn")
@pytest.mark.parametrize("slug", CLAIMS)
def test_every_claim_gives_rows_verdict_figure_and_table(odeclaims, slug):
    claim = CLAIMS[slug]
    for arguments in (["run", slug, "--profile", "smoke"], ["figures"], ["tables"]):
        code, output, errors = odeclaims(*arguments, before=SOONER)
        assert code == 0, output + errors
    results = Results(odeclaims.out, "smoke", claim)
    rows = results.read()
    assert len(rows)
    assert (rows["status"] == "ok").any()
    verdict = json.loads((results.folder / "verdict.json").read_text())
    assert all(statement["outcome"] in OUTCOMES for statement in verdict["statements"])
    assert all(statement["because"] for statement in verdict["statements"])
    assert "invalid" not in {statement["outcome"] for statement in verdict["statements"]}
    assert (results.folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (results.folder / "figure.pdf").read_bytes().startswith(b"%PDF")
    assert (results.folder / "animation.gif").exists() == bool(claim.animation)
    table = pd.read_csv(results.folder / "table.csv")
    assert len(table)
    assert r"\toprule" in (results.folder / "table.tex").read_text()
    assert f"# {claim.title}" in (results.folder / "table.md").read_text()


@pytest.mark.parametrize("slug", CLAIMS)
def test_small_profiles_do_not_cost_large_ones_their_cells(slug):
    def keys(name):
        """Those of the cells that measure by themselves; of nets there are as many as published."""
        cells = CLAIMS[slug].cells(Profile(name))
        return {cell.key("") for cell in cells if "weights" not in cell.params}

    assert len(keys("smoke")) <= len(keys("quick")) <= len(keys("paper"))


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
    assert claim.description
