"""Numbers of every kind and size, coefficients, callbacks: a value, or one short sentence."""

# Wrong types are the subject.
# pyright: reportArgumentType=false, reportCallIssue=false

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neural_ode import Adjoint, ButcherTableau, odeint, odeint_adjoint, solve
from neural_ode.data import MNIST, concentric_spheres, crossing, mnist, shifted_sines, split_wedge
from neural_ode.flows import (
    CNF,
    ENERGIES,
    Circles,
    LogDensityField,
    Moons,
    PlanarField,
    PlanarFlow,
    StandardNormal,
    log_normaliser,
)
from neural_ode.networks import (
    ConvField,
    MLPField,
    OdeModel,
    ResidualModel,
    residual_classifier,
)
from tests.neural_ode.failing import TS, Y0, Decay, decay, says

pytestmark = pytest.mark.usefixtures("unchecked")
HALF = Fraction(1, 2)
X = torch.linspace(-1, 1, 6).reshape(3, 2)
T = torch.tensor(0.0)


def seeded() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(0)


def cnf(**chosen: Any) -> CNF:
    field = PlanarField(2, 3, generator=seeded())
    return CNF(field, StandardNormal(2), method="euler", step_size=0.5, **chosen)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: StandardNormal(2, x).log_prob(X),
        lambda x: StandardNormal(2, x).sample(3, seeded()),
        lambda x: Circles(x, x).log_prob(X),
        lambda x: Circles(x, x).sample(3, seeded()),
        lambda x: Moons(x).log_prob(X),
        lambda x: Moons(x).sample(3, seeded()),
        lambda x: crossing(3, x, generator=seeded()).inputs,
        lambda x: (
            concentric_spheres(
                1, 2, inner_radius=x, outer_radii=(x, 2 * x), sampling="uniform", generator=seeded()
            ).inputs
        ),
        lambda x: shifted_sines(2, 2, shift=x, noise=x, generator=seeded()).inputs,
        lambda x: split_wedge(shifted_sines(4, 4, generator=seeded()), -x, x)[0].inputs,
        lambda x: torch.tensor(log_normaliser(ENERGIES["U1"], x, panels=3)),
        lambda x: cnf(end=2 * x).log_prob(X, x),
        lambda x: cnf().transport(X, [0, x]),
        lambda x: solve(decay, Y0, TS, rtol=x, atol=x, first_step=x, max_step=x).ys,
        lambda x: odeint(lambda t, y: y, (Y0, Y0), TS, rtol=(x, 0.1), atol=x)[0],
    ],
)
def test_a_fraction_is_a_number(call):
    assert torch.equal(call(HALF), call(0.5))


@pytest.mark.parametrize("huge", [10**400, 10**5000, 10**12], ids=["400", "5000", "12"])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("blocks", lambda n: ResidualModel(2, blocks=n)),
        ("blocks", residual_classifier),
        ("depth", lambda n: MLPField(2, 3, n)),
        ("width", lambda n: MLPField(2, n)),
        ("layers", lambda n: PlanarFlow(2, n)),
        ("dim", StandardNormal),
        ("count", lambda n: StandardNormal(2).sample(n)),
        ("count", crossing),
        ("panels", lambda n: log_normaliser(ENERGIES["U1"], panels=n)),
        ("channels", ConvField),
    ],
)
def test_a_count_that_nothing_could_have_is_refused_at_once(name, call, huge):
    with pytest.raises(ValueError, match=f"^{name} is .*, expected at most") as caught:
        call(huge)
    assert len(str(caught.value)) < 150


LONG: str = "x" * 10_000


@pytest.mark.parametrize(
    "call",
    [
        lambda: solve(decay, Y0, TS, method=LONG),
        lambda: solve(decay, Y0, TS, method=[1] * 10_000),
        lambda: solve(decay, Y0, TS, gradient=LONG),
        lambda: solve(decay, Y0, TS, gradient=list(LONG)),
        lambda: solve(decay, Y0, TS, interpolation=LONG),
        lambda: solve(decay, Y0, TS, controller=LONG),
        lambda: solve(decay, Y0, TS, rtol=10**5000),
        lambda: solve(decay, Y0, TS, max_num_steps=-(10**5000)),
        lambda: solve(decay, Y0, TS, grid=[LONG]),
        lambda: solve(Decay(), Y0, TS, gradient=Adjoint(norm=LONG)),
        lambda: solve(Decay(), Y0, TS, gradient=Adjoint(norm=[1] * 10_000)),
        lambda: solve(Decay(), Y0, TS, gradient=Adjoint(settings={LONG: 1})),
        lambda: cnf(**{LONG: 1}),
        lambda: cnf().transport(X, [0, 1] * 5000),
        lambda: Circles(10**5000),
        lambda: Circles(factor=10**300),
        lambda: mnist.load("train", folder=LONG),
        lambda: mnist.load(LONG),
        lambda: StandardNormal(2).sample(2, device=LONG),
    ],
)
def test_a_message_does_not_quote_without_end(call):
    with pytest.raises((TypeError, ValueError, OSError)) as caught:
        call()
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_an_unknown_option_is_quoted_in_part():
    with pytest.warns(UserWarning, match="options not known and left out: x") as caught:
        odeint(decay, Y0, TS, options={LONG: 1})
    assert len(str(caught[0].message)) < 200


