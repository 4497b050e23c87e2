"""Table 1 judged on made-up rows: each criterion can fail, and too little training is said."""

import pytest

from neural_ode.data import mnist
from neural_ode.training import PUBLISHED_EPOCHS
from odeclaims.claims.mnist_classifiers import CLAIM, judge
from odeclaims.claims.mnist_classifiers.judge import caveats
from odeclaims.claims.mnist_classifiers.settings import ALL_IMAGES, NETS
from tests.odeclaims.claims.mnist_classifiers.examples import ERRORS, costs, frame, training


def test_the_published_budget_is_that_of_the_recipe_and_of_the_data():
    assert judge.PUBLISHED_EPOCHS == PUBLISHED_EPOCHS
    assert len(mnist.load("train").images) == ALL_IMAGES


def test_every_net_has_a_name():
    assert tuple(judge.NAMES) == NETS


def outcomes(rows):
    return [judgement.outcome for judgement in CLAIM.judge(frame(rows)).judgements]


def test_the_published_numbers_reproduce_the_claim():
    verdict = CLAIM.judge(frame(training() + costs()))
    assert verdict.outcome == "reproduced"
    # The control that the paper lacks does as well as its ODE-Net.
    control = next(j for j in verdict.judgements if not j.criterion.decides)
    assert control.outcome == "not reproduced"
    assert any("not evidence of a benefit" in caveat for caveat in verdict.caveats)


@pytest.mark.parametrize(
    ("change", "index", "outcome"),
    [
        ({"ode_net": 0.65, "no_block": 2.0, "one_block": 2.0}, 0, "partly"),
        ({"ode_net": 0.95}, 0, "not reproduced"),
        ({"resnet": 0.9, "rk_net": 0.9, "ode_net": 0.9}, 1, "partly"),
        ({"rk_net": 1.2}, 1, "not reproduced"),
        ({"one_block": 0.8, "no_block": 0.9}, 2, "reproduced"),
    ],
)
def test_error_rates_decide(change, index, outcome):
    assert outcomes(training(ERRORS | change) + costs())[index] == outcome


@pytest.mark.parametrize(
    ("memory", "duration", "index"),
    [
        ({"resnet": 0.5}, {}, 3),
        ({"rk_net": 0}, {}, 4),
        ({"ode_net": 1}, {}, 5),
        ({}, {"resnet": 2}, 6),
        ({}, {"rk_net": 0.5}, 7),
        ({}, {"ode_net": 2}, 8),
    ],
)
def test_orders_decide(memory, duration, index):
    judged = outcomes(training() + costs(memory, duration))
    assert judged[index] == "not reproduced"
    assert judged[3:].count("reproduced") == 5


@pytest.mark.parametrize(
    "rows",
    [
        training(epochs=2),
        training(images=2048),
        training(dict.fromkeys(("resnet", "ode_net"), 0.4)),
        training(seeds=2),
    ],
)
def test_a_short_training_is_no_evidence(rows):
    assert outcomes(rows + costs())[:3] == ["insufficient"] * 3


def test_the_budget_is_a_caveat():
    (first, *_) = caveats(frame(training(epochs=5) + costs()))
    assert first.startswith("Trained for 5 epochs of 60000 images at 64 channels, not for 160")
    assert not any("Trained for" in caveat for caveat in caveats(frame(training() + costs())))
