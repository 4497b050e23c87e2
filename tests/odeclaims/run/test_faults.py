"""What nights bring to a run: kills, full disks, files that are spoilt, claims that are wrong.

``test_pool`` has workers that die, ``test_observe`` what happens in a measurement; the tests in
``cli`` have the read-only folder, the second run, the CSV cut in half and the stopped run; and the
tests of ``record`` have every way in which a file can be spoilt.
"""

import json
import os
import random
import resource
import signal
import subprocess
import time
from contextlib import suppress

import pytest

KILLS = 10


def one_sentence(errors: str) -> str:
    lines = errors.splitlines()
    assert len(lines) == 1, errors
    return lines[0]


def kill(run: int) -> None:
    os.killpg(run, signal.SIGKILL)


@pytest.mark.slow(reason="some twenty-five runs")
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(counted, tmp_path):
    """Each life may begin three cells more and is killed within moments of its first; so no
    machine is quick enough to be done before the kills are.
    """
    cells, chance = 3 * KILLS + 10, random.Random(20)
    counted.claim(
        cells=cells,
        trouble="""
    while len((FOLDER / "log").read_text().splitlines()) > int((FOLDER / "may").read_text()):
        time.sleep(0.01)
    time.sleep(0 if (FOLDER / "hurry").exists() else 0.05)
""",
    )
    in_flight = 0
    for life in range(KILLS):
        counted.put("may", str(3 * (life + 1)))
        kept, logged = counted.kept(), len(counted.log())
        run = counted.start("run", "--jobs", "1")
        counted.wait_until(lambda logged=logged: len(counted.log()) > logged)
        time.sleep(chance.uniform(0, 0.15))
        kill(run)
        assert counted.end()[0] == -signal.SIGKILL
        counted.wait_for_the_end_of(counted.log()[-1][1])
        measured = {repetition for repetition, _, _ in counted.log()[logged:]}
        assert not kept & measured
        assert kept <= counted.kept()
        in_flight += len(measured - counted.kept())
    counted.put("may", str(10**6))
    counted.put("hurry", "")
    run = counted.start("run", "--jobs", "1")
    counted.wait_until(lambda: len(counted.kept()) == cells)
    kill(run)
    counted.end()
    assert len(counted.kept()) == cells
    logged = len(counted.log())
    for _ in range(KILLS):
        # Now there is nothing to measure, and the kill falls into reading and writing.
        run = counted.start("run", "--jobs", "1")
        time.sleep(chance.uniform(0, 0.3))
        with suppress(ProcessLookupError):
            kill(run)
        counted.end()
    code, output, errors = counted("run", "--jobs", "1")
    assert (code, errors) == (0, "")
    assert f"0 cells measured, {cells} taken from before" in output
    assert len(counted.log()) == logged
    assert logged == cells + in_flight
    # If not, the kills fell between measurements, and this is a test of little.
    assert in_flight > KILLS // 2
    assert not [path for path in counted.out.rglob("*") if path.suffix in (".part", ".progress")]
    assert not list(counted.out.rglob("*.corrupt*"))
    assert counted("run", "--jobs", "1", "--out", "whole")[0] == 0
    assert counted.rows().equals(counted.rows(tmp_path / "whole"))


MANY_ROWS = "rows = [row] * (1000 if cell.repetition == 2 else 1)"


