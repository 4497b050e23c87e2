"""The clock of a training."""

import time
from collections.abc import Callable

import torch


def clock_of(device: torch.device) -> Callable[[], float]:
    """The clock, in seconds, by which a training on this device is timed.

    On a CPU it is the processor time of this process, over all of its threads. Other work on the
    machine does not move it, and it stands still while the process is suspended. Elsewhere it is
    the time of the wall, since the work is not done by the processor.
    """
    return time.process_time if device.type == "cpu" else time.perf_counter
