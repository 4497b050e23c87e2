"""Any argument of any type to flows, data and networks: it works, or the sentence names it."""

# Wrong types are the subject.
# pyright: reportArgumentType=false, reportCallIssue=false

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Independent, Normal

from neural_ode.data import (
    MNIST,
    concentric_spheres,
    crossing,
    mnist,
    shifted_sines,
    split_wedge,
)
from neural_ode.flows import (
    CNF,
    ENERGIES,
    Circles,
    ConcatSquashField,
    Hutchinson,
    LogDensityField,
    Moons,
    PlanarField,
    PlanarFlow,
    StandardNormal,
    closed_trace,
    exact_trace,
    log_normaliser,
    runs_norm,
)
from neural_ode.networks import (
    ConvField,
    ImageClassifier,
    ImageField,
    ImageOdeModel,
    MLPField,
    OdeClassifier,
    ReluField,
    ResidualModel,
    SecondOrderField,
    augmented_model,
    conv_stem,
    input_layer_model,
    mlp_classifier,
    res_stem,
    residual_classifier,
    second_order_model,
)

pytestmark = pytest.mark.usefixtures("unchecked")

STEPS: dict[str, Any] = {"method": "euler", "step_size": 0.5}
T = torch.tensor(0.0)
SMALL = MNIST(torch.zeros(6, 28, 28, dtype=torch.uint8), torch.arange(6))


def planar() -> PlanarFlow:
    return PlanarFlow(2, 2)


def cnf() -> CNF:
    return CNF(PlanarField(2, 3), StandardNormal(2), **STEPS)


def images(*shape: int) -> torch.Tensor:
    return torch.zeros(*(shape or (2, 1, 28, 28)))


NORMAL = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

