"""The checks in a process of their own, which may hang or die without taking this one along."""

import logging
import multiprocessing
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch

from odeclaims.backends import Backend
from odeclaims.conform.check import Check, Finding

START_LIMIT_S = 300.0


class _Child:
    """A process that answers the checks from one number on, in their order."""

    def __init__(self, backend: Backend, checks: Sequence[Check]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, backend, checks), daemon=True)
        self.process.start()
        theirs.close()
        if self.receive(START_LIMIT_S) != "ready":
            self.stop()
            raise ValueError(
                f"backend {backend.name} cannot be used in a process of its own; its class has to"
                " be one that can be imported"
            )

    def receive(self, limit_s: float) -> Any:
        """What the child says next; "late" or "dead" where it says nothing."""
        if not self.connection.poll(limit_s):
            return "late"
        try:
            return self.connection.recv()
        except EOFError:
            return "dead"

    def stop(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, backend: Backend, checks: Sequence[Check]) -> None:
    """Answer the checks one after another."""
    # What a solver raises is a finding; what it logs beside that would tear the table apart.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    # The same sums in the same order on every machine.
    torch.set_num_threads(1)
    connection.send("ready")
    for check in checks:
        connection.send(check.judge(backend))


def findings(backend: Backend, checks: Sequence[Check]) -> list[Finding]:
    """What comes of the checks; a hang or a crash is a failure of the check that it happened in.

    Raises:
        ValueError: for a backend that cannot be sent to another process.
    """
    found: list[Finding] = []
    while len(found) < len(checks):
        child = _Child(backend, checks[len(found) :])
        try:
            for check in checks[len(found) :]:
                said = child.receive(check.limit_s)
                if isinstance(said, str):
                    found.append(Finding(check, "fail", None, _gone(said, check)))
                    break
                found.append(said)
        finally:
            child.stop()
    return found


def _gone(said: str, check: Check) -> str:
    if said == "late":
        return f"no answer within {check.limit_s:g} s"
    return "the process died"
