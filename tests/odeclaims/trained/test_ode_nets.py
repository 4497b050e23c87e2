"""Which nets the claims about evaluations take from the pool."""

import pytest
from torch import nn

from odeclaims.cell import Context, Profile
from odeclaims.trained import ode_nets
from odeclaims.trained.specification import Specification

SIZE = {**ode_nets.SMALLEST, "channels": 2}


@pytest.fixture
def two_recipes(monkeypatch):
    """What is published: two nets of either recipe, and one that is no ODE-Net."""

    def published(recipe: str) -> list[tuple[Specification, str]]:
        nets = [(ode_nets.NET, 0), ("resnet", 0), (ode_nets.NET, 3)]
        return [(Specification(recipe, net, seed, SIZE), f"{recipe}{seed}") for net, seed in nets]

    monkeypatch.setattr(ode_nets, "published", published)


@pytest.mark.parametrize(
    ("profile", "recipe"),
    [("quick", "reduced_ode_net"), ("hour", "reduced_ode_net"), ("paper", "table1")],
)
def test_a_profile_takes_the_ode_nets_of_its_size(two_recipes, profile, recipe):
    cells = list(ode_nets.network_cells(Profile(profile), "a_claim", task="mnist"))
    assert [cell.repetition for cell in cells] == [0, 3]
    assert [cell.params["weights"] for cell in cells] == [f"{recipe}0", f"{recipe}3"]
    assert all(cell.params["task"] == "mnist" for cell in cells)
    expected = [Specification(recipe, ode_nets.NET, seed, SIZE) for seed in (0, 3)]
    assert [ode_nets.specify(cell) for cell in cells] == expected


def test_fewer_seeds_take_the_first_nets(two_recipes):
    cells = list(ode_nets.network_cells(Profile("quick", seeds=1), "a_claim"))
    assert [cell.repetition for cell in cells] == [0]


def test_smoke_trains_a_tiny_net():
    (cell,) = ode_nets.network_cells(Profile("smoke"), "a_claim")
    network = ode_nets.take_network(cell, Context())
    assert network.history.query("kind == 'epoch'")["epoch"].tolist() == [0, 1, 2]
    assert ode_nets.as_classifier(network.model).field is not None


def test_a_network_of_another_kind_is_named():
    with pytest.raises(TypeError, match="the network is a Linear, expected an OdeClassifier"):
        ode_nets.as_classifier(nn.Linear(1, 1))
