"""Run commands beside each other, as many as there are cores: ``together.py COMMAND...``.

What each has said comes in one piece when it ends. The exit code is 1 where one has failed.
"""

import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed


def run(command: str) -> tuple[str, int]:
    """What a command says, headed by its name and time, and its exit code."""
    started = time.monotonic()
    done = subprocess.run(
        shlex.split(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took = time.monotonic() - started
    return f"--- {command} took {took:.0f} s\n{done.stdout}", done.returncode


def main(commands: list[str]) -> int:
    """Run them; 0 where none has failed."""
    failed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(run, command): command for command in commands}
        for future in as_completed(running):
            said, code = future.result()
            print(said, flush=True)
            failed += [running[future]] if code else []
    for command in failed:
        print(f"failed: {command}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
