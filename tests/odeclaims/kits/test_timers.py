"""How often some work is timed."""

import time

import pytest

from odeclaims.kits.timers import durations


@pytest.mark.parametrize(
    ("limits", "calls"),
    [
        ({"least": 5}, 5),
        ({"least": 3, "most": 7, "for_s": 1e9}, 7),
        # What takes longer than the time that is to be filled is still called the least times.
        ({"least": 3, "for_s": 1e-3}, 3),
    ],
)
def test_work_is_called_as_often_as_it_is_timed(limits, calls):
    called = []

    def work() -> None:
        called.append(1)
        time.sleep(1e-3)

    times = durations(work, **limits)
    assert len(times) == len(called) == calls
    assert min(times) >= 1e-3


def test_short_work_is_called_until_the_time_is_filled():
    times = durations(lambda: time.sleep(1e-4), least=1, for_s=5e-3)
    assert sum(times) >= 5e-3 > sum(times[:-1])
