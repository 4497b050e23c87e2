"""How a command that works for long ends when it is told to."""

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

# Seconds in which a run that was told to end has ended, and is not told again.
ENDING_S = 5.0


class Terminated(KeyboardInterrupt):
    """The system asked this process to end, as a scheduler does before it kills."""


@contextmanager
def ends_in_a_sentence(kept: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a command with a sentence and their exit codes, 130 and 143.

    Args:
        kept: what the sentence says is kept.
    """

    signals = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) != signal.SIG_IGN]

    told = -math.inf

    def stop(number: int, _: object) -> None:
        nonlocal told
        # What a signal ends is not to be torn from its end by the next. Python may also drop what
        # is raised here, as in a callback; then a later one counts.
        if time.monotonic() - told > ENDING_S:
            told = time.monotonic()
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    before = [(each, signal.signal(each, stop)) for each in signals]
    try:
        yield
    except KeyboardInterrupt as end:
        before = [(each, signal.SIG_IGN) for each in signals]
        sys.stderr.write(f"odeclaims: stopped; {kept}, run again to go on\n")
        raise typer.Exit(143 if isinstance(end, Terminated) else 130) from None
    finally:
        for each, handler in before:
            signal.signal(each, handler)
