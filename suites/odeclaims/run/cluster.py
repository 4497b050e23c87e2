"""Cells on the workers of a Dask cluster.

What runs where: this machine decides what is measured, hands each cell to the scheduler as JSON and
writes what comes back, so the workers need this package and the claim's, but no folder in common.
On a worker each cell has a process of its own (``cluster_worker``, ``cluster_cell``), so that its
time limit holds, the threads of Dask touch no timing, and a crash costs one cell and not the
worker. A worker keeps nothing: there are no checkpoints, and a cell whose worker dies begins anew
on another.

An answer is text, and is taken as text alone: Dask is told to unpickle none. What it unpickles all
the same, and who has to be trusted therefore, is said in docs/cluster.md.

joblib has a Dask backend, but it does not survive the death of a worker (joblib 1.6.0, distributed
2026.8.0): it still holds the last result that it has returned, which Dask then computes again, and
it waits for ever for a task that Dask has given up. Here a result is let go when it has arrived.
"""

import asyncio
import json
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from odeclaims.record.cells import CellStore, describe
from odeclaims.record.files import CorruptFile
from odeclaims.record.provenance import versions
from odeclaims.record.schema import parse_cell_answer, parse_process_answer
from odeclaims.run.cluster_worker import in_process
from odeclaims.run.tasks import Task

if TYPE_CHECKING:
    from distributed import Client, Future

# Seconds in which a scheduler has to answer.
CONNECT_S = 5
# Of what Dask could make an answer of, what runs nothing.
PLAIN_DATA = ["msgpack"]


@contextmanager
def connect(address: str) -> Iterator["Client"]:
    """A client of the scheduler at this address; when it is closed, what it asked for is ended.

    Raises:
        ValueError: where the package distributed is not installed.
        ConnectionError: where no scheduler answers, or Dask's settings of TLS do not let it.
    """
    try:
        from distributed import Client
        from distributed.security import Security
    except ImportError:
        raise ValueError(
            "--scheduler needs the package distributed: pip install 'odeclaims[cluster]'"
        ) from None
    for name in ("distributed", "distributed.client", "distributed.protocol.core"):
        # What it would log, in tracebacks, this run says in a sentence.
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        security = Security()  # as Dask's settings have it
        how = security.get_connection_args("client")
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"the certificates that Dask's settings name cannot be used: {error}"
        ) from error
    try:
        # A client alone would wait for ever for somebody who takes the call and says nothing.
        asyncio.run(asyncio.wait_for(_greet(address, how), CONNECT_S))
        client = Client(address, timeout=CONNECT_S, set_as_default=False, deserializers=PLAIN_DATA)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {address} within {CONNECT_S} s"
        ) from error
    except (RuntimeError, TypeError) as error:
        raise ConnectionError(
            f"Dask's settings of TLS do not go with the address {address}: {error}"
        ) from error
    with client:
        yield client


async def _greet(address: str, how: dict[str, Any]) -> None:
    from distributed.comm.core import connect

    (await connect(address, timeout=CONNECT_S, **how)).abort()


def workers(client: "Client") -> list[str]:
    """The addresses of the workers that there are just now."""
    threads: Any = client.nthreads()
    return list(threads)


def compute(client: "Client", store: CellStore, tasks: list[Task], count: int) -> Iterator[str]:
    """The tasks on the workers, ``count`` of them in flight, as they end; each is kept at once.

    Yields:
        "" for a cell that was kept, or a sentence that says why it failed.

    Raises:
        ValueError: where a worker's code or versions are not those of this machine.
        ConnectionError: where the scheduler is lost.
    """
    from distributed import as_completed

    waiting, flying = iter(tasks), {}
    arriving: Any = as_completed(loop=client.loop)
    bound = None

    def submit(number: int) -> None:
        nonlocal bound
        for task in islice(waiting, number):
            bound = _worker_for(task, client, bound)
            future = _submit(client, task, bound)
            flying[future.key] = task
            arriving.add(future)

    submit(count)
    for future in arriving:
        task = flying.pop(future.key)
        sentence = _keep(store, task, _answer(task, future))
        # Dask computes again what is lost with a worker and still wanted, and this is not.
        future.release()
        submit(1)
        yield sentence


def _worker_for(task: Task, client: "Client", before: str | None) -> str | None:
    """The worker that a cell is bound to: timings are all taken on one, as long as it lives."""
    if not task.alone:
        return None
    addresses = workers(client)
    return before if before in addresses else next(iter(addresses), None)


def _submit(client: "Client", task: Task, worker: str | None) -> "Future":
    measure = task.claim.measure
    order = {
        "measure": f"{measure.__module__}:{measure.__name__}",
        "cell": describe(task.cell),
        "key": task.key,
        "timeout_s": task.timeout_s,
        "code": task.code,
        "versions": versions(),
    }
    return client.submit(
        in_process,
        json.dumps(order),
        key=f"{task.key}-{uuid4().hex}",
        pure=False,
        workers=worker,
        # Without this Dask would wait for a dead worker's return.
        allow_other_workers=worker is not None,
    )


def _answer(task: Task, future: "Future") -> dict[str, Any]:
    """What a worker says, or why it says nothing.

    Raises:
        ValueError: where the workers cannot run this package.
        ConnectionError: where the scheduler is lost.
    """
    from distributed import KilledWorker

    try:
        return parse_process_answer(future.result())
    except Exception as error:
        if future.status == "finished":
            # It has answered, with what is not plain data or not what was asked for.
            return {
                "failed": f"{task.cell.label()} failed: its worker's answer cannot be used: {error}"
            }
        if isinstance(error, KilledWorker):
            deaths = error.allowed_failures + 1
            return {
                "failed": f"{task.cell.label()} failed: {deaths} workers died while they measured"
                " it"
            }
        if future.status == "error":
            raise ValueError(f"the cluster's workers cannot run odeclaims: {error!r}") from error
        raise ConnectionError(
            "the Dask scheduler was lost; finished cells are kept, run again to go on"
        ) from error


def _keep(store: CellStore, task: Task, answer: dict[str, Any]) -> str:
    """Write what was measured; "" or a sentence that says why nothing was.

    Raises:
        ValueError: where the worker refused the cell.
    """
    if "failed" in answer:
        return answer["failed"]
    label, where = task.cell.label(), answer["worker"]
    if answer["code"]:
        return f"{label} failed: its process on {where} ended with {_ending(answer['code'])}"
    try:
        said = parse_cell_answer(answer["said"])
        if "record" in said:
            store.write(task.cell, task.key, said["record"])
            return ""
    except CorruptFile as error:
        return f"{label} failed: {error} (on {where})"
    if "refused" in said:
        raise ValueError(f"the worker {where} was refused: {said['refused']}")
    return f"{said['failed']} (on {where})"


def _ending(code: int) -> str:
    """How a process ended, by its exit code."""
    if code > 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
