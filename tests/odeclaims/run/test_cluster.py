"""Runs on a real Dask cluster of two worker processes, and what is refused."""

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import neural_ode
from odeclaims.cell import Cell
from odeclaims.record.cells import CellStore
from odeclaims.run.cluster import _answer, _keep
from odeclaims.run.tasks import Task
from tests.odeclaims.forked import LIGHT

distributed = pytest.importorskip("distributed")

CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
# A worker compares its code with that of the run, which is the whole.
WHOLE_CODE = """
from functools import cache
from importlib.machinery import PathFinder
from odeclaims.record import source

found = source._spec.__wrapped__
whole = PathFinder.find_spec("neural_ode", [WHERE])
source._spec = cache(lambda module: whole if module == "neural_ode" else found(module))
"""
# A cell from the number in the file "hold" on waits until that number is larger.
HOLD = """
    while cell.repetition >= int((FOLDER / "hold").read_text()):
        time.sleep(0.02)
"""


@pytest.fixture
def scheduler(counted) -> Iterator[str]:
    """The address of a cluster whose workers can import the claim, and share nothing else.

    Its processes have a torch of a few lines.
    """
    script = counted.folder / "cluster.py"
    script.write_text(CLUSTER)
    where = repr(str(Path(neural_ode.__file__).parents[1]))
    with (counted.folder / "sitecustomize.py").open("a") as begins:
        begins.write(WHOLE_CODE.replace("WHERE", where))
    # Every cell is a process of its own there.
    paths = [str(LIGHT), str(counted.folder), *(path for path in sys.path if path)]
    with (
        (counted.folder / "cluster.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        ) as process,
    ):
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        # The end of its input ends it.


STOPPED = "odeclaims: stopped; finished cells are kept, run again to go on\n"


@pytest.mark.slow(reason="every cell is a process that imports torch")
def test_what_ends_a_run_or_a_worker_costs_nothing_that_was_kept(counted, scheduler, tmp_path):
    """Runs that are ended leave nothing running of what they have handed out. Then cell 0
    is kept, and the worker of cell 1 is killed while it and 2 are measured; 3 and 4 take times.
    """
    counted.claim(cells=5, trouble=HOLD, alone="(3, 4)")
    counted.put("hold", "0")
    ends = {
        signal.SIGTERM: (143, STOPPED),
        signal.SIGKILL: (-signal.SIGKILL, ""),
    }
    for sign, end in ends.items():
        run = counted.start("run", "--scheduler", scheduler, "--jobs", "1")
        counted.wait_until(counted.log)
        os.kill(run, sign)
        code, _, errors = counted.end()
        assert (code, errors) == end
        ((_, cell, _),) = counted.log()
        counted.wait_for_the_end_of(cell)
        (counted.folder / "log").unlink()

    counted.put("hold", "1")
    counted.start("run", "--scheduler", scheduler)
    counted.wait_until(lambda: counted.kept() == {0})
    counted.wait_until(lambda: 1 in {repetition for repetition, _, _ in counted.log()})
    ((cell, worker),) = [line[1:] for line in counted.log() if line[0] == 1]
    os.kill(worker, signal.SIGKILL)
    counted.wait_for_the_end_of(cell)
    counted.put("hold", "5")
    code, output, errors = counted.end()
    assert (code, errors) == (0, "")
    assert "5 cells measured, 0 taken from before" in output
    times = Counter(repetition for repetition, _, _ in counted.log())
    assert times == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1}
    *_, third, fourth = counted.log()
    assert (third[0], fourth[0]) == (3, 4)
    assert third[2] == fourth[2]

    assert counted("run", "--jobs", "1", "--out", "local")[0] == 0
    assert counted.rows().equals(counted.rows(tmp_path / "local"))


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of somebody who takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


# So that nobody waits for the five seconds that a scheduler has.
IMPATIENT = "from odeclaims.run import cluster; cluster.CONNECT_S = 1"


def test_a_scheduler_that_does_not_answer_is_one_sentence(counted, silent):
    counted.claim(cells=1)
    code, _, errors = counted("run", "--scheduler", silent, before=IMPATIENT)
    assert code == 2
    assert errors == f"odeclaims: no Dask scheduler answers at {silent} within 1 s\n"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "abacus://1"])
def test_an_address_of_nobody_is_one_sentence(counted, address):
    counted.claim(cells=1)
    code, _, errors = counted("run", "--scheduler", address, before=IMPATIENT)
    assert code == 2
    assert errors == f"odeclaims: no Dask scheduler answers at {address} within 1 s\n"


@pytest.mark.parametrize(
    ("address", "variables", "says"),
    [
        ("tls://127.0.0.1:9", {}, "Dask's settings of TLS do not go with the address tls://"),
        ("tcp://127.0.0.1:9", {"REQUIRE_ENCRYPTION": "True"}, "do not go with the address tcp://"),
        ("tls://127.0.0.1:9", {"TLS__CA_FILE": "/missing", "TLS__CLIENT__CERT": "/missing"},
         "the certificates that Dask's settings name cannot be used"),
    ],
)  # fmt: skip
def test_settings_of_tls_that_do_not_fit_are_one_sentence(counted, address, variables, says):
    counted.claim(cells=1)
    settings = {f"DASK_DISTRIBUTED__COMM__{name}": value for name, value in variables.items()}
    before = f"import os; os.environ.update({settings}); import dask; dask.config.refresh()"
    code, _, errors = counted("run", "--scheduler", address, before=f"{before}; {IMPATIENT}")
    assert code == 2
    assert says in errors
    assert len(errors.splitlines()) == 1


