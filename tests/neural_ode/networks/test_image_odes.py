"""The ANODE paper's image models: published parameter counts, and what lift, time and flow do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_ode import Adjoint, solve
from neural_ode.networks import ImageField, ImageOdeModel


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        # MNIST and CIFAR-10 in the paper's Table 1.
        ({"filters": 92}, 84_395),
        ({"filters": 64, "augment_dim": 5}, 84_816),
        ({"filters": 125, "shape": (3, 32, 32)}, 172_358),
        ({"filters": 64, "augment_dim": 10, "shape": (3, 32, 32)}, 171_799),
        # The released configuration, whose fields depend on time.
        ({"filters": 92, "time_dependent": True}, 85_316),
        ({"filters": 64, "augment_dim": 5, "time_dependent": True}, 85_462),
        ({"filters": 125, "time_dependent": True, "shape": (3, 32, 32)}, 173_611),
        ({"filters": 64, "augment_dim": 10, "time_dependent": True, "shape": (3, 32, 32)}, 172_452),
    ],
)
def test_models_have_the_published_parameters(settings, count):
    assert parameters(ImageOdeModel(**settings)) == count


@settings(max_examples=20, deadline=None)
@given(
    filters=st.integers(1, 6),
    augment_dim=st.integers(0, 4),
    time_dependent=st.booleans(),
    channels=st.integers(1, 3),
    side=st.integers(1, 5),
)
def test_any_image_becomes_ten_logits(filters, augment_dim, time_dependent, channels, side):
    model = ImageOdeModel(
        filters,
        augment_dim=augment_dim,
        time_dependent=time_dependent,
        shape=(channels, side, side),
        generator=generator(),
    )
    images = torch.rand(2, channels, side, side, generator=generator())
    assert model(images).shape == (2, 10)
    lifted = model.lift(images)
    assert lifted.shape == (2, channels + augment_dim, side, side)
    assert torch.equal(lifted[:, :channels], images)
    assert not lifted[:, channels:].any()


def test_the_field_is_three_convolutions_written_out():
    """A pixel's derivative from the sums of the convolutions, without any library's."""
    field = ImageField(2, 3).double()
    y = torch.randn(1, 2, 4, 4, dtype=torch.float64, generator=generator())
    w = dict(field.named_parameters())
    hidden = torch.einsum("fc,nchw->nfhw", w["conv1.weight"][:, :, 0, 0], y)
    hidden = (hidden + w["conv1.bias"][:, None, None]).clamp(min=0)
    around = hidden[0, :, 0:3, 1:4]
    centre = (w["conv2.weight"] * around).sum(dim=(1, 2, 3)) + w["conv2.bias"]
    expected = w["conv3.weight"][:, :, 0, 0] @ centre.clamp(min=0) + w["conv3.bias"]
    torch.testing.assert_close(field(torch.tensor(0.0), y)[0, :, 1, 2], expected)


def test_time_enters_where_it_is_wanted():
    y = torch.randn(3, 1, 4, 4, generator=generator())
    times = torch.tensor(0.0), torch.tensor(1.0)
    with_time, without = (ImageField(1, 4, time_dependent=wanted) for wanted in (True, False))
    assert not torch.equal(*(with_time(t, y) for t in times))
    assert torch.equal(*(without(t, y) for t in times))


def test_the_logits_are_read_off_the_end_of_the_flow():
    model = ImageOdeModel(4, augment_dim=1, generator=generator(), rtol=1e-6, atol=1e-6).double()
    images = torch.rand(2, 1, 28, 28, dtype=torch.float64, generator=generator())
    ts = torch.tensor([0.0, 1.0], dtype=torch.float64)
    end = solve(model.field, model.lift(images), ts, method="rk4", step_size=1 / 64).ys[-1]
    w = dict(model.head.named_parameters())
    expected = end.reshape(2, -1) @ w["1.weight"].T + w["1.bias"]
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


def test_weights_come_from_the_generator_alone():
    first = ImageOdeModel(4, augment_dim=1, generator=generator())
    torch.rand(7)
    second = ImageOdeModel(4, augment_dim=1, generator=generator())
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_cost_of_the_last_solve_is_known():
    model = ImageOdeModel(4, generator=generator(), rtol=1e-3, atol=1e-3, gradient=Adjoint())
    assert model.stats is None
    model(torch.rand(2, 1, 28, 28, generator=generator())).sum().backward()
    assert model.stats is not None
    assert model.stats.nfe_forward >= 8
    assert model.stats.nfe_backward
    assert all(p.grad is not None for p in model.parameters())


def test_a_negative_augmentation_is_refused():
    with pytest.raises(ValueError, match="augment_dim is -1, expected at least 0"):
        ImageOdeModel(4, augment_dim=-1)


def test_a_shrunk_image_is_the_mean_of_its_squares():
    model = ImageOdeModel(2, augment_dim=1, shrink=2, rtol=1e-2, atol=1e-2)
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    state = model.lift(images)
    assert state.shape == (3, 2, 14, 14)
    torch.testing.assert_close(state[1, 0, 3, 5], images[1, 0, 6:8, 10:12].mean())
    assert not state[:, 1].any()
    assert model(images).shape == (3, 10)
    with pytest.raises(ValueError, match="shrink is 3, expected a divisor of 28 and 28"):
        ImageOdeModel(2, shrink=3)
