"""What the sizes of the steps say about the time that a solve will take."""

import math
import warnings

from neural_ode.failures import step_underflow
from neural_ode.settings import Settings
from neural_ode.times import Times

# So many steps ahead are worth a warning: before the first where ``max_step`` makes it plain, or
# after this many by their size.
MANY_STEPS, LOOK_AHEAD = 1_000_000, 20_000


def warn_of_many(ahead: float, attempts: int, goal: float, t: float) -> None:
    """Warn where so many steps of the present size lie ahead that nobody may wait for their end.

    An event, whose time is not known, may never come, so it is waited for with a warning too.
    """
    if math.isinf(goal):
        warnings.warn(
            f"{attempts:,} steps reached t={t:.9g}, and no event has come: without one the solve"
            " does not end, unless max_num_steps ends it",
            stacklevel=2,
        )
    elif MANY_STEPS < ahead < math.inf:
        warnings.warn(
            f"{attempts:,} steps reached t={t:.9g}, and steps of this size make for {ahead:,.0f}"
            f" more to t={goal:.9g}: max_num_steps limits them",
            stacklevel=2,
        )


def check_largest(times: Times, settings: Settings) -> None:
    """Whether steps of the largest size, signed, can reach the end, and in how many."""
    begin, end, h = times.floats[0], times.floats[-1], times.direction * settings.max_step
    for t in (begin, end):
        if t + h == t or t - h == t:
            raise step_underflow(h, t)
    count = math.ceil((end - begin) / h)
    if count > MANY_STEPS:
        warnings.warn(
            f"max_step={abs(h):.3g} makes for at least {count:,} steps from t={begin:.9g} to"
            f" {end:.9g}",
            stacklevel=2,
        )