def test_without_distributed_the_option_says_what_it_needs(counted):
    counted.claim(cells=1)
    before = "sys.modules['distributed'] = None"
    code, _, errors = counted("run", "--scheduler", "tcp://127.0.0.1:1", before=before)
    assert code == 2
    assert "--scheduler needs the package distributed: pip install 'odeclaims[cluster]'" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"said": "", "code": -9}, "its process on tcp://w:1 ended with SIGKILL"),
        ({"said": '{"rec', "code": 7}, "its process on tcp://w:1 ended with exit code 7"),
        ({"said": "", "code": -200}, "its process on tcp://w:1 ended with signal 200"),
        ({"said": '{"rec', "code": 0}, "toy (repetition=0) failed: the answer is not JSON"),
        ({"said": "[]", "code": 0}, "the answer holds list, expected an object (on tcp://w:1)"),
        ({"said": "{}", "code": 0}, "is not one of a cell's process"),
        ({"said": '{"record": {}, "failed": "x"}', "code": 0}, "it says not one thing"),
        ({"said": '{"record": {"rows": []}}', "code": 0}, "is not a finished cell: cell: Field"),
        ({"said": '{"record": {"key": "other"}}', "code": 0}, "of another cell"),
        (
            {"said": '{"failed": "toy failed: a bug"}', "code": 0},
            "toy failed: a bug (on tcp://w:1)",
        ),
    ],
)
def test_a_cell_that_failed_on_a_worker_says_where(tmp_path, toy_task, answer, says):
    store = CellStore(tmp_path)
    assert says in _keep(store, toy_task, answer | {"worker": "tcp://w:1"})
    assert not list(tmp_path.iterdir())


@pytest.fixture
def toy_task(unchecked) -> Task:
    nobody: Any = None  # its claim is not asked
    return Task(nobody, Cell("toy", {}), "key", alone=False, timeout_s=1.0, code={})


def test_a_worker_that_was_refused_stops_the_run(tmp_path, toy_task):
    answer = {"said": '{"refused": "it has torch 1"}', "code": 0, "worker": "tcp://w:1"}
    with pytest.raises(ValueError, match="worker tcp://w:1 was refused: it has torch 1"):
        _keep(CellStore(tmp_path), toy_task, answer)


class Gone:
    """A future of Dask that has come to this end."""

    def __init__(self, status: str, end: Any) -> None:
        self.status, self.end = status, end

    def result(self) -> str:
        if isinstance(self.end, str):
            return self.end
        raise self.end


def test_what_dask_gives_up_is_a_failure_of_the_cell(tmp_path, toy_task):
    gone: Any = Gone("error", distributed.KilledWorker("key", None, 3))
    answer = _answer(toy_task, gone)
    assert "toy (repetition=0) failed: 4 workers died while they measured it" in _keep(
        CellStore(tmp_path), toy_task, answer
    )


@pytest.mark.parametrize(
    ("status", "found", "error"),
    [
        ("error", ImportError("no odeclaims"), ValueError),
        ("cancelled", distributed.CancelledError("key"), ConnectionError),
        ("lost", distributed.CancelledError("key"), ConnectionError),
    ],
)
def test_other_ends_stop_the_run(toy_task, status, found, error):
    gone: Any = Gone(status, found)
    with pytest.raises(error):
        _answer(toy_task, gone)


@pytest.mark.parametrize(
    "end",
    [
        TypeError("Data serialized with pickle"),
        "[" * 100_000,
        '{"said": 3, "code": 0, "worker": "w"}',
        '{"said": "", "code": true, "worker": "w"}',
        '{"said": "", "code": 0, "worker": "\\u001b"}',
        "{}",
    ],
)
def test_an_answer_that_is_not_one_is_a_failure_of_the_cell(tmp_path, toy_task, end):
    gone: Any = Gone("finished", end)
    said = _keep(CellStore(tmp_path), toy_task, _answer(toy_task, gone))
    assert said.startswith("toy (repetition=0) failed: its worker's answer cannot be used: ")
    assert not list(tmp_path.iterdir())


# Imported by every process of the cluster as it starts: from then on its workers answer with what
# makes a folder when it is unpickled, and send it as the file "how" says, whatever was asked for.
FORGED = """
import sys
if "distributed" in " ".join(sys.orig_argv) or "multiprocessing" in " ".join(sys.orig_argv):
    import distributed.worker
    import odeclaims.run.cluster_worker as cluster_worker

    class Trap:
        def __reduce__(self):
            import os
            return os.mkdir, ("sprung",)

    def in_process(order):
        return Trap()

    cluster_worker.in_process = in_process
    get_data = distributed.worker.Worker.get_data

    async def get_data_as_pickle(self, comm, keys, who=None, serializers=None):
        return await get_data(self, comm, keys, who, eval(open(HOW).read()))

    distributed.worker.Worker.get_data = get_data_as_pickle
"""


@pytest.mark.slow(reason="a cluster is started")
def test_nothing_that_a_forged_worker_answers_runs_here(counted, request):
    counted.claim(cells=2)
    path = str(counted.folder / "how")
    (counted.folder / "sitecustomize.py").write_text(FORGED.replace("HOW", repr(path)))
    scheduler = request.getfixturevalue("scheduler")
    for how in ("None", '["pickle"]', "serializers"):
        counted.put("how", how)
        code, output, errors = counted("run", "--scheduler", scheduler, "--jobs", "1")
        assert (code, errors) == (1, ""), how
        assert "failed: its worker's answer cannot be used" in output, how
        assert "0 cells measured" in output
        assert not (counted.folder / "sprung").exists(), how
        assert not counted.kept()
