"""How long some work takes, call by call."""

import math
import time
from collections.abc import Callable

import torch


def durations(
    work: Callable[[], object],
    device: str = "cpu",
    *,
    least: int,
    most: float = math.inf,
    for_s: float = 0.0,
) -> list[float]:
    """Seconds that each of several calls takes, one after the other.

    Args:
        work: what is timed. Nothing warms it up beforehand.
        device: where it computes; on a GPU each call is waited for.
        least: calls, however long they take.
        most: calls, however short they are.
        for_s: seconds that all calls together are to fill.
    """
    cuda = device.startswith("cuda")
    times: list[float] = []
    while len(times) < least or (len(times) < most and sum(times) < for_s):
        if cuda:
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return times
