"""The ANODE paper's models: parameter counts, what the lifts and the heads do, what they can."""

import pytest
import torch

from neural_ode import Adjoint, solve
from neural_ode.networks import (
    ReluField,
    ResidualModel,
    SecondOrderField,
    augmented_model,
    input_layer_model,
    second_order_model,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("make", "count"),
    [
        # The first three are those of the released configuration.
        (lambda: augmented_model(2), 1253),
        (lambda: augmented_model(2, augment_dim=5), 1583),
        (lambda: ResidualModel(2), 813),
        (lambda: augmented_model(2, time_dependent=False), 1253 - 32),
        (lambda: augmented_model(1, 16, outputs=None), 337),
        # A linear layer from 2 to 7 dimensions beside the same.
        (lambda: input_layer_model(2, augment_dim=5), 1583 + 2 * 7 + 7),
        # The initial velocity, the acceleration of five inputs, and a head of four.
        (lambda: second_order_model(2), 162 + 6 * 32 + 33 * 32 + 33 * 2 + 5),
    ],
)
def test_models_have_the_published_parameters(make, count):
    assert parameters(make()) == count


MODELS = {
    "node": augmented_model,
    "anode": lambda *a, **k: augmented_model(*a, augment_dim=2, **k),
    "input layer": lambda *a, **k: input_layer_model(*a, augment_dim=2, **k),
    "second order": second_order_model,
    "residual": ResidualModel,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(("outputs", "width"), [(1, 1), (4, 4), (None, 3)])
def test_every_model_has_a_head_of_any_size_or_none(make, outputs, width):
    model = make(3, 8, outputs=outputs, generator=generator())
    assert model(torch.randn(5, 3, generator=generator())).shape == (5, width)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_weights_come_from_the_generator_alone(make):
    first = make(2, 8, generator=generator())
    torch.rand(7)
    second = make(2, 8, generator=generator())
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_augmentation_appends_zeros():
    x = torch.randn(4, 2, generator=generator())
    model = augmented_model(2, augment_dim=3)
    assert torch.equal(model.lift(x), torch.cat([x, torch.zeros(4, 3)], dim=1))
    assert torch.equal(augmented_model(2).lift(x), x)


def test_the_output_without_a_head_is_where_the_own_coordinates_go():
    x = torch.randn(4, 2, generator=generator())
    model = augmented_model(2, 8, augment_dim=1, outputs=None, generator=generator())
    assert torch.equal(model(x), model.features(x)[:, :2])


def test_time_enters_where_it_is_wanted():
    y = torch.randn(3, 2, generator=generator())
    times = torch.tensor(0.0), torch.tensor(1.0)
    with_time, without = (ReluField(2, 8, time_dependent=wanted) for wanted in (True, False))
    assert not torch.equal(*(with_time(t, y) for t in times))
    assert torch.equal(*(without(t, y) for t in times))


def test_a_second_order_field_is_velocity_and_acceleration():
    """The harmonic oscillator of half a period changes the sign of every point on a line."""
    field = SecondOrderField(_Spring())
    x = torch.tensor([[-1.0], [0.5], [1.0]], dtype=torch.float64)
    start = torch.cat([x, torch.zeros_like(x)], dim=1)
    end = solve(field, start, torch.tensor([0.0, torch.pi]), rtol=1e-8, atol=1e-8).ys[-1]
    torch.testing.assert_close(end[:, :1], -x, rtol=0, atol=1e-6)


class _Spring(torch.nn.Module):
    def forward(self, t, y):
        return -y[:, :1]


def test_one_large_euler_step_changes_places_and_the_flow_does_not():
    """For f = -2h one step of Euler is exact, and the flow shrinks by exp(-2)."""
    x, ts = torch.tensor([[-1.0], [1.0]], dtype=torch.float64), torch.tensor([0.0, 1.0])

    def field(t, y):
        return -2 * y

    assert torch.equal(solve(field, x, ts, method="euler", step_size=1).ys[-1], -x)
    shrunk = solve(field, x, ts, method="euler", step_size=1 / 4).ys[-1]
    assert torch.equal(shrunk.sign(), x.sign())
    flow = solve(field, x, ts, rtol=1e-9, atol=1e-9).ys[-1]
    torch.testing.assert_close(flow, x * torch.e**-2, rtol=1e-6, atol=0)


def test_blocks_that_end_with_a_relu_never_lower_a_state():
    x = torch.randn(20, 3, generator=generator())
    published = ResidualModel(3, outputs=None, generator=generator())
    linear = ResidualModel(3, outputs=None, last_relu=False, generator=generator())
    assert (published.states(x).diff(dim=0) >= 0).all()
    assert (linear.states(x).diff(dim=0) < 0).any()


def test_the_states_of_a_residual_network_add_its_blocks():
    x = torch.randn(4, 2, generator=generator())
    model = ResidualModel(2, blocks=3, generator=generator())
    states = model.states(x)
    assert states.shape == (4, 4, 2)
    for block, before, after in zip(model.blocks, states, states[1:], strict=False):
        assert torch.equal(after, before + block(before))
    assert torch.equal(model(x), model.head(states[-1]))


def test_parts_of_a_block_are_euler_steps():
    x = torch.randn(4, 2, generator=generator())
    model = ResidualModel(2, blocks=2, last_relu=False, generator=generator())
    states = model.states(x, substeps=4)
    assert len(states) == 1 + 2 * 4
    y = x
    for block in model.blocks:
        ts = torch.tensor([0.0, 1.0])
        y = solve(lambda t, y, f=block: f(y), y, ts, method="euler", step_size=1 / 4).ys[-1]
    torch.testing.assert_close(model.features(x, substeps=4), y)


def test_the_cost_of_the_last_solve_is_known():
    model = augmented_model(
        2, 8, augment_dim=1, generator=generator(), rtol=1e-3, atol=1e-3, gradient=Adjoint()
    )
    assert model.stats is None
    model(torch.randn(4, 2, generator=generator())).sum().backward()
    assert model.stats is not None
    assert model.stats.nfe_forward >= 8
    assert model.stats.nfe_backward is not None
    assert all(p.grad is not None for p in model.parameters())


def test_a_negative_augmentation_is_refused():
    with pytest.raises(ValueError, match="augment_dim is -1, expected at least 0"):
        augmented_model(2, augment_dim=-1)
