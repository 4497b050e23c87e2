"""``odeclaims run``: what is kept, what is measured again, and runs that fail or are ended."""

import json
import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest

from tests.odeclaims.cli.toy import Toy, one_sentence
from tests.odeclaims.forked import DEADLINE_S


def test_finished_cells_are_measured_again_only_with_fresh(done):
    first = done.rows()
    assert "2 cells measured, 6 taken from before" in done("run", "--seeds", "8")[1]
    assert done.rows()["time_s"].tolist()[:6] == first["time_s"].tolist()
    assert "6 cells measured, 0 taken" in done("run", "--fresh")[1]
    again = done.rows()
    assert again["time_s"].tolist() != first["time_s"].tolist()
    assert again.drop(columns="time_s").equals(first.drop(columns="time_s"))


def test_changed_code_is_measured_again(done):
    done.claim(trouble="cell = cell")
    assert "6 cells measured, 0 taken" in done("run")[1]


def test_a_folder_that_cannot_be_written(toy):
    (toy.folder / "results").write_text("a file where a folder should be")
    code, _, errors = toy("run")
    assert code == 2
    assert "results" in one_sentence(errors)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody may write")
def test_a_read_only_folder(toy):
    # A folder without write permission would not stop root, which tests may well run as.
    code, _, errors = toy("run", "--out", "/proc/odeclaims")
    assert code == 2
    assert "/proc/odeclaims" in one_sentence(errors)


def test_an_error_in_a_cell_is_named_and_the_others_are_kept(toy):
    toy.claim(trouble="assert cell.repetition != 1, 'a bug'")
    code, output, _ = toy("run")
    assert code == 1
    assert "toy (delay_s=0.0, repetition=1) failed: AssertionError: a bug (toy.py, line" in output
    assert "5 cells measured" in output
    assert not (toy.out / "quick" / "toy" / "data.csv").exists()


def test_a_solve_that_fails_is_a_row(toy):
    toy.claim(trouble="if cell.repetition == 1: raise StepUnderflow('no', 0.0)")
    assert toy("run")[0] == 0
    assert toy.rows()["status"].tolist() == ["ok", "underflow", "ok", "ok", "ok", "ok"]
    verdict = json.loads((toy.out / "quick" / "toy" / "verdict.json").read_text())
    assert "1 of 6 rows have the status underflow." in verdict["caveats"]


def test_a_cell_that_takes_too_long_is_a_row(toy):
    toy.claim(trouble="time.sleep(60 if cell.repetition == 1 else 0)")
    before = "from odeclaims.run import tasks; tasks.TIMEOUT_S['quick'] = 0.5"
    assert toy("run", before=before)[0] == 0
    assert toy.rows()["status"].tolist().count("timeout") == 1


WAITING = "time.sleep(0 if cell.repetition < 2 or Path('go').exists() else 19)"


def goes_on(toy: Toy) -> None:
    """A run whose third cell waited to be stopped is finished by another."""
    assert toy.finished_cells() == 2
    (toy.folder / "go").touch()
    code, output, _ = toy("run")
    assert code == 0
    assert "4 cells measured, 2 taken from before" in output
    assert not list(toy.out.glob("**/*.part"))


