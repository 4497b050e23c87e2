"""What is run under each profile, and the nets."""

import pytest
import torch

from neural_ode.data import MNIST
from neural_ode.training import PUBLISHED_EPOCHS
from odeclaims.cell import Profile
from odeclaims.claims.mnist_classifiers.measure import Spec, alone, cells
from odeclaims.claims.mnist_classifiers.settings import ALL_IMAGES, NETS


def test_arms_of_one_seed_see_the_same_images_and_paper_has_both_stems():
    paper = [c for c in cells(Profile("paper")) if c.params["kind"] == "training"]
    assert len({c.seed for c in paper if c.repetition == 0}) == 1
    assert {c.params["downsampling"] for c in paper} == {"conv", "res"}
    assert {c.params["epochs"] for c in paper} == {PUBLISHED_EPOCHS}
    assert {c.params["images"] for c in paper} == {ALL_IMAGES}
    assert len({c.repetition for c in paper}) == 3


@pytest.mark.parametrize("net", NETS)
def test_every_net_maps_digits_to_logits(net):
    model = Spec(4, "conv").build(net, torch.Generator().manual_seed(0))
    data = MNIST(torch.zeros(2, 28, 28, dtype=torch.uint8), torch.tensor([0, 1]))
    assert model(data.images[:, None].float()).shape == (2, 10)


@pytest.mark.parametrize(
    ("profile", "together"),
    [
        (Profile("quick"), False),
        (Profile("paper"), False),
        (Profile("hour"), True),
        (Profile("paper", device="cuda"), True),
    ],
)
def test_nets_are_trained_side_by_side_in_an_hour_and_on_a_gpu(profile, together):
    by_kind = {"training": set(), "cost": set()}
    for cell in cells(profile):
        by_kind[cell.params["kind"]].add(alone(cell))
    assert by_kind == {"training": {not together}, "cost": {True}}


def test_an_hour_is_the_published_net_with_the_schedule_pressed_into_its_epochs():
    trainings = [c.params for c in cells(Profile("hour")) if c.params["kind"] == "training"]
    assert {params["net"] for params in trainings} == set(NETS)
    for params in trainings:
        assert (params["channels"], params["images"]) == (64, ALL_IMAGES)
        assert params["schedule"] == params["epochs"]
    assert all("schedule" not in c.params for c in cells(Profile("paper")))
