"""The rows of small runs, and what is held out."""

import math

import pytest
import torch

from neural_ode import StepLimit
from odeclaims.cell import Profile, ProfileName
from odeclaims.claims.annulus_generalisation import CLAIM
from odeclaims.claims.annulus_generalisation import measure as room
from odeclaims.claims.annulus_generalisation.settings import (
    AUGMENT_DIMS,
    CITED,
    COMPARED,
    DRAWN,
    TOLERANCES,
    WEDGES,
)
from odeclaims.kits.columns import STAMP_COLUMNS
from odeclaims.kits.toy_models import Frozen
from tests.odeclaims.claims.annulus_generalisation.examples import SMALL, cell, measure


@pytest.mark.parametrize("augment_dim", AUGMENT_DIMS)
def test_a_model_is_trained_and_looked_at(augment_dim):
    df = measure(cell(augment_dim))
    results = df[df["kind"] == "result"]
    assert results["role"].tolist() == list(TOLERANCES)
    columns = ["held_out_accuracy", "seen_accuracy", "training_accuracy", "nfe_forward"]
    assert results[[*columns, *STAMP_COLUMNS]].notna().all(axis=None)
    assert df[df["kind"] == "training"]["epoch"].tolist() == [1, 2]
    drawn = len(df[df["kind"] == "map"])
    assert drawn == (room.MAP_SIDE**2 if augment_dim in COMPARED else 0)


def test_one_wedge_of_some_repetitions_is_drawn():
    assert "map" in set(measure(cell(0, repetition=DRAWN - 1))["kind"])
    for one in (cell(0, repetition=DRAWN), cell(0, "pi/8")):
        assert set(measure(one)["kind"]) == {"training", "result"}


def test_a_training_that_fails_is_left_to_the_runner(monkeypatch):
    monkeypatch.setattr("odeclaims.kits.toy_models.STEP_LIMIT", 1)
    with pytest.raises(StepLimit):
        measure(cell(0, training_tolerance=1e-6))


@pytest.mark.parametrize("wedge", WEDGES)
def test_nothing_of_the_wedge_is_trained_on_and_nothing_else_is_held_out(monkeypatch, wedge):
    """The accuracies of a model that is right in the wedge's angles alone."""
    seen: list[torch.Tensor] = []

    def fit(model, data, size, generator):
        seen.append(data.inputs)
        return []

    def outputs(frozen, x, tolerance):
        inside = torch.atan2(x[:, 1], x[:, 0]) % (2 * math.pi) < WEDGES[wedge]
        target = torch.where(x.norm(dim=1) < 0.75, -1.0, 1.0)
        return torch.where(inside, target, -target)[:, None]

    monkeypatch.setattr(room, "fit", fit)
    monkeypatch.setattr(Frozen, "outputs", outputs)
    df = measure(cell(0, wedge))
    angles = torch.atan2(seen[0][:, 1], seen[0][:, 0]) % (2 * math.pi)
    assert angles.min() >= WEDGES[wedge]
    assert len(angles) < SMALL["points"]
    results = df[df["kind"] == "result"]
    assert (results["held_out_accuracy"] == 1).all()
    assert (results["seen_accuracy"] == 0).all()
    assert (results["training_accuracy"] == 0).all()


def test_the_disc_has_a_third_of_the_weight():
    assert room._weighted(1, 0) == pytest.approx(1 / 3)
    assert room._weighted(0, 1) == pytest.approx(2 / 3)


def counts(profile: ProfileName) -> dict[tuple[str, int], int]:
    """How many seeds each width and dimension has."""
    found: dict[tuple[str, int], int] = {}
    for one in CLAIM.cells(Profile(profile)):
        key = (one.params["wedge"], one.params["augment_dim"])
        found[key] = found.get(key, 0) + 1
    return found


def test_the_central_arms_have_forty_seeds_and_quick_runs_no_more_than_it_can_judge():
    at_quick = {(CITED, 0): 40, (CITED, 1): 16, (CITED, 5): 40}
    assert counts("quick") == at_quick
    elsewhere = {(wedge, p): 20 for wedge in ("pi/8", "pi/3") for p in COMPARED}
    assert counts("paper") == {**at_quick, **elsewhere}


def test_widths_and_dimensions_share_their_sample():
    seeds: dict[int, set[int]] = {}
    for one in CLAIM.cells(Profile("paper")):
        seeds.setdefault(one.repetition, set()).add(one.seed)
    assert len(seeds) == 40
    assert all(len(each) == 1 for each in seeds.values())