def test_a_cell_that_does_not_fit_on_the_disk_stops_the_run(counted):
    """A limit on the size of a file stands for the disk: writing fails, and part is written."""
    counted.claim(cells=4, trouble=MANY_ROWS)
    limit = resource.RLIMIT_FSIZE
    before = f"import resource; resource.setrlimit({limit}, (20_000, 20_000))"
    code, _, errors = counted("run", "--jobs", "1", before=before)
    assert code == 2
    said = one_sentence(errors)
    assert "results/cells/counted/" in said
    assert said.endswith("File too large")
    assert counted.kept() >= {0, 1}
    assert not list(counted.out.rglob("*.part"))
    kept = len(counted.kept())
    assert f"{4 - kept} cells measured, {kept} taken from before" in counted("run")[1]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 KiB at results/."""
    disk = tmp_path / "results"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("only root may mount a small disk, and not everywhere")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_that_is_full_stops_the_run_and_more_room_lets_it_go_on(counted, small_disk):
    counted.claim(cells=30)
    code, _, errors = counted("run", "--jobs", "1")
    assert code == 2
    said = one_sentence(errors)
    assert "results/cells/counted" in said
    assert said.endswith("No space left on device")
    kept = counted.kept()
    assert 5 <= len(kept) < 30
    logged = len(counted.log())
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    code, output, _ = counted("run", "--jobs", "1")
    assert code == 0
    assert f"{30 - len(kept)} cells measured, {len(kept)} taken from before" in output
    assert not kept & {repetition for repetition, _, _ in counted.log()[logged:]}


OTHER = """
from odeclaims.cell import Cell

def cells(profile):
    yield Cell("other", {"of": 1})

def measure(cell, context):
    return [{"wrong": 1}]
"""


def test_a_claim_with_a_column_of_its_own_making_does_not_stop_the_others(counted):
    counted.claim(
        cells=2,
        more="""
import other

CLAIMS = [replace(CLAIM, slug="other", module="other"), CLAIM]
""",
    )
    (counted.folder / "other.py").write_text(OTHER)
    code, output, errors = counted("run", "--jobs", "1")
    assert (code, errors) == (1, "")
    assert "claim other measures wrong, which its columns do not describe" in output
    assert len(counted.rows()) == 2
    assert len(list(counted.out.glob("cells/other/*.json"))) == 1


def test_a_csv_with_a_wrong_column_is_set_aside_and_made_again(counted):
    counted.claim(cells=2)
    assert counted("run", "--jobs", "1")[0] == 0
    data = counted.out / "quick" / "counted" / "data.csv"
    whole = data.read_text()
    data.write_text(whole.replace("x,", "y,", 1))
    code, _, errors = counted("figures")
    assert code == 2
    assert "data.csv: its columns are not the claim's, they differ in x, y" in one_sentence(errors)
    assert "0 cells measured, 2 taken from before" in counted("run", "--jobs", "1")[1]
    assert data.read_text() == whole
    assert data.with_name("data.csv.corrupt-1").exists()


def test_a_run_names_what_is_spoilt_before_it_writes_in_its_place(counted):
    counted.claim(cells=2)
    assert counted("run", "--jobs", "1")[0] == 0
    folder = counted.out / "quick" / "counted"
    whole = (folder / "data.csv").read_text()
    (folder / "provenance.json").write_text("{")
    code, output, errors = counted("run", "--jobs", "1")
    assert (code, errors) == (0, "")
    assert "provenance.json.corrupt-1" in output
    assert (folder / "provenance.json.corrupt-1").read_text() == "{"
    assert (folder / "data.csv").read_text() == whole
    assert (folder / "data.csv.corrupt-1").read_text() == whole
    assert "provenance.json" not in counted("figures")[1]


def test_a_cell_of_another_version_is_set_aside_and_measured_again(counted):
    counted.claim(cells=2)
    assert counted("run", "--jobs", "1")[0] == 0
    first = counted.rows()
    (path, _) = sorted(counted.out.glob("cells/counted/*.json"))
    other = json.dumps(json.loads(path.read_text()) | {"format": 99})
    path.write_text(other)
    code, output, errors = counted("run", "--jobs", "1")
    assert (code, errors) == (0, "")
    assert f"set aside as {path.name}.corrupt-1 and measured again" in output
    assert "1 cells measured, 1 taken from before" in output
    assert path.with_name(f"{path.name}.corrupt-1").read_text() == other
    assert counted.rows().equals(first)