X, POINTS = torch.zeros(3, 2), shifted_sines(2, 2)
# A function and arguments with which it works; one after the other is replaced.
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "StandardNormal": (StandardNormal, {"dim": 2, "scale": 1.0}),
    "StandardNormal.log_prob": (StandardNormal(2).log_prob, {"x": X}),
    "StandardNormal.sample": (StandardNormal(2).sample, {"count": 3, "generator": None}),
    "PlanarFlow": (
        PlanarFlow,
        {"dim": 2, "layers": 2, "base": None, "towards": "data", "runs": None, "generator": None},
    ),
    "PlanarFlow()": (planar(), {"z": X}),
    "PlanarFlow.inverse": (planar().inverse, {"x": X}),
    "PlanarFlow.log_prob": (planar().log_prob, {"x": X}),
    "PlanarFlow.sample": (planar().sample, {"count": 3, "generator": None}),
    "PlanarField": (
        PlanarField,
        {"dim": 2, "units": 2, "runs": None, "hidden": 3, "reduce": "sum", "gated": True}
        | {"generator": None},
    ),
    "PlanarField()": (PlanarField(2, 2, hidden=3), {"t": T, "z": X}),
    "ConcatSquashField": (
        ConcatSquashField,
        {"dim": 2, "widths": (3,), "runs": None, "generator": None},
    ),
    "ConcatSquashField()": (ConcatSquashField(2, (3,)), {"t": T, "z": X}),
    "CNF": (CNF, {"field": MLPField(2, 3), "base": NORMAL, "end": 1.0, "trace": None}),
    "CNF.log_prob": (cnf().log_prob, {"x": X, "time": 0.5}),
    "CNF.sample": (cnf().sample, {"count": 3, "generator": None}),
    "CNF.sample_with_log_prob": (cnf().sample_with_log_prob, {"count": 3, "generator": None}),
    "CNF.transport": (cnf().transport, {"x": X, "times": [0.0, 1.0]}),
    "LogDensityField": (LogDensityField, {"field": MLPField(2, 3), "trace": exact_trace}),
    "exact_trace": (exact_trace, {"field": PlanarField(2, 3), "t": T, "z": X}),
    "closed_trace": (closed_trace, {"field": PlanarField(2, 3), "t": T, "z": X}),
    "Hutchinson": (Hutchinson, {"kind": "gaussian", "generator": None}),
    "Hutchinson.draw": (Hutchinson().draw, {"z": X}),
    "Circles": (Circles, {"noise": 0.1, "factor": 0.5}),
    "Moons": (Moons, {"noise": 0.1}),
    "Moons.log_prob": (Moons().log_prob, {"x": X}),
    "Circles.log_prob": (Circles().log_prob, {"x": X}),
    "Circles.sample": (Circles().sample, {"count": 3, "generator": None}),
    "log_normaliser": (log_normaliser, {"energy": ENERGIES["U2"], "half_width": 5.0, "panels": 3}),
    "runs_norm": (runs_norm, {"x": X}),
    **{name: (energy, {"z": X}) for name, energy in ENERGIES.items()},
    "crossing": (crossing, {"count": 3, "spread": 0.1, "generator": None}),
    "concentric_spheres": (
        concentric_spheres,
        {"inner": 2, "outer": 2, "dim": 2, "inner_radius": 0.5, "outer_radii": (1.0, 1.5)}
        | {"sampling": "uniform", "generator": None},
    ),
    "shifted_sines": (
        shifted_sines,
        {"upper": 2, "lower": 2, "dim": 2, "shift": 1.0, "noise": 0.1, "generator": None},
    ),
    "split_wedge": (split_wedge, {"points": POINTS, "start": 0.0, "stop": 1.0}),
    "mnist.spread": (mnist.spread, {"data": SMALL, "count": 2}),
    "mnist.normalised": (mnist.normalised, {"images": SMALL.images}),
    "MLPField": (MLPField, {"dim": 2, "width": 3, "depth": 1, "generator": None}),
    "MLPField()": (MLPField(2, 3), {"t": T, "y": X}),
    "ReluField": (ReluField, {"dim": 2, "width": 3, "outputs": None, "time_dependent": True}),
    "ReluField()": (ReluField(2, 3), {"t": T, "y": X}),
    "ConvField": (ConvField, {"channels": 4, "groups": 2, "generator": None}),
    "ConvField()": (ConvField(4, 2), {"t": T, "y": images(2, 4, 5, 5)}),
    "ImageField": (ImageField, {"channels": 2, "filters": 3, "time_dependent": False}),
    "ImageField()": (ImageField(2, 3, time_dependent=True), {"t": T, "y": images(2, 2, 5, 5)}),
    "SecondOrderField": (SecondOrderField, {"acceleration": ReluField(2, outputs=1)}),
    "SecondOrderField()": (SecondOrderField(ReluField(2, outputs=1)), {"t": T, "y": X}),
    "augmented_model": (
        augmented_model,
        {"dim": 2, "width": 3, "augment_dim": 1, "outputs": 1, "time_dependent": True}
        | {"generator": None},
    ),
    "input_layer_model": (input_layer_model, {"dim": 2, "augment_dim": 1, "outputs": None}),
    "second_order_model": (second_order_model, {"dim": 2, "width": 3, "generator": None}),
    "augmented_model()": (augmented_model(2, **STEPS), {"x": X}),
    "second_order_model()": (second_order_model(2, **STEPS), {"x": X}),
    "ResidualModel": (
        ResidualModel,
        {"dim": 2, "width": 3, "blocks": 1, "outputs": 1, "last_relu": True, "generator": None},
    ),
    "ResidualModel.states": (ResidualModel(2).states, {"x": X, "substeps": 1}),
    "ImageOdeModel": (
        ImageOdeModel,
        {"filters": 3, "augment_dim": 1, "time_dependent": False, "shape": (1, 5, 5)}
        | {"generator": None},
    ),
    "ImageOdeModel()": (ImageOdeModel(3, shape=(1, 5, 5), **STEPS), {"images": images(2, 1, 5, 5)}),
    "ImageClassifier": (
        ImageClassifier,
        {"middle": nn.Identity(), "channels": 4, "downsampling": "conv", "generator": None},
    ),
    "OdeClassifier": (OdeClassifier, {"channels": 4, "downsampling": "res", "generator": None}),
    "residual_classifier": (residual_classifier, {"blocks": 1, "channels": 4}),
    "residual_classifier()": (residual_classifier(1, 4), {"images": images()}),
    "conv_stem": (conv_stem, {"channels": 4, "groups": 2}),
    "res_stem": (res_stem, {"channels": 4, "groups": 2}),
    "mlp_classifier": (mlp_classifier, {"hidden": 3, "generator": None}),
    "mlp_classifier()": (mlp_classifier(3), {"images": images()}),
}

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 6),
    st.floats(-3, 3),
    st.sampled_from([math.nan, math.inf, -math.inf, 1j]),
    st.text(max_size=3),
    st.binary(max_size=2),
    st.lists(st.integers(-1, 3), max_size=3),
    st.lists(st.floats(-2, 2), max_size=3).map(tuple),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
    st.sampled_from([object(), int, lambda *_: None, np.float64(0.5), np.int64(2)]),
    st.sampled_from([StandardNormal(2), NORMAL, Normal(0.0, 1.0), nn.Linear(2, 2), MLPField(2, 3)]),
    st.lists(st.integers(0, 3), max_size=4).map(lambda shape: np.ones(shape)),
    st.builds(
        lambda shape, dtype: torch.ones(shape, dtype=dtype),
        st.lists(st.integers(0, 3), max_size=4),
        st.sampled_from(
            [torch.float32, torch.float64, torch.float16, torch.int64, torch.bool, torch.complex64]
        ),
    ),
    st.sampled_from([torch.ones(3, 2, device="meta"), torch.ones(3, 2).to_sparse()]),
    st.sampled_from([torch.Generator(), [torch.Generator()], Path(), SMALL, POINTS]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("name", CALLS)
@given(data=st.data())
def test_any_argument_works_or_is_named(unchecked, name, data):
    """A replaced argument is taken, or the sentence names it."""
    function, good = CALLS[name]
    argument = data.draw(st.sampled_from(sorted(good)))
    value = data.draw(ODD)
    # What a function of the caller's own raises is the caller's.
    assume(not (argument in ("field", "energy") and callable(value)))
    try:
        function(**good | {argument: value})
    except (ValueError, TypeError) as error:
        sentence = str(error)
        assert re.search(rf"\b{argument}\b", sentence)
        assert "\n" not in sentence


@pytest.mark.parametrize("name", CALLS)
def test_the_arguments_of_the_property_work(name):
    function, good = CALLS[name]
    function(**good)
