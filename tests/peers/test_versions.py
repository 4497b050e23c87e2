"""The benchmarks over versions of a peer, run here on the version that is installed."""

import json
import re
from itertools import product
from pathlib import Path
from runpy import run_path

import pytest

PEERS = Path(__file__).parents[2] / "suites" / "peers"
Solving = run_path(str(PEERS / "versions" / "solving.py"))["Solving"]


@pytest.mark.slow(reason="other solvers are compiled")
@pytest.mark.parametrize(
    ("workload", "solver"), list(product(("mlp_forward", "mlp_gradient"), Solving.params[1]))
)
def test_a_workload_is_solved_counted_and_right(workload, solver):
    benchmark = Solving()
    benchmark.setup(workload, solver)
    benchmark.time_work(workload, solver)
    assert benchmark.track_nfe(workload, solver) > 10
    assert 0 < benchmark.track_error(workload, solver) < 1e-3


def test_the_matrix_names_versions_of_a_solver_that_is_asked():
    text = (PEERS / "asv.conf.json").read_text()
    settings = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    required = settings["matrix"]["req"]
    assert set(required) - {"torch"} <= set(Solving.params[1])
    assert all(len(set(versions)) == len(versions) for versions in required.values())
