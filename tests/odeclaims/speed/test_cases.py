"""What is timed: cases, their order in each pass, and how often."""

import pytest

from odeclaims.backends import find_backends
from odeclaims.speed.cases import (
    FIELD,
    PASSES,
    TOLERANCES,
    VJP,
    Case,
    Turn,
    list_cases,
    plan,
    schedule,
)
from odeclaims.workloads import WORKLOADS


def test_a_group_begins_with_the_workloads_own_tolerance():
    backends = list(find_backends().values())
    groups: dict[tuple, list[Case]] = {}
    for case in list_cases(backends):
        groups.setdefault((case.workload, case.backend, case.gradient), []).append(case)
    for group in groups.values():
        assert group[0].at_own_tolerance
        assert not any(case.at_own_tolerance for case in group[1:])
    assert {name for name, *_ in groups} == set(WORKLOADS)
    assert ("conv_forward", "ours", None) in groups
    assert ("conv_gradient", "ours", None) not in groups
    assert ("conv_gradient", "ours", "seminorm") in groups
    assert ("conv_gradient", FIELD, VJP) in groups
    assert {case.tol for case in groups["mlp_forward", "ours_compiled", None]} == set(
        TOLERANCES["mlp_forward"]
    )


def test_every_pass_has_every_case_in_an_order_of_its_own():
    cases = list_cases(find_backends().values())
    turns = schedule(cases)
    assert turns == schedule(cases)
    orders = [[t.case for t in turns if t.number == number] for number in range(PASSES)]
    assert all(set(order) == set(cases) for order in orders)
    assert len({tuple(order) for order in orders}) == PASSES
    assert [t.position for t in turns[: len(cases)]] == list(range(len(cases)))


def test_names_of_cases_are_all_different():
    turns = schedule(list_cases(find_backends().values()))
    assert len({str(turn) for turn in turns}) == len(turns)
    assert str(turns[0]).startswith("pass0-")


@pytest.mark.parametrize(
    ("warm_s", "own", "others"),
    [
        (1e-5, (30, 5), (30, 5)),
        (0.02, (5, 5), (1, 5)),
        (1.5, (1, 2), (1, 1)),
        (60.0, (1, 1), (1, 1)),
    ],
)
def test_slow_cases_are_timed_less_often(warm_s, own, others):
    assert plan(Case("conv_forward", "ours", None, 1e-3), warm_s) == own
    assert plan(Case("conv_forward", "ours", None, 1e-2), warm_s) == others


def test_turns_and_cases_read_well():
    turn = Turn(2, 7, Case("conv_gradient", "ours", "seminorm", 1e-3))
    assert str(turn) == "pass2-conv_gradient-ours-seminorm-1e-03"