WITH_NONE = nn.Module()
WITH_NONE.forward, WITH_NONE.callback_step = decay, None
WITH_THREE = nn.Module()
WITH_THREE.forward, WITH_THREE.callback_step = decay, 3


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: odeint_adjoint(Decay(), Y0.clone().requires_grad_(), TS,
                                   adjoint_rtol=[-math.inf, 1e-3]),
            "rtol is -inf, expected a positive number",
        ),
        (
            lambda: OdeModel(nn.Identity(), MLPField(2, 3), nn.Identity(), dim="abc"),
            "dim is 'abc', expected a whole number",
        ),
        (lambda: MNIST(3, 4), "images is 3, expected a tensor of torch.uint8"),
        (
            lambda: MNIST(torch.zeros(3, 28, 28, dtype=torch.uint8), torch.arange(2)),
            "labels has the shape (2,), expected [n, 28, 28] for images and [n] for labels",
        ),
        (
            lambda: StandardNormal(2).sample(3, device="gpu"),
            "device is 'gpu', expected a device of torch",
        ),
        (lambda: odeint(WITH_THREE, Y0, TS), "callback_step is 3, expected a function"),
        (
            lambda: cnf(trace=lambda f, t, z: None).log_prob(X),
            "the trace returned None, expected a pair of tensors, (field, trace)",
        ),
        (
            lambda: cnf(trace=lambda f, t, z: (z, z)).log_prob(X),
            "the trace returned the shapes [(3, 2), (3, 2)], expected one number for each of the"
            " points (3,)",
        ),
        (
            lambda: LogDensityField(PlanarField(2, 3), None),
            "trace is None, expected a function",
        ),
        (lambda: solve(nn.Linear, Y0, TS), "field is the class Linear, expected a function"),
        (lambda: odeint(nn.Linear, Y0, TS), "func is the class Linear, expected a function"),
        (
            lambda: odeint_adjoint(nn.Linear, Y0, TS, adjoint_params=()),
            "func is the class Linear, expected a function",
        ),
    ],
)  # fmt: skip
def test_what_was_taken_or_failed_inside_is_named(call, sentence):
    says((TypeError, ValueError), sentence, call)


def test_a_callback_that_is_none_is_none():
    assert torch.equal(odeint(WITH_NONE, Y0, TS), odeint(decay, Y0, TS))


HEUN: dict[str, Any] = {
    "name": "heun",
    "order": 2,
    "c": np.array([0.0, 1]),
    "a": np.array([[0.0, 0], [1, 0]]),
    "b": np.array([0.5, 0.5]),
    "dense": np.array([[1, -0.5], [0, 0.5]]),
    "b_error": np.array([-0.5, 0.5]),
    "source": "Heun",
}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"order": 1.5}, "order is 1.5, expected a whole number"),
        ({"b": "x"}, "heun: b is not an array of numbers"),
        ({"b": None}, "heun: b is not an array of numbers"),
        ({"c": [0, math.nan]}, "heun: c holds a number that is not finite"),
        ({"c": 1.0}, "heun: c has the shape (), expected [stages]"),
        ({"c": [0, 0.5]}, "heun: the rows of a do not add up to c"),
        ({"b": [0.5, 0.4]}, "heun: b does not add up to 1"),
        ({"b_error": [0.5, 0.5]}, "heun: b_error does not add up to 0"),
        ({"b_error": [0.0]}, "heun: b_error does not fit the 2 nodes in c"),
        ({"dense": [[1, 0], [0, 0.5]]}, "heun: the rows of dense do not add up to b"),
        ({"dense": [0.5, 0.5]}, "heun: dense needs 2 rows, one a stage"),
        (
            {"dense_c": [0.5], "dense": np.zeros((3, 2))},
            "heun: dense_c and dense_a need each other",
        ),
        (
            {"dense_c": [0.5], "dense_a": [[0.5]], "dense": np.zeros((3, 2))},
            "heun: dense_a does not fit the 1 nodes in dense_c",
        ),
        (
            {"dense_c": [0.5], "dense_a": [[0.4, 0, 0]], "dense": [[1, -0.5], [0, 0.5], [0, 0]]},
            "heun: the rows of dense_a do not add up to dense_c",
        ),
    ],
)
def test_coefficients_that_make_no_method_are_named(change, fault):
    says((TypeError, ValueError), fault, lambda: ButcherTableau(**HEUN | change))


def test_coefficients_may_be_lists():
    lists = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in HEUN.items()}
    both = [ButcherTableau(**x) for x in (HEUN, lists)]
    ends = [solve(decay, Y0, TS, method=method, step_size=0.1).ys for method in both]
    assert torch.equal(*ends)