@pytest.mark.slow(reason="the command line is started as a user does")
def test_a_run_that_its_user_stops_says_so_and_goes_on_where_it_was(toy):
    toy.claim(trouble=WAITING)
    process = toy.as_a_user("run", "--jobs", "1")
    toy.wait_until(lambda: toy.finished_cells() == 2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "finished cells are kept" in errors
    goes_on(toy)


def test_a_run_that_the_system_ends_says_so_and_goes_on_where_it_was(toy):
    toy.claim(trouble=WAITING)
    process = toy.start("run", "--jobs", "1")
    toy.wait_until(lambda: toy.finished_cells() == 2)
    os.kill(process, signal.SIGTERM)
    code, _, errors = toy.end()
    assert code == 143
    assert "finished cells are kept" in one_sentence(errors)
    goes_on(toy)


def test_a_run_that_is_killed_goes_on_where_it_was(toy):
    toy.claim(trouble=WAITING)
    process = toy.start("run", "--jobs", "1")
    toy.wait_until(lambda: toy.finished_cells() == 2)
    os.killpg(process, signal.SIGKILL)
    assert toy.end()[0] == -signal.SIGKILL
    goes_on(toy)


def test_a_second_run_into_the_same_folder_is_refused(toy):
    toy.claim(trouble="time.sleep(15 if cell.repetition else 0)")
    first, second = toy.start("run"), toy.beside()
    toy.wait_until(lambda: toy.finished_cells() == 1)
    refused = [second("run")]
    kept = toy.finished_cells()
    # The first still writes there when the folder is deleted.
    shutil.rmtree(toy.out)
    refused.append(second("run"))
    os.killpg(first, signal.SIGKILL)
    toy.end()
    for code, _, errors in refused:
        assert code == 2
        assert "another run is writing to results" in one_sentence(errors)
    assert kept < 6


# A solve in each cell; the last one asks for a method that torchdiffeq does not have.
SOLVING = (
    "import torch; from neural_ode import solve; solve(lambda t, y: -y, torch.ones(2),"
    " torch.tensor([0.0, 1.0]), method='tsit5' if cell.repetition == 5 else 'dopri5')"
)


def test_another_solver_has_a_folder_of_its_own_and_says_what_it_lacks(toy):
    toy.claim(trouble=SOLVING)
    assert toy("run")[0] == 0
    code, output, _ = toy("run", "--solver", "torchdiffeq")
    assert code == 0
    assert "6 cells measured, 0 taken" in output
    assert "not offered" in output
    assert toy.rows()["solver"].unique().tolist() == ["ours"]
    folder = toy.out / "solvers" / "torchdiffeq" / "quick" / "toy"
    rows = pd.read_csv(folder / "data.csv")
    assert rows["solver"].unique().tolist() == ["torchdiffeq"]
    assert rows["status"].tolist() == ["ok"] * 5 + ["not_offered"]
    assert rows["seed"].tolist() == toy.rows()["seed"].tolist()
    made = json.loads((folder / "provenance.json").read_text())
    assert made["solver"] == "torchdiffeq"
    assert made["not_offered"] == ["torchdiffeq does not offer the method tsit5"]
    assert made["packages"]["torchdiffeq"]
    assert "0 cells measured, 6 taken" in toy("run", "--solver", "torchdiffeq")[1]
    assert toy("check", "--results", str(toy.out / "solvers" / "torchdiffeq"))[0] == 0
    code, output, _ = toy("compare", "--by", "solver")
    assert code == 0
    assert "torchdiffeq does not offer the method tsit5." in output
    assert "torchdiffeq: 0 of 1 central statement judged, 1 not offered" in output


def test_results_of_another_solver_are_not_replaced(done):
    before = done.rows()
    code, _, errors = done("run", "--solver", "torchdiffeq", "--out", "results/solvers/torchdiffeq")
    assert (code, errors) == (0, "")
    folder = done.out / "solvers" / "torchdiffeq" / "solvers" / "torchdiffeq"
    code, _, errors = done("run", "--out", str(folder))
    assert code == 2
    assert "holds results of the solver torchdiffeq, which those of ours would replace" in errors
    one_sentence(errors)
    assert done.rows().equals(before)


# A backend that is only timed.
WITH_TIMED = """
from odeclaims import backends

class Timed(backends.Backend):
    name = "timed"

known = backends.find_backends() | {"timed": Timed()}
backends.find_backends = lambda known=known: known
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("scipy", "there is no backend 'scipy'; the backends are diffrax, ours"),
        ("timed", "backend timed cannot run claims, since it defines no solve; those that do are"),
    ],
)
def test_a_solver_that_cannot_run_claims_is_one_sentence(toy, name, says):
    code, _, errors = toy("run", "--solver", name, before=WITH_TIMED)
    assert code == 2
    assert says in one_sentence(errors)
    assert not toy.out.exists()
