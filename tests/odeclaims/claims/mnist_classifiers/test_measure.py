"""What is run under each profile, and how trained nets are evaluated."""

import pandas as pd
import pytest
import torch

from neural_ode.data import MNIST
from neural_ode.training import PUBLISHED_EPOCHS
from odeclaims.cell import Context, Profile
from odeclaims.claims.mnist_classifiers.measure import Spec, alone, cells, measure
from odeclaims.claims.mnist_classifiers.settings import ALL_IMAGES, COMPARED, NETS, RECIPE
from odeclaims.trained import provide, store, work
from odeclaims.trained.publish import publish
from odeclaims.trained.specification import Specification


def networks(profile: Profile) -> list:
    return [c for c in cells(profile) if c.params["kind"] == "network"]


def test_paper_trains_every_net_at_the_published_size():
    paper = networks(Profile("paper"))
    assert {c.params["net"] for c in paper} == set(NETS)
    assert {c.params["epochs"] for c in paper} == {PUBLISHED_EPOCHS}
    assert {c.params["images"] for c in paper} == {ALL_IMAGES}
    assert {c.params["weights"] for c in paper} == {""}
    assert len({c.repetition for c in paper}) == 8


@pytest.mark.parametrize("net", [*COMPARED, "no_block"])
def test_every_net_of_known_depth_maps_digits_to_logits(net):
    size = 0 if net == "no_block" else 2
    model = Spec(4, size).build(net, torch.Generator().manual_seed(0))
    data = MNIST(torch.zeros(2, 28, 28, dtype=torch.uint8), torch.tensor([0, 1]))
    assert model(data.images[:, None].float()).shape == (2, 10)


def test_only_costs_are_measured_alone():
    for cell in cells(Profile("smoke")):
        assert alone(cell) == (cell.params["kind"] == "cost")


TINY = {
    "channels": 2,
    "images": 16,
    "test_images": 30,
    "batch_size": 8,
    "epochs": 1,
    "evaluated": 2,
    "reference_steps": 4,
}


def test_quick_evaluates_what_is_published(tmp_path, monkeypatch):
    specification = Specification(RECIPE, "mlp", 0, TINY)
    monkeypatch.setattr(provide, "find_recipes", lambda: {RECIPE: FakeRecipe([specification])})
    monkeypatch.setattr(store, "published_folder", lambda: tmp_path / "trained")
    assert networks(Profile("quick")) == []
    work.train(specification, tmp_path)
    publish([specification], tmp_path)
    (cell,) = networks(Profile("quick"))
    record = store.read_record(tmp_path / "trained", specification)
    assert cell.params["weights"] == record["weights_sha256"]
    *training, network = measure(cell, Context())
    assert [row["epoch"] for row in training] == [0, 1]
    assert network["test_error"] == record["test_error"] == training[-1]["test_error"]
    assert len(str(network["wrong"]).split()) == round(30 * record["test_error"])
    assert pd.notna(training[-1]["time_s"])


class FakeRecipe:
    def __init__(self, specifications: list[Specification]) -> None:
        self.published = specifications

    def specifications(self) -> list[Specification]:
        return self.published


def test_other_weights_than_those_of_the_cell_are_refused(tmp_path, monkeypatch):
    specification = Specification(RECIPE, "mlp", 0, TINY)
    monkeypatch.setattr(store, "published_folder", lambda: tmp_path / "trained")
    work.train(specification, tmp_path)
    publish([specification], tmp_path)
    with pytest.raises(ValueError, match="expected 000000000000"):
        provide.provide(specification, "0" * 64, Context())
