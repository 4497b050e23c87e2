"""Evaluations that whole steps do not explain."""

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural_ode import solve
from odeclaims.kits.quantities import beyond_whole_steps

STEPS = st.lists(st.integers(1, 50), min_size=1, max_size=20)


def rows(counts, solver: str | None = "ours", **more):
    return pd.DataFrame({"nfe_forward": counts, "solver": solver, **more})


@given(STEPS)
def test_two_and_six_a_step_leave_nothing_of_ours(steps):
    assert set(beyond_whole_steps(rows([2 + 6 * n for n in steps]))) == {0}


@given(STEPS, st.integers(0, 1), st.integers(3, 5))
def test_any_other_number_before_the_first_step_is_a_fault_of_ours(steps, fewer, more):
    for before in (fewer, more):
        left = beyond_whole_steps(rows([before + 6 * n for n in steps]))
        assert all(each != 0 for each in left)


@given(STEPS, st.integers(0, 5))
def test_another_solver_may_take_any_number_before_its_first_step(steps, before):
    counts = rows([before + 6 * n for n in steps], "diffrax")
    assert set(beyond_whole_steps(counts)) == {0}


@pytest.mark.parametrize("solver", ["ours", "diffrax"])
def test_a_count_unlike_the_others_is_found(solver):
    assert beyond_whole_steps(rows([8, 14, 21, 26], solver)) == [0, 0, 1, 0]


def test_rows_that_name_no_solver_are_held_to_ours():
    assert beyond_whole_steps(rows([7, 13], None)) == [5, 5]


def test_each_start_takes_its_own_evaluations():
    counts = {"nfe_backward": [8, 16, 17], "intervals": [1, 2, 2]}
    frame = pd.DataFrame({**counts, "solver": "ours"})
    assert beyond_whole_steps(frame, "nfe_backward", starts="intervals") == [0, 0, 1]


@given(st.floats(-3, 1), st.floats(1e-7, 1e-3))
def test_real_solves_take_whole_steps(rate, rtol):
    solved = solve(lambda t, y: rate * y, torch.ones(1), torch.tensor([0.0, 1.0]), rtol=rtol)
    assert beyond_whole_steps(rows([solved.stats.nfe_forward])) == [0]
