"""The training loop of the toy claims, and the look at a frozen flow."""

import math

import pytest
import torch

from neural_ode import StepLimit
from neural_ode.data import Points, concentric_spheres
from neural_ode.networks import ResidualModel, augmented_model
from odeclaims.kits.columns import STAMP_COLUMNS
from odeclaims.kits.toy_models import (
    Frozen,
    accuracies,
    accuracy,
    at,
    by_volume,
    circle,
    fit,
    six_digits,
    spheres,
    spheres_grid,
    training_epochs,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


DATA = concentric_spheres(10, 30, generator=generator())
BUDGET = {"epochs": 3, "batch_size": 16, "learning_rate": 5e-3}


def test_training_lowers_the_loss_and_counts_evaluations():
    model = augmented_model(2, 8, augment_dim=1, generator=generator(), **at(1e-3))
    rows = fit(model, DATA, BUDGET, generator())
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    losses = [float(str(row["loss"])) for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert all(float(str(row["training_nfe"])) >= 8 for row in rows)


def test_a_run_is_its_seed():
    def run(seed: int) -> list:
        model = augmented_model(2, 8, generator=generator(), **at(1e-3))
        return fit(model, DATA, BUDGET, generator(seed))

    assert run(0) == run(0) != run(1)


def test_what_has_no_solver_has_no_evaluations():
    rows = fit(ResidualModel(2, 8, generator=generator()), DATA, BUDGET, generator())
    assert [row["training_nfe"] for row in rows] == [None] * 3


def test_a_model_may_be_looked_at_between_two_epochs():
    def run(epochs):
        model = augmented_model(2, 8, augment_dim=1, generator=generator(), **at(1e-3))
        return model, training_epochs(
            model, DATA, generator=generator(), **{**BUDGET, "epochs": epochs}
        )

    model, rows = run(3)
    first = next(rows)
    alone, shorter = run(1)
    assert [first] == list(shorter)
    for p, q in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(p, q)
    assert [row["epoch"] for row in rows] == [2, 3]


def test_a_failed_solve_stops_the_training():
    model = augmented_model(2, 8, generator=generator(), rtol=1e-6, atol=1e-6, max_num_steps=1)
    with pytest.raises(StepLimit):
        fit(model, DATA, BUDGET, generator())


def test_a_frozen_flow_is_looked_at_and_left_alone():
    model = augmented_model(2, 8, augment_dim=1, generator=generator(), **at(1e-3))
    before = [p.clone() for p in model.parameters()]
    frozen = Frozen(model, DATA.inputs[:4], reference_steps=64)
    loose, tight = frozen.observe(1e-2), frozen.observe(1e-7)
    assert set(STAMP_COLUMNS) <= set(tight)
    for column in ("reconstruction_error", "gradient_error"):
        assert float(str(tight[column])) < float(str(loose[column]))
    assert int(str(tight["nfe_forward"])) > int(str(loose["nfe_forward"]))
    assert tight["valid"]
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_the_flow_of_a_frozen_model_is_that_of_the_model():
    model = augmented_model(2, 8, augment_dim=1, generator=generator(), **at(1e-6))
    frozen = Frozen(model, DATA.inputs, reference_steps=2)
    states = frozen.flow(DATA.inputs, torch.tensor([0.0, 0.5, 1.0]), 1e-6)
    assert states.shape == (3, 40, 3)
    assert states.dtype == torch.float64
    torch.testing.assert_close(states[-1].float(), model.features(DATA.inputs), rtol=0, atol=1e-4)
    assert torch.equal(frozen.end(DATA.inputs, 1e-6), states[-1])
    assert torch.equal(frozen.outputs(DATA.inputs, 1e-6), frozen.model.head(states[-1]))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_every_point_of_a_region_stands_for_the_same_share(dim):
    """The mean of |x|^dim over a shell is the middle between its least and its largest value."""
    grid = spheres_grid(6, torch.eye(dim, dtype=torch.float64))
    powers = grid.inputs.norm(dim=1) ** dim
    inner = grid.targets[:, 0] < 0
    assert len(grid.inputs) == 2 * 6 * dim
    assert float(powers[inner].mean()) == pytest.approx(0.5**dim / 2)
    assert float(powers[~inner].mean()) == pytest.approx((1 + 1.5**dim) / 2)
    assert powers[inner].max() < 0.5**dim < 1 < powers[~inner].min()


def test_arcs_are_equal_and_stay_between_their_ends():
    angles = torch.atan2(*circle(5, 0.1, 1.1).T.flip(0))
    torch.testing.assert_close(angles, torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0]).double())
    torch.testing.assert_close(circle(4)[0], torch.full((2,), math.sqrt(0.5)).double())


def test_an_output_of_zero_is_on_no_side():
    points = Points(torch.zeros(4, 1), torch.tensor([[-1.0], [-1.0], [1.0], [1.0]]))
    outputs = torch.tensor([[-0.1], [0.0], [0.0], [0.0]])
    assert accuracies(outputs, points) == (0.5, 0.0)
    assert accuracy(outputs, points) == 0.25


def test_a_third_of_the_points_lies_in_the_ball():
    points = spheres(31, 3, generator=generator())
    inner = points.targets[:, 0] < 0
    assert (int(inner.sum()), int((~inner).sum()), points.inputs.shape[1]) == (10, 21, 3)
    assert points.inputs[inner].norm(dim=1).max() <= 0.5


@pytest.mark.parametrize(("dim", "share"), [(1, 1 / 2), (2, 5 / 6)])
def test_the_shell_has_its_share_of_the_volume(dim, share):
    """Ball and shell have volumes 1 and 1 on a line, pi / 4 and 5 pi / 4 in the plane."""
    assert by_volume(0, 1, dim) == pytest.approx(share)
    assert by_volume(1, 0, dim) == pytest.approx(1 - share)


def test_numbers_for_pictures_have_six_digits():
    assert six_digits(torch.tensor(1 / 3, dtype=torch.float64)) == 0.333333
