"""The toy problems: shapes, labels, radii and their two distributions, wedges, seeds."""

import math

import pytest
import torch

from neural_ode.data import Points, concentric_spheres, crossing, shifted_sines, split_wedge


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_crossing_has_half_of_its_points_on_either_side():
    inputs, targets = crossing(500)
    assert inputs.shape == targets.shape == (500, 1)
    assert torch.equal(targets, -inputs)
    assert inputs.sum() == 0
    assert inputs.abs().eq(1).all()


def test_crossing_with_spread_keeps_the_targets():
    inputs, targets = crossing(400, 0.1, generator=generator())
    assert torch.equal(inputs.sign(), -targets)
    assert (inputs + targets).std() == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("sampling", ["published", "uniform"])
def test_spheres_are_a_ball_and_a_shell(dim, sampling):
    inputs, targets = concentric_spheres(50, 150, dim, sampling=sampling, generator=generator())
    assert inputs.shape == (200, dim)
    assert targets.shape == (200, 1)
    radii = inputs.norm(dim=1)
    assert targets[:50].eq(-1).all()
    assert targets[50:].eq(1).all()
    assert radii[:50].max() <= 0.5
    assert radii[50:].min() >= 1
    assert radii[50:].max() <= 1.5 + 1e-6
    assert (inputs.mean(dim=0).abs() < 0.3).all()


@pytest.mark.parametrize("dim", [2, 3])
def test_only_one_sampling_is_uniform_in_volume(dim):
    a, b = 1.0, 1.5
    shares = {}
    for sampling in ("published", "uniform"):
        inputs, _ = concentric_spheres(1, 20_000, dim, sampling=sampling, generator=generator(dim))
        radii = inputs[1:].norm(dim=1)
        shares[sampling] = float(((radii**dim - a**dim) / (b**dim - a**dim)).mean())
        if sampling == "published":
            # E r = a + (b - a) d / (d + 1).
            assert radii.mean() == pytest.approx(a + (b - a) * dim / (dim + 1), abs=0.005)
    assert shares["uniform"] == pytest.approx(0.5, abs=0.01)
    assert shares["published"] > 0.55


def test_both_samplings_agree_on_the_ball():
    first, second = (
        concentric_spheres(30, 1, 3, sampling=sampling, generator=generator()).inputs[:30]
        for sampling in ("published", "uniform")
    )
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_sines_are_one_above_the_other(dim):
    inputs, targets = shifted_sines(300, 200, dim, generator=generator())
    assert inputs.shape == (500, dim)
    assert targets[:300].eq(1).all()
    assert targets[300:].eq(-1).all()
    heights = inputs[:, min(dim - 1, 1)]
    if dim > 1:
        heights = heights - torch.sin(math.pi * inputs[:, 0])
        rest = heights - 0.7 * targets[:, 0]
        assert rest.std() == pytest.approx(0.1, rel=0.15)
    assert heights[:300].mean() - heights[300:].mean() == pytest.approx(1.4, abs=0.2)


def test_a_wedge_is_split_off():
    points = concentric_spheres(100, 300, generator=generator())
    kept, held = split_wedge(points, 0, math.pi / 5)
    assert len(kept.inputs) + len(held.inputs) == 400
    angle = torch.atan2(held.inputs[:, 1], held.inputs[:, 0])
    assert (angle >= 0).all()
    assert (angle < math.pi / 5).all()
    assert len(held.inputs) == pytest.approx(40, abs=20)
    assert len(held.targets) == len(held.inputs)


def test_a_wedge_may_pass_the_angle_where_counting_begins():
    corners = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]])
    points = Points(corners, torch.ones(4, 1))
    _, right = split_wedge(points, -0.5, 0.5)
    _, left = split_wedge(points, math.pi - 0.5, math.pi + 0.5)
    assert torch.equal(right.inputs, corners[:2])
    assert torch.equal(left.inputs, corners[2:])


@pytest.mark.parametrize(
    "make",
    [
        lambda g: crossing(10, 0.1, generator=g),
        lambda g: concentric_spheres(5, 5, generator=g),
        lambda g: shifted_sines(5, 5, generator=g),
    ],
)
def test_points_come_from_the_generator_alone(make):
    first = make(generator())
    torch.rand(5)
    assert torch.equal(first.inputs, make(generator()).inputs)
    assert not torch.equal(first.inputs, make(generator(1)).inputs)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: concentric_spheres(1, 1, sampling="flat"),
            "sampling is 'flat', expected 'published' or 'uniform'",
        ),
        (lambda: concentric_spheres(1, 1, 0), "dim is 0, expected at least 1"),
        (lambda: shifted_sines(1, 1, 0), "dim is 0, expected at least 1"),
        (lambda: split_wedge(crossing(4), 0, 1), "points of dimension 1 have no angle"),
    ],
)
def test_what_makes_no_sense_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
