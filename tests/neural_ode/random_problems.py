"""Random problems for the tests of ``solve``, and how near its answers must be."""

# A missing gradient or count fails a test all the same; settings are plain dicts, and wrong
# arguments are a subject.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false

import torch
from hypothesis import settings
from hypothesis import strategies as st

from neural_ode.methods import NAMED

F32, F64 = torch.float32, torch.float64
# What takes steps of given sizes.
STEPPING = [
    name
    for name, method in NAMED.items()
    if method.integrate is None and method.accepts("step_size")
]
# fehlberg2 estimates 1/512 of the difference of two slopes, as published: its errors are ten and
# more times the tolerance, so it is held against torchdiffeq's alone.
CHOOSING = [name for name, method in NAMED.items() if method.adaptive and name != "fehlberg2"]
# The tightest tolerance, in digits, at which a method of so low an order still takes few steps.
DIGITS = {2: 4, 3: 5}
SHAPES = [(), (0,), (0, 3), (1,), (5,), (2, 3), (2, 0), (2, 3, 4)]

stepping, choosing = st.sampled_from(STEPPING), st.sampled_from(CHOOSING)
every = st.sampled_from(list(NAMED))
shapes, dtypes = st.sampled_from(SHAPES), st.sampled_from([F32, F64])
seeds, digits = st.integers(0, 2**32), st.integers(3, 8)
# Problems are cheap, and the methods many.
MANY = settings(max_examples=4 * settings().max_examples)


def tolerance(method, dtype, digits):
    """The tolerance of so many digits, or what the method and the dtype can do."""
    most = DIGITS.get(NAMED[method].order, 8) if NAMED[method].adaptive else 8
    return 10.0 ** -min(digits, most, 4 if dtype == F32 else 8)
