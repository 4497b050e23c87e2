"""What is run under each profile, and the nets."""

import pytest
import torch

from neural_ode.data import MNIST, mnist
from neural_ode.training import PUBLISHED_EPOCHS
from odeclaims.cell import Cell, Context, Profile
from odeclaims.claims.mnist_classifiers.measure import (
    Spec,
    _data_generator,
    alone,
    cells,
    measure,
)
from odeclaims.claims.mnist_classifiers.settings import ALL_IMAGES, NETS
from odeclaims.kits import digits


def test_arms_of_one_seed_see_the_same_images_and_paper_has_both_stems():
    paper = [c for c in cells(Profile("paper")) if c.params["kind"] == "training"]
    assert len({c.seed for c in paper if c.repetition == 0}) == 1
    assert {c.params["downsampling"] for c in paper} == {"conv", "res"}
    assert {c.params["epochs"] for c in paper} == {PUBLISHED_EPOCHS}
    assert {c.params["images"] for c in paper} == {ALL_IMAGES}
    assert len({c.repetition for c in paper}) == 8


@pytest.mark.parametrize("net", NETS)
def test_every_net_maps_digits_to_logits(net):
    model = Spec(4, "conv").build(net, torch.Generator().manual_seed(0))
    data = MNIST(torch.zeros(2, 28, 28, dtype=torch.uint8), torch.tensor([0, 1]))
    assert model(data.images[:, None].float()).shape == (2, 10)


@pytest.mark.parametrize(
    ("profile", "together"),
    [
        (Profile("smoke"), False),
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


def test_an_hour_presses_the_schedule_into_its_epochs():
    trainings = [c.params for c in cells(Profile("hour")) if c.params["kind"] == "training"]
    assert {params["net"] for params in trainings} == set(NETS)
    assert all(params["schedule"] == params["epochs"] for params in trainings)
    assert all("schedule" not in c.params for c in cells(Profile("paper")))


def test_what_cannot_be_judged_is_not_trained():
    assert {c.params["kind"] for c in cells(Profile("quick"))} == {"cost"}


def test_nets_of_one_seed_see_the_same_images_in_the_same_order(monkeypatch):
    seen = {}

    class Seen(Exception):
        pass

    def note(model, data, test, cell, context, generator, **settings):
        order = torch.randperm(1000, generator=generator)
        seen.setdefault(cell.params["net"], (data.images, order, settings))
        raise Seen

    images = torch.arange(40, dtype=torch.uint8)[:, None, None].expand(40, 28, 28)
    monkeypatch.setattr(mnist, "load", lambda split: MNIST(images, torch.arange(40) % 10))
    monkeypatch.setattr(digits, "train", note)
    trainings = [c for c in cells(Profile("smoke")) if c.params["kind"] == "training"]
    for cell in trainings:
        with pytest.raises(Seen):
            measure(cell, Context())
    assert set(seen) == set(NETS)
    first_images, first_order, _ = seen["mlp"]
    for drawn, order, _ in seen.values():
        assert torch.equal(drawn, first_images)
        assert torch.equal(order, first_order)


def test_another_seed_sees_other_images_and_weights_take_none_of_them():
    one, other = (_data_generator(Cell("mnist_classifiers", {}, r)) for r in (0, 1))
    assert not torch.equal(torch.rand(4, generator=one), torch.rand(4, generator=other))
    own = Cell("mnist_classifiers", {}, 0).generator()
    again = _data_generator(Cell("mnist_classifiers", {}, 0))
    assert not torch.equal(torch.rand(4, generator=own), torch.rand(4, generator=again))
