"""A process that has imported everything, and forks itself for each run of the command line.

It reads an order a line, as JSON: either to start a run, which itself answers with its number, that
of its process group too; or to wait for the run of a number, and answer with the exit code.
"""

import gc
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import import_module
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

from joblib import ParallelBackendBase, parallel_config, register_parallel_backend

import odeclaims.cli.choose
import odeclaims.report.draw
import odeclaims.report.page
import odeclaims.run.claims
from neural_ode.data import mnist
from odeclaims.claims import find_claims
from odeclaims.record.source import source_digest
from odeclaims.report.style import panels, save, style


class Forking(ParallelBackendBase):
    """Workers that are forked off the run, and so import nothing."""

    supports_retrieve_callback = True

    # joblib annotates no method, and a type checker takes the empty ones for functions to None.
    def effective_n_jobs(self, n_jobs: int) -> Any:
        return n_jobs

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: Any = None,
        require: Any = None,
        **how: Any,
    ) -> Any:
        self.parallel = parallel
        first = how.get("initializer"), how.get("initargs", ())
        self.pool = ProcessPoolExecutor(n_jobs, get_context("fork"), begin_worker, first)
        return n_jobs

    def submit(self, func: Callable, callback: Callable[[Future], None] | None = None) -> Future:
        future = self.pool.submit(func)
        if callback:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Future) -> Any:
        return out.result()

    def terminate(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        for worker in active_children():
            worker.kill()
        self.terminate()
        if ensure_ready:
            self.configure(self.parallel.n_jobs, self.parallel)


def begin_worker(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """Make this process, which was forked off a run, one that joblib could have started."""
    # When one worker is killed, the pool ends the others by SIGTERM. The run's handler of it, which
    # a fork keeps, would print a traceback.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if initializer is not None:
        initializer(*arguments)


def begin(order: dict[str, Any]) -> None:
    """Make this process, which was forked, one that a user could have started in that folder."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    answer = os.fdopen(os.dup(1), "w")
    for descriptor, path in ((1, order["output"]), (2, order["errors"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    # joblib hands this path to the workers that it starts. This process has imported what is light.
    sys.path[:0] = [order["folder"], order["light"]]
    os.environ["PYTHONPATH"] = os.pathsep.join([order["light"], os.environ["PYTHONPATH"]])
    sys.argv = ["odeclaims", *order["arguments"]]
    exec(order["before"])
    if order["module"]:
        claims = import_module(order["module"]).CLAIMS
        odeclaims.cli.choose.find_claims = lambda: {claim.slug: claim for claim in claims}
    with answer:
        answer.write(f"{os.getpid()}\n")


def run(workers: str) -> int | str | None:
    """The command line; the exit code with which it wants to end."""
    try:
        if workers == "forked":
            with parallel_config("forking"):
                odeclaims.cli.main()
        else:
            odeclaims.cli.main()
    except SystemExit as last:
        return last.code
    return 0


def prepare() -> None:
    """Import and read what runs would otherwise each import and read again."""
    for claim in find_claims().values():
        source_digest(claim.measure.__module__)
        # Each imports its room.
        assert claim.statements
        assert claim.figure
    for split in ("train", "test"):
        mnist.load(split)
    # What asks torch's compiler anything imports it.
    import_module("torch._dynamo")
    # Matplotlib reads its fonts and its grammar of formulas at the first figure.
    with tempfile.TemporaryDirectory() as folder, style():
        figure, axes = panels(1, 1)
        axes[0, 0].set(xlabel="$x_1^2$", ylabel="y", xscale="log")
        save(figure, Path(folder))


def main() -> None:
    """Carry out orders until there are no more."""
    register_parallel_backend("forking", Forking)
    prepare()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait_for" in order:
            _, status = os.waitpid(order["wait_for"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
        elif os.fork() == 0:
            begin(order)
            code = run(order["workers"])
            if order["workers"] == "fresh":
                # What ends joblib's own workers is done when the interpreter ends.
                sys.exit(code)
            sys.stdout.flush()
            sys.stderr.flush()
            # An interpreter that takes itself apart touches, and so copies, most of what the fork
            # shares, which takes longer than most runs.
            os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()
