"""Table 1 judged on made-up rows: each statement can fail, and too little training is said."""

import numpy as np
import pytest

from neural_ode.data import mnist
from neural_ode.training import PUBLISHED_EPOCHS
from odeclaims.claims.mnist_classifiers import CLAIM, judge
from odeclaims.claims.mnist_classifiers.judge import caveats
from odeclaims.claims.mnist_classifiers.settings import ALL_IMAGES, NETS
from odeclaims.statement import Judgement
from tests.odeclaims.claims.mnist_classifiers.examples import ERRORS, costs, frame, training


def test_the_published_budget_is_that_of_the_recipe_and_of_the_data():
    assert judge.PUBLISHED_EPOCHS == PUBLISHED_EPOCHS
    assert len(mnist.load("train").images) == ALL_IMAGES


def test_every_net_has_a_name():
    assert tuple(judge.NAMES) == NETS


ORDERS = {
    "ode_net_memory_is_constant",
    "resnet_memory_is_linear",
    "rk_net_memory_is_linear",
    "ode_net_time_is_linear",
    "resnet_time_is_linear",
    "rk_net_time_is_linear",
}


def judgements(rows) -> dict[str, Judgement]:
    return {j.statement.name: j for j in CLAIM.judge(frame(rows)).judgements}


def others(rows) -> dict[str, str]:
    """The outcomes of the statements that do not hold."""
    return {n: j.outcome for n, j in judgements(rows).items() if j.outcome != "reproduced"}


# With the published numbers a net without a block is 0.16 points worse, which is too near to 0.15.
NEAR = {"no_block_equals_ode_net": "undecided"}


def test_the_published_numbers_reproduce_the_claim():
    verdict = CLAIM.judge(frame(training() + costs()))
    assert verdict.summary == "5 of 5 reproduced"
    assert verdict.scale == "published size"
    assert others(training() + costs()) == NEAR
    assert any("not evidence of a benefit" in caveat for caveat in verdict.caveats)


@pytest.mark.parametrize(
    ("change", "refuted"),
    [
        (
            {"ode_net": 1.1},
            {
                "ode_net_equals_resnet",
                "ode_net_error",
                "one_block_equals_ode_net",
                "no_block_equals_ode_net",
            },
        ),
        ({"rk_net": 0.9}, {"rk_net_equals_resnet", "rk_net_error"}),
        ({"one_block": 0.9}, {"one_block_equals_ode_net"}),
        ({"no_block": 1.0}, {"no_block_equals_ode_net"}),
        ({"no_block": 0.45}, set()),
        ({"resnet": 1.0}, {"resnet_error", "ode_net_equals_resnet", "rk_net_equals_resnet"}),
    ],
)
def test_each_statement_on_errors_can_fail(change, refuted):
    near = {} if "no_block" in change else NEAR
    expected = near | dict.fromkeys(refuted, "not reproduced")
    assert others(training(ERRORS | change) + costs()) == expected


def test_a_gap_that_seeds_disagree_on_is_undecided():
    rows = training()
    for row in rows:
        if row["kind"] == "network" and row["net"] == "ode_net" and row["repetition"] % 2:
            row["wrong"] += " " + " ".join(map(str, range(9000, 9030)))
    found = judgements(rows + costs())["ode_net_equals_resnet"]
    assert found.outcome == "undecided"
    assert found.decision is not None
    assert found.decision.seeds_needed is None or found.decision.seeds_needed > 8


def test_the_answers_to_each_digit_decide():
    """Equal counts of errors on other digits have a gap of 0, and more chance in it."""
    rows, other = training(), training()
    for row in other:
        if row["kind"] == "network" and row["net"] == "ode_net":
            places = [9999 - int(place) for place in row["wrong"].split()]
            row["wrong"] = " ".join(map(str, sorted(places)))
    same, moved = (judgements(r + costs())["ode_net_equals_resnet"].decision for r in (rows, other))
    assert same is not None
    assert moved is not None
    assert same.value == pytest.approx(0.01)
    assert moved.value == pytest.approx(0.01)
    assert same.interval is not None
    assert moved.interval is not None
    assert np.ptp(moved.interval) > 2 * np.ptp(same.interval)


def test_a_net_without_a_fault_is_read_back_as_a_gap():
    rows = training(dict.fromkeys(ERRORS, 0.1))
    for row in rows:
        if row["kind"] == "network" and row["net"] == "resnet":
            row |= {"wrong": np.nan, "test_error": 0.0}
    decision = judgements(rows + costs())["ode_net_equals_resnet"].decision
    assert decision is not None
    assert decision.value == pytest.approx(0.105)


@pytest.mark.parametrize(
    ("memory", "duration", "refuted"),
    [
        ({"resnet": 0.5}, {}, "resnet_memory_is_linear"),
        ({"rk_net": 0}, {}, "rk_net_memory_is_linear"),
        ({"ode_net": 1}, {}, "ode_net_memory_is_constant"),
        ({}, {"resnet": 2}, "resnet_time_is_linear"),
        ({}, {"rk_net": 0.5}, "rk_net_time_is_linear"),
        ({}, {"ode_net": 2}, "ode_net_time_is_linear"),
    ],
)
def test_each_order_can_fail(memory, duration, refuted):
    found = others(training() + costs(memory, duration))
    assert found == NEAR | {refuted: "not reproduced"}


@pytest.mark.parametrize(
    ("rows", "lacking"),
    [
        (training(seeds=4), "4 of at least 5 seeds"),
        (training(dict.fromkeys(ERRORS, 2.5)), "the median test error of ODE-Net is 0.025"),
        ([], "0 of at least 5 seeds"),
    ],
)
def test_errors_need_seeds_of_nets_that_have_learnt(rows, lacking):
    found = judgements(rows + costs())
    assert {name for name, j in found.items() if j.outcome == "insufficient"} == set(found) - ORDERS
    assert found["ode_net_equals_resnet"].lacking.startswith(lacking)


def test_a_published_number_is_compared_at_published_size():
    found = judgements(training(epochs=12, images=60_000) + costs())
    assert found["ode_net_error"].lacking == "12 epochs of 60000 images, not 160 of 60000"
    assert found["ode_net_equals_resnet"].outcome == "reproduced"


def test_a_toy_training_says_nothing():
    verdict = CLAIM.judge(frame(training(epochs=2, images=2048) + costs()))
    assert verdict.scale == "toy"
    assert {j.outcome for j in verdict.judgements} == {"insufficient"}


def test_costs_alone_are_judged_by_the_size_of_their_update():
    verdict = CLAIM.judge(frame(costs()))
    assert verdict.scale == "published size"
    assert {n for n, j in judgements(costs()).items() if j.outcome == "reproduced"} == ORDERS


@pytest.mark.parametrize(
    ("kind", "column", "rested"),
    [("network", "parameters", False), ("cost", "nfe_forward", True)],
)
def test_a_failed_check_invalidates_what_rests_on_it(kind, column, rested):
    rows = training() + costs()
    for row in rows:
        if row["kind"] == kind and row["net"] == "ode_net":
            row[column] = 10**6
    invalid = {name for name, outcome in others(rows).items() if outcome == "invalid"}
    assert invalid == (ORDERS if rested else set(judgements(rows)) - ORDERS)


def test_the_budget_is_a_caveat():
    (first, *_) = caveats(frame(training(epochs=5) + costs()))
    assert first.startswith("The nets were trained for 5 epochs of 60000 images at 64 channels")
    assert not any("were trained for" in caveat for caveat in caveats(frame(training() + costs())))
