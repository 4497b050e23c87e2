"""What cannot be solved, on random problems: each solve ends, without a result, and says why."""

# A missing gradient or count fails a test all the same; settings are plain dicts, and wrong
# arguments are a subject.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalOperand=false

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neural_ode import Adjoint, NonFinite, SolverFailure, odeint, solve
from tests.neural_ode.random_problems import (
    F32,
    F64,
    MANY,
    STEPPING,
    choosing,
    digits,
    dtypes,
    every,
    shapes,
    stepping,
    tolerance,
)

# The fixture that leaves the annotations unchecked does the same each time.
FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow(reason="twenty solves go on until they fail")
@FIXTURE
@given(method=choosing, y0=st.floats(0.5, 2), past=st.floats(1.1, 3), dtype=dtypes, digits=digits)
def test_no_solution_is_made_up_beyond_a_pole(unchecked, method, y0, past, dtype, digits):
    """y' = y^2 from y0 has no solution from the time 1 / y0 on."""
    tol = tolerance(method, dtype, digits)
    ts = torch.tensor([0, past / y0], dtype=F64)
    start = torch.tensor([y0], dtype=dtype)
    with pytest.raises(SolverFailure) as caught:
        solve(lambda t, y: y**2, start, ts, method=method, rtol=tol, atol=tol, max_num_steps=300)
    assert caught.value.t <= (1 + 1e-2) / y0
    assert "\n" not in str(caught.value)


STEPS = {"chosen": {"rtol": 1e-3, "atol": 1e-3}, "sized": {"step_size": 0.6},
         "cubic": {"step_size": 0.6, "interpolation": "cubic"}}  # fmt: skip


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("method", [*STEPPING, "adams", "kvaerno5"])
def test_no_evaluation_that_is_not_a_number_goes_unseen(method, steps):
    """Whichever it is: the steps find another way, or the solve says so."""
    settings = {"method": method} | STEPS[steps if method in STEPPING else "chosen"]
    y0, ts, seen = torch.ones(2, dtype=F64), torch.tensor([0, 0.3, 1.3], dtype=F64), []
    solve(lambda t, y: seen.append(t.item()) or -y, y0, ts, **settings)
    for bad in set(seen):
        try:
            ys = solve(lambda t, y, b=bad: (math.nan if t == b else -1) * y, y0, ts, **settings).ys
        except NonFinite:
            continue
        assert ys.isfinite().all(), bad


@MANY
@given(
    method=stepping,
    shape=shapes,
    size=st.floats(0.6, 1),
    sign=st.sampled_from([1, -1]),
    dtype=dtypes,
)
def test_a_state_that_is_large_but_finite_is_solved(method, shape, size, sign, dtype):
    """Not even where the sum of its entries, or the square of one, would be infinite."""
    y0 = torch.full(shape, sign * size * torch.finfo(dtype).max, dtype=dtype)
    ts = torch.tensor([0, 1], dtype=F64)
    ys = solve(lambda t, y: torch.zeros_like(y), y0, ts, method=method, step_size=0.5).ys
    assert torch.equal(ys[-1], y0)


class Hanging(AssertionError):
    """The field was called so often that the solve would not have ended."""


def bad_y0():
    nan, inf = torch.tensor([1.0, math.nan]), torch.tensor([-math.inf, 1.0])
    ints = [torch.tensor([1, 2]), torch.tensor([True, False]), torch.tensor([1j, 2])]
    return [nan, nan.double(), inf, *ints, torch.ones(2).half(), [1.0, 2.0], 1.0, None, (1,), "y"]


def bad_ts():
    rows = [[0, 0], [0, 1, 1], [0, 2, 1], [1, 0, 0.5], [0, math.nan], [0, math.inf], []]
    others = [torch.tensor([0, 1]), torch.zeros(1, 2), torch.tensor(1.0), [0.0, 1.0], None, 1.0]
    return [*(torch.tensor(row, dtype=F64) for row in rows), *others]


