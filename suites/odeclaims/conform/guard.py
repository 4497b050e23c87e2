"""Runs the checks in a process of their own: if it hangs or dies, this one goes on."""

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
    """A process that judges these checks in their order."""

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
        """The next message of the child; "late" or "dead" if none comes."""
        if not self.connection.poll(limit_s):
            return "late"
        try:
            return self.connection.recv()
        except EOFError:
            return "dead"

    def stop(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, backend: Backend, checks: Sequence[Check]) -> None:
    """Judge the checks one after another."""
    # Errors become findings; warnings and log lines would only break up the printed table.
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    # On one thread, sums have the same order on every machine.
    torch.set_num_threads(1)
    connection.send("ready")
    for check in checks:
        connection.send(check.judge(backend))


def ask_in_process(backend: Backend, checks: Sequence[Check]) -> list[Finding]:
    """The findings of the checks; a check in which the process hangs or dies fails.

    Raises:
        ValueError: if the backend cannot be sent to another process.
    """
    findings: list[Finding] = []
    while len(findings) < len(checks):
        child = _Child(backend, checks[len(findings) :])
        try:
            for check in checks[len(findings) :]:
                message = child.receive(check.limit_s)
                if isinstance(message, str):
                    findings.append(Finding(check, "fail", None, _describe_silence(message, check)))
                    break
                findings.append(message)
        finally:
            child.stop()
    return findings


def _describe_silence(message: str, check: Check) -> str:
    if message == "late":
        return f"no answer within {check.limit_s:g} s"
    return "the process died"
