"""The clock by which a training is timed."""

import time
from collections.abc import Callable

import torch


def clock_of(device: torch.device) -> Callable[[], float]:
    """The clock, in seconds, by which a training on this device is timed.

    On a CPU it is the processor time of this process, over all of its threads. Other work on the
    machine does not move it, and it stands still while the process is suspended. On another
    device it is wall-clock time, since the processor does not do the work.
    """
    return time.process_time if device.type == "cpu" else time.perf_counter