BAD_FIELDS = [
    lambda y: None,
    lambda y: 1.0,
    lambda y: (y,),
    lambda y: y[:1],
    lambda y: y[None],
    lambda y: y.sum(),
    lambda y: y.to(F32 if y.dtype == F64 else F64),
    lambda y: y * 1j,
    lambda y: y.long(),
    lambda y: y * math.nan,
    lambda y: y + math.inf,
]
BAD_TOLERANCES = [0, 0.0, -1e-3, math.nan, math.inf, "tight", None, torch.tensor([1e-3, -1e-3]),
                  torch.full((3,), 1e-3), torch.full((2, 2), 1e-3), [1e-3, 1e-3]]  # fmt: skip
BAD_SETTINGS = [
    *({name: value} for name in ("rtol", "atol") for value in BAD_TOLERANCES),
    *(
        {name: value}
        for name in ("step_size", "first_step")
        for value in (0, -1, math.nan, math.inf)
    ),
    {"step_size": 1e-300},
    {"max_step": 0.0},
    {"min_step": math.nan},
    {"max_num_steps": 0},
    {"max_num_steps": math.nan},
    {"step_t": [math.nan]},
    {"jump_t": [0.5, math.inf]},
    {"step_t": [0.5, 0.5]},
    {"grid": []},
    {"grid": [0.0, math.nan, 1.0]},
    {"grid": [1.0, 0.0]},
    {"method": "rk45"},
    {"method": None},
    {"interpolation": "spline"},
    {"gradient": "adjoint"},
    {"gradient": Adjoint},
    {"gradient": Adjoint()},
]


class Counted:
    """Decay, or what ``spoil`` makes of the state; a solve that asks for ever is stopped."""

    def __init__(self, spoil=None):
        self.spoil, self.calls = spoil or (lambda y: -y), 0

    def __call__(self, t, y):
        self.calls += 1
        if self.calls > 10_000:
            raise Hanging
        return self.spoil(y)


def refused(field, y0, ts, **settings):
    """The solve ends, without a result, and with a sentence."""
    with pytest.raises((ValueError, TypeError, SolverFailure)) as caught:
        solve(field, y0, ts, **settings)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("bad", BAD_SETTINGS, ids=str)
def test_every_setting_that_makes_no_sense_is_refused(bad):
    y0, ts = torch.tensor([1.0, 2.0]), torch.tensor([0, 0.5, 1])
    refused(Counted(), y0, ts, **bad)


@FIXTURE
@given(
    method=every,
    spoilt=st.sets(st.sampled_from(["y0", "ts", "field", "settings"]), min_size=1),
    y0=st.sampled_from(bad_y0()), ts=st.sampled_from(bad_ts()), f=st.sampled_from(BAD_FIELDS),
    bad=st.sampled_from(BAD_SETTINGS), dtype=dtypes,
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_sentence(
    unchecked, method, spoilt, y0, ts, f, bad, dtype
):
    """Whatever is wrong, and however much: no hang, no silent answer, no error from below."""
    field = Counted(f if "field" in spoilt else None)
    start = y0 if "y0" in spoilt else torch.tensor([1.0, 2.0], dtype=dtype)
    times = ts if "ts" in spoilt else torch.tensor([0, 0.5, 1], dtype=F64)
    settings = {"method": method} | (bad if "settings" in spoilt else {})
    refused(field, start, times, **settings)


@FIXTURE
@given(
    y0=st.sampled_from([(), (1.0,), (torch.ones(2), 1.0), (torch.ones(2), None), [torch.ones(2)],
                        (torch.ones(2), torch.ones(1, device="meta"))]),
    method=stepping,
)  # fmt: skip
def test_a_tuple_that_is_no_state_is_refused(unchecked, y0, method):
    ts = torch.tensor([0.0, 1.0])
    with pytest.raises((ValueError, TypeError), match=r"^y0 is (a|an|list)"):
        odeint(lambda t, y: y, y0, ts, method=method)


@FIXTURE
@given(
    output=st.sampled_from([None, 1.0, lambda y: y[0], lambda y: (y[0], None), lambda y: (y[0],),
                            lambda y: (y[0], 1.0), lambda y: (y[1], y[0]), lambda y: ()]),
    method=stepping,
)  # fmt: skip
def test_an_output_that_is_no_tuple_like_the_state_is_refused(unchecked, output, method):
    y0, ts = (torch.ones(2), torch.ones(1)), torch.tensor([0.0, 1.0])
    with pytest.raises((ValueError, TypeError), match="the field returned"):
        odeint(lambda t, y: output(y) if callable(output) else output, y0, ts, method=method)
