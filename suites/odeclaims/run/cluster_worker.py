"""What a Dask worker does with a cell: it starts a process for it and hands on what that says.

Dask's workers import this module, so it imports nothing large.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

# Seconds between two looks at a cell's process.
LOOK_EVERY_S = 0.2


def in_process(order: str) -> str:
    """Have ``cluster_cell`` carry out the order, in a process that ends when it is not wanted.

    Args:
        order: which cell to measure, as JSON on one line.

    Returns:
        What the process said, its exit code and the address of this worker, as JSON: whoever asked
        takes nothing but text.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    # The process is to find the same packages as this one.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "odeclaims.run.cluster_cell"]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, env=environment) as process,
    ):
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(f"{order}\n".encode())
            process.stdin.flush()
        # The pipe stays open: the process takes its end for that of this worker.
        while process.poll() is None:
            if key not in worker.state.tasks or worker.state.tasks[key].state != "executing":
                process.kill()  # the one who asked is gone
            time.sleep(LOOK_EVERY_S)
        said.seek(0)
        text = said.read().decode(errors="replace")
    return json.dumps({"said": text, "code": process.returncode, "worker": worker.address})
