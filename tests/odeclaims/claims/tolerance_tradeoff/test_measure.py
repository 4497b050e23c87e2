"""The rows of a small run."""

import pandas as pd
import pytest
import torch

from neural_ode.data import MNIST, mnist
from neural_ode.networks import OdeClassifier
from odeclaims.cell import Context, Profile
from odeclaims.claims.tolerance_tradeoff import CLAIM, measure
from odeclaims.claims.tolerance_tradeoff.settings import CLASSIFIER, METHODS
from odeclaims.claims.tolerance_tradeoff.show import figure, table


def digits(count: int) -> MNIST:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 28, 28), generator=generator, dtype=torch.uint8)
    return MNIST(images, torch.arange(count) % 10)


@pytest.fixture(scope="module")
def smoke() -> pd.DataFrame:
    """The rows of the smoke run on noise, with the error rates that it is too small for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "load", lambda split: digits(20))
        patch.setattr(measure, "WORTH_CLASSIFYING", 1.0)
        patch.setattr(measure, "REFERENCE_STEPS", 16)
        (cell,) = CLAIM.cells(Profile("smoke"))
        common = {**cell.params, "repetition": 0, "status": "ok", "device": "cpu"}
        rows = [{**common, **row} for row in CLAIM.measure(cell, Context())]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_smoke_solves_by_every_method_and_classifies_at_every_tolerance(smoke):
    assert (smoke["status"] == "ok").all()
    assert smoke["method"].value_counts().to_dict() == dict.fromkeys((*METHODS, CLASSIFIER), 3)
    assert smoke["test_error"].between(0, 1).all()
    solved = smoke[smoke["method"] != CLASSIFIER]
    assert solved[["nfe_forward", "error", "time_s", "gradient_error"]].gt(0).all(axis=None)
    assert CLAIM.judge(smoke).scale == "toy"


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_smoke_is_enough_for_a_figure_and_a_table(smoke):
    assert len(figure(smoke).axes) == 3
    rows = table(smoke)
    assert list(rows["method"].unique()) == [*METHODS, CLASSIFIER]
    assert rows[rows["method"] == CLASSIFIER]["test error (%)"].astype(float).between(0, 100).all()


def test_classifying_leaves_the_net_as_it_is(monkeypatch):
    monkeypatch.setattr(mnist, "load", lambda split: digits(20))
    net = OdeClassifier(4, generator=torch.Generator().manual_seed(0), rtol=0.1, atol=0.1)
    assert len(measure._classify(net, [1.0, 0.1])) == 2
    assert net.block.solver["rtol"] == 0.1


@pytest.mark.slow(reason="a network is trained")
def test_what_has_not_learnt_is_not_classified(monkeypatch):
    monkeypatch.setattr(mnist, "load", lambda split: digits(20))
    monkeypatch.setattr(measure, "METHODS", ())
    monkeypatch.setattr(measure, "REFERENCE_STEPS", 2)
    monkeypatch.setattr(measure, "WORTH_CLASSIFYING", -1.0)
    (cell,) = CLAIM.cells(Profile("smoke"))
    assert CLAIM.measure(cell, Context()) == []
