"""What a run asks of torch around a claim that computes nothing with it.

Processes that are started, and not forked, would each import torch for two seconds, in tests of how
processes end. Those find this file first. ``cli/test_measure.py`` and ``test_extend.py`` have
processes with torch itself.
"""

from types import SimpleNamespace

backends = SimpleNamespace(cudnn=SimpleNamespace(allow_tf32=True))


class OutOfMemoryError(RuntimeError):
    """Raised by nothing here."""


def set_num_threads(number: int) -> None:
    """Nothing here has threads."""


def device(name: str) -> SimpleNamespace:
    """The device that is named."""
    return SimpleNamespace(type=name.partition(":")[0])
