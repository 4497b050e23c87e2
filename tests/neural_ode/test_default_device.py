"""Where tensors are made: on the device of what goes in, whatever torch's default device is."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from neural_ode.data import (
    concentric_spheres,
    crossing,
    mnist,
    shifted_sines,
)
from neural_ode.flows import (
    CNF,
    ENERGIES,
    Circles,
    Hutchinson,
    Moons,
    PlanarField,
    PlanarFlow,
    StandardNormal,
    log_normaliser,
)
from neural_ode.flows.bases import draw_points
from neural_ode.networks import (
    ImageOdeModel,
    MLPField,
    OdeClassifier,
    ResidualModel,
    augmented_model,
    second_order_model,
)

STEPS: dict[str, Any] = {"method": "euler", "step_size": 0.5}


def generator() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(0)


def planar(**changes: Any) -> PlanarFlow:
    return PlanarFlow(2, 2, **changes)


def cnf(runs: int | None = None) -> CNF:
    return CNF(PlanarField(2, 3, runs=runs), StandardNormal(2), **STEPS)


NORMAL = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

MAKES: dict[str, Callable[[], Any]] = {
    "planar": lambda: planar(generator=generator()).log_prob(torch.zeros(3, 2, device="cpu")),
    "circles": lambda: Circles().sample(3, generator()),
    "moons": lambda: Moons().sample(3, generator()),
    "crossing": lambda: crossing(3, generator=generator()).inputs,
    "spheres": lambda: concentric_spheres(2, 2, generator=generator()).targets,
    "sines": lambda: shifted_sines(2, 2, 3, generator=generator()).inputs,
    "normal": lambda: StandardNormal(2).sample(3, generator()),
    "mnist": lambda: mnist.normalised(mnist.load("test").images[:2]),
    "log_normaliser": lambda: torch.tensor(log_normaliser(ENERGIES["U1"]), device="cpu"),
    "entropy": lambda: torch.tensor(Circles(0.3).entropy, device="cpu"),
    "base": lambda: draw_points(NORMAL, 3, None, generator(), torch.zeros(1, device="cpu")),
}
MODELS: dict[str, Callable[[], tuple[nn.Module, tuple[int, ...]]]] = {
    "mlp": lambda: (CNF(MLPField(2, 3), StandardNormal(2), **STEPS), (3, 2)),
    "planar": lambda: (planar(base=NORMAL), (3, 2)),
    "runs": lambda: (cnf(2), (2, 3, 2)),
    "noise": lambda: (CNF(MLPField(2, 3), NORMAL, trace=Hutchinson(), **STEPS), (3, 2)),
    "anode": lambda: (augmented_model(2, augment_dim=1, **STEPS), (3, 2)),
    "residual": lambda: (ResidualModel(2), (3, 2)),
    "second order": lambda: (second_order_model(2, **STEPS), (3, 2)),
    "digits": lambda: (OdeClassifier(4, **STEPS), (2, 1, 28, 28)),
    "pixels": lambda: (ImageOdeModel(3, augment_dim=1, **STEPS), (2, 1, 28, 28)),
}


@pytest.fixture
def device_meta():
    """Torch makes tensors without values, wherever no device is named."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.mark.parametrize("name", MAKES)
def test_what_a_cpu_generator_makes_is_on_the_cpu(name, request):
    expected = MAKES[name]()
    request.getfixturevalue("device_meta")
    if name == "planar":  # A module is where torch makes modules.
        with pytest.raises(
            ValueError, match="x is on cpu, the parameters of PlanarFlow are on met"
        ):
            MAKES[name]()
    else:
        assert MAKES[name]().equal(expected)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_on_the_cpu_stays_there_whatever_the_default_device(name, request):
    model, shape = MODELS[name]()
    x = torch.rand(shape, generator=generator())
    request.getfixturevalue("device_meta")
    flow = isinstance(model, CNF | PlanarFlow)
    result = model.log_prob(x) if flow else model(x)
    result.sum().backward()
    assert result.isfinite().all()
    assert all(p.grad is None or p.grad.device.type == "cpu" for p in model.parameters())
    if flow:
        assert model.sample(3).device.type == "cpu"
        sources = None if model.runs is None else [generator(), generator()]
        assert model.sample_with_log_prob(3, sources)[0].device.type == "cpu"


@pytest.mark.parametrize(
    "make",
    [
        lambda: planar(generator=generator()),
        lambda: PlanarField(2, 3, generator=generator()),
        lambda: MLPField(2, 3, generator=generator()),
        lambda: OdeClassifier(4, generator=generator()),
    ],
)
def test_modules_are_made_on_the_default_device(make, device_meta):
    assert {p.device.type for p in make().parameters()} == {"meta"}
