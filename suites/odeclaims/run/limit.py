"""A limit on the time that a measurement takes, by an alarm of the system or without one."""

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CellTimeout(Exception):
    """A cell that took longer than it may."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise CellTimeout in this thread after so many seconds.

    Windows has no alarms, and they reach the main thread alone. Elsewhere another thread raises it:
    between two instructions of Python, so that a call of C code ends first.
    """
    alarms = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    with _by_alarm(seconds) if alarms else _by_thread(seconds):
        yield


@contextmanager
def _by_alarm(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise CellTimeout

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _by_thread(seconds: float) -> Iterator[None]:
    here, lock, over = threading.get_ident(), threading.Lock(), False

    def ring() -> None:
        with lock:
            if not over:
                _raise_in(here, CellTimeout)

    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            over = True
            # It may be on its way and not have come.
            _raise_in(here, None)


def _raise_in(thread: int, error: type[Exception] | None) -> None:
    """Raise an error in a thread; ``None`` takes back one that was not raised yet."""
    raised = ctypes.py_object(error) if error else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)
