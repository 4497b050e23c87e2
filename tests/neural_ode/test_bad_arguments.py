"""What flows, data and networks say to arguments that make no sense: one sentence, and its name."""

# Wrong types are the subject.
# pyright: reportArgumentType=false, reportCallIssue=false

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from neural_ode.data import (
    MNIST,
    Points,
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
from neural_ode.flows.traces import FixedNoise
from neural_ode.networks import (
    ConvField,
    ImageClassifier,
    ImageField,
    ImageOdeModel,
    MLPField,
    OdeClassifier,
    OdeModel,
    ReluField,
    ResidualModel,
    SecondOrderField,
    augmented_model,
    conv_stem,
    input_layer_model,
    mlp_classifier,
    residual_classifier,
    second_order_model,
)

pytestmark = pytest.mark.usefixtures("unchecked")

STEPS: dict[str, Any] = {"method": "euler", "step_size": 0.5}
T = torch.tensor(0.0)
SMALL = MNIST(torch.zeros(6, 28, 28, dtype=torch.uint8), torch.arange(6))


def generator() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(0)


def planar(**changes: Any) -> PlanarFlow:
    return PlanarFlow(**{"dim": 2, "layers": 2} | changes)


def cnf(runs: int | None = None) -> CNF:
    return CNF(PlanarField(2, 3, runs=runs), StandardNormal(2), **STEPS)


def images(*shape: int) -> torch.Tensor:
    return torch.zeros(*(shape or (2, 1, 28, 28)))


NORMAL = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

# A call, and words of the sentence that it must raise.
CASES: dict[str, list[tuple[Callable[[], Any], str]]] = {
    "counts": [
        (lambda: StandardNormal(0), "dim is 0, expected at least 1"),
        (lambda: StandardNormal(1.5), "dim is 1.5, expected a whole number"),
        (lambda: PlanarFlow(True, 2), "dim is True, expected a whole number"),
        (lambda: planar(layers="3"), "layers is '3', expected a whole number"),
        (lambda: planar(runs=-1), "runs is -1, expected at least 1"),
        (lambda: planar().sample(0), "count is 0, expected at least 1"),
        (lambda: cnf().sample(2.0), "count is 2.0, expected a whole number"),
        (lambda: PlanarField(2, 3, hidden=0), "hidden is 0, expected at least 1"),
        (lambda: ConcatSquashField(2, 64), "widths is 64, expected a sequence of whole numbers"),
        (lambda: ConcatSquashField(2, (8, 0)), "an entry of widths is 0, expected at least 1"),
        (lambda: Moons().sample(-1), "count is -1, expected at least 1"),
        (lambda: crossing(0), "count is 0, expected at least 1"),
        (lambda: concentric_spheres(-1, 3), "inner is -1, expected at least 0"),
        (lambda: shifted_sines(3, 2.5), "lower is 2.5, expected a whole number"),
        (lambda: MLPField(2, 0), "width is 0, expected at least 1"),
        (lambda: ReluField(2, outputs=0), "outputs is 0, expected at least 1"),
        (lambda: ConvField(0), "channels is 0, expected at least 1"),
        (lambda: ConvField(6, 4), "channels is 6, expected a multiple of the 4 groups"),
        (lambda: OdeClassifier(48), "channels is 48, expected a multiple of the 32 groups"),
        (lambda: ImageOdeModel(3, shape=(28, 28)), "shape has 2 entries, expected 3"),
        (lambda: augmented_model(2, outputs=0), "outputs is 0, expected at least 1"),
        (lambda: input_layer_model(2, augment_dim=-1), "augment_dim is -1, expected at least 0"),
        (lambda: residual_classifier(-1), "blocks is -1, expected at least 0"),
        (lambda: ResidualModel(2).states(torch.zeros(3, 2), 0), "substeps is 0, expected at least"),
        (lambda: log_normaliser(ENERGIES["U1"], panels=0), "panels is 0, expected at least 1"),
        (lambda: mnist.spread(SMALL, 0), "count is 0, expected at least 1"),
        (lambda: mnist.spread(SMALL, 7), "count is 7, expected at most 6, the split's size"),
    ],
    "numbers": [
        (lambda: StandardNormal(2, math.nan), "scale is nan, expected a positive finite number"),
        (lambda: StandardNormal(2, "1"), "scale is '1', expected a number"),
        (lambda: CNF(MLPField(2, 3), NORMAL, end=math.inf), "end is inf, expected a positive"),
        (lambda: CNF(MLPField(2, 3), NORMAL, end=None), "end is None, expected a number"),
        (lambda: cnf().log_prob(torch.zeros(3, 2), "1"), "time is '1', expected a number"),
        (lambda: cnf().log_prob(torch.zeros(3, 2), math.nan), "time is nan, expected a number fr"),
        (lambda: cnf().transport(torch.zeros(3, 2), []), "times is empty, expected at least one"),
        (
            lambda: cnf().transport(torch.zeros(3, 2), [0, 0]),
            r"times are \[0, 0\], expected to inc",
        ),
        (lambda: cnf().transport(torch.zeros(3, 2), [0, 1, 0]), r"times are \[0, 1, 0\], expected"),
        (lambda: cnf().transport(torch.zeros(3, 2), 1.0), "times is 1.0, expected a sequence of"),
        (lambda: cnf().transport(torch.zeros(3, 2), [0, "a"]), "an entry of times is 'a', expecte"),
        (lambda: Circles(noise=math.inf), "noise is inf, expected a positive finite number"),
        (lambda: Circles(factor=math.nan), "factor is nan, expected a number from 0 to 1"),
        (lambda: Moons(1e-6).log_prob(torch.zeros(2)), "noise is 1e-06, expected at least 0.005"),
        (lambda: Circles(1e-6).entropy, "noise is 1e-06, expected at least 0.002"),
        (lambda: log_normaliser(ENERGIES["U1"], -1.0), "half_width is -1.0, expected a positive"),
        (lambda: crossing(4, -0.1), "spread is -0.1, expected a finite number from 0"),
        (
            lambda: concentric_spheres(1, 1, outer_radii=(2, 1)),
            "the second of outer_radii is 1, ex",
        ),
        (lambda: concentric_spheres(1, 1, outer_radii=2), "outer_radii is 2, expected a pair of"),
        (lambda: shifted_sines(1, 1, shift=math.nan), "shift is nan, expected a finite number"),
        (lambda: split_wedge(crossing(4), 0, 1), "points of dimension 1 have no angle"),
        (lambda: split_wedge(shifted_sines(2, 2), 1, 0), "stop is 0, expected at least start, 1"),
    ],
    "points": [
        (lambda: planar()(np.zeros((3, 2))), "z is ndarray, expected a torch tensor"),
        (lambda: planar().log_prob(np.zeros((3, 2))), "x is ndarray, expected a torch tensor"),
        (lambda: planar()([[0.0, 1.0]]), "z is list, expected a torch tensor"),
        (lambda: planar()(torch.zeros(3, 3)), r"z has the shape \(3, 3\), expected \[batch, 2\]"),
        (lambda: planar()(torch.zeros(2)), r"z has the shape \(2,\), expected \[batch, 2\]"),
        (lambda: planar()(torch.zeros(4, 3, 2)), r"shape \(4, 3, 2\), expected \[batch, 2\]"),
        (lambda: planar().log_prob(torch.zeros(2)), r"x has the shape \(2,\), expected \[batch"),
        (lambda: planar(runs=3)(torch.zeros(4, 2)), r"expected \[3, batch, 2\]"),
        (lambda: planar(runs=3).inverse(torch.zeros(2, 4, 2)), r"x has .* \[3, batch, 2\]"),
        (
            lambda: planar()(torch.zeros(3, 2).double()),
            r"z has the dtype torch.float64, the parameters of PlanarFlow have torch.float32: conv",
        ),
        (lambda: planar().log_prob(torch.zeros(3, 2).double()), "x has the dtype torch.float64, "),
        (
            lambda: planar()(torch.zeros(3, 2, dtype=torch.int64)),
            "dtype torch.int64, expected a fl",
        ),
        (lambda: planar()(torch.zeros(3, 2, device="meta")), "z is on meta, the parameters of"),
        (
            lambda: planar()(torch.nested.nested_tensor([torch.zeros(2)], layout=torch.jagged)),
            "z is a nested tensor, expected a dense one",
        ),
        (lambda: planar()(torch.zeros(3, 2).to_sparse()), "z is a sparse tensor, expected a dense"),
        (lambda: planar().carry(torch.zeros(3, 4)), r"z has the shape \(3, 4\), expected \[batch"),
        (lambda: cnf().log_prob(np.zeros((3, 2))), "x is ndarray, expected a torch tensor"),
        (lambda: cnf().log_prob(torch.zeros(4, 3, 2)), r"shape \(4, 3, 2\), expected \[batch, 2\]"),
        (
            lambda: cnf().log_prob(torch.zeros(3, 2).double()),
            "x has the dtype torch.float64, the p",
        ),
        (lambda: cnf().transport(torch.zeros(2), [0.0, 1.0]), r"x has the shape \(2,\), expected"),
        (lambda: StandardNormal(2).log_prob(torch.zeros(4, 3)), r"x .* expected \[\.\.\., 2\]"),
        (lambda: ENERGIES["U1"](torch.zeros(4, 3)), r"z has the shape \(4, 3\), expected \[\.\.\."),
        (lambda: ENERGIES["U3"](np.zeros((4, 2))), "z is ndarray, expected a torch tensor"),
        (lambda: ENERGIES["U2"](torch.tensor(1.0)), r"z has the shape \(\), expected \[\.\.\., 2"),
        (lambda: Circles().log_prob(torch.zeros(3)), r"x has the shape \(3,\), expected \[\.\.\."),
        (
            lambda: Moons().log_prob(torch.zeros(3, 2, dtype=torch.int32)),
            "x has the dtype torch.in",
        ),
        (
            lambda: Moons().log_prob(torch.zeros(3, 2).half()),
            "x has the dtype torch.float16, expec",
        ),
        (lambda: runs_norm(torch.tensor(1.0)), r"x has the shape \(\), expected \[runs, "),
        (lambda: runs_norm(torch.zeros(0, 3)), r"x has the shape \(0, 3\), expected \[runs, "),
        (lambda: Hutchinson().draw(np.zeros(3)), "z is ndarray, expected a torch tensor"),
    ],
    "fields": [
        (lambda: MLPField(2, 3)(T, torch.zeros(4, 3)), r"y has the shape \(4, 3\), expected \[\."),
        (
            lambda: MLPField(2, 3)(T, torch.zeros(4, 2).double()),
            "y has the dtype torch.float64, the",
        ),
        (lambda: MLPField(2, 3)(0.5, torch.zeros(4, 2)), "t is 0.5, expected a torch tensor"),
        (lambda: MLPField(2, 3)(torch.zeros(3), torch.zeros(4, 2)), r"t has the shape \(3,\), exp"),
        (
            lambda: MLPField(2, 3)(T.double(), torch.zeros(4, 2)),
            "t has the dtype torch.float64, th",
        ),
        (lambda: ReluField(2)(T, torch.zeros(2)), r"y has the shape \(2,\), expected \[batch, 2\]"),
        (lambda: PlanarField(2, 3)(T, torch.zeros(2)), r"z has the shape \(2,\), expected \[batch"),
        (lambda: PlanarField(2, 3, hidden=2)(1, torch.zeros(4, 2)), "t is 1, expected a torch ten"),
        (lambda: PlanarField(2, 3).trace(T, torch.zeros(4, 3)), r"z .* expected \[batch, 2\]"),
        (lambda: ConcatSquashField(2, (3,), runs=2)(T, torch.zeros(4, 2)), r"\[2, batch, 2\]"),
        (lambda: ConvField(4, 2)(T, images(2, 3, 5, 5)), r"y has .* \[batch, 4, height, width\]"),
        (lambda: ImageField(2, 3)(T, images(2, 3, 5, 5)), r"y has .* \[batch, 2, height, width\]"),
        (
            lambda: SecondOrderField(ReluField(3, outputs=1))(T, torch.zeros(4, 3)),
            r"y has the shape \(4, 3\), expected \[batch, 2 dim\]",
        ),
        (lambda: SecondOrderField(lambda t, y: y), "acceleration is function, expected a torch.nn"),
        (lambda: LogDensityField(lambda t, z: z, exact_trace), "field is function, expected a tor"),
        (lambda: LogDensityField(MLPField(2, 3), "exact"), "trace is 'exact', expected a function"),
        (lambda: CNF(MLPField, NORMAL), "field is the class MLPField, expected a torch.nn.Module"),
        (
            lambda: OdeModel(nn.Identity(), None, nn.Identity()),
            "field is None, expected a torch.nn",
        ),
        (lambda: ImageClassifier(None), "middle is None, expected a torch.nn.Module"),
        (
            lambda: closed_trace(MLPField(2, 3), T, torch.zeros(4, 2)),
            "field is MLPField, which has",
        ),
        (lambda: exact_trace("f", T, torch.zeros(4, 2)), "field is 'f', expected a function"),
        (lambda: exact_trace(MLPField(2, 3), T, T), r"z has the shape \(\), expected \[\.\.\., d"),
        (
            lambda: exact_trace(lambda t, z: z[:, :1], T, torch.zeros(4, 2)),
            r"field returns the shape \(4, 1\), expected the shape of z, \(4, 2\)",
        ),
        (lambda: exact_trace(lambda t, z: 0, T, torch.zeros(4, 2)), "field returns int, expected"),
        (
            lambda: FixedNoise(torch.ones(1, 2))(lambda t, z: z, T, torch.zeros(4, 2)),
            r"z has the shape \(4, 2\), the noise that was drawn for it has \(1, 2\)",
        ),
        (lambda: log_normaliser(lambda z: z.sum()), "energy gives something else than one number"),
        (
            lambda: LogDensityField(MLPField(2, 3), Hutchinson),
            "trace is the class Hutchinson, expected a function",
        ),
        (lambda: log_normaliser("U1"), "energy is 'U1', expected a function"),
    ],
    "models": [
        (lambda: augmented_model(2, **STEPS)(torch.zeros(4, 3)), r"x .* expected \[batch, 2\]"),
        (lambda: augmented_model(2, **STEPS)(np.zeros((4, 2))), "x is ndarray, expected a torch"),
        (
            lambda: input_layer_model(2)(torch.zeros(4, 2).double()),
            "parameters of OdeModel have to",
        ),
        (
            lambda: second_order_model(2)(torch.zeros(2)),
            r"x has the shape \(2,\), expected \[batch",
        ),
        (
            lambda: ResidualModel(2)(torch.zeros(4, 3)),
            r"x has the shape \(4, 3\), expected \[batch",
        ),
        (lambda: residual_classifier(1, 4)(images(1, 28, 28)), r"images .* \[batch, 1, 28, 28\]"),
        (
            lambda: residual_classifier(1, 4)(images().byte()),
            "images has the dtype torch.uint8, exp",
        ),
        (lambda: mlp_classifier(3)(images(2, 1, 5, 5)[0, 0]), r"images .* \[batch, 1, 28, 28\]"),
        (lambda: conv_stem(4, 2)(images(2, 3, 28, 28)), r"images .* \[batch, 1, 28, 28\]"),
        (lambda: ImageOdeModel(3, **STEPS)(images(2, 1, 5, 5)), r"images .* \[batch, 1, 28, 28\]"),
        (lambda: OdeClassifier(4, rtoll=1), "unknown argument 'rtoll'; did you mean 'rtol'"),
        (lambda: CNF(MLPField(2, 3), NORMAL, stepsize=1), "'stepsize'; did you mean 'step_size'"),
        (lambda: augmented_model(2, colour=1), "unknown argument 'colour'; known are method, rtol"),
        (lambda: augmented_model(2, y0=1), "unknown argument 'y0'"),
        (
            lambda: augmented_model(2, time_dependent="no"),
            "time_dependent is 'no', expected True or",
        ),
        (lambda: ResidualModel(2, last_relu=2), "last_relu is 2, expected True or False"),
        (lambda: PlanarField(2, 3, gated=None), "gated is None, expected True or False"),
    ],
    "bases": [
        (
            lambda: CNF(PlanarField(2, 3), Normal(0.0, 1.0)),
            r"base is Normal with the event shape \(\), .* or Independent\(Normal\(...\), 1\)",
        ),
        (lambda: planar(base=Normal(torch.zeros(2), torch.ones(2))), r"Independent\(Normal"),
        (
            lambda: CNF(
                PlanarField(2, 3), Independent(Normal(torch.zeros(3, 2), torch.ones(3, 2)), 1)
            ),
            r"base is Independent with the batch shape \(3,\), expected a single distribution",
        ),
        (lambda: CNF(PlanarField(3, 3), StandardNormal(2)), "base has the dimension 2, expected 3"),
        (lambda: planar(base=StandardNormal(3)), "base has the dimension 3, expected 2"),
        (lambda: planar(base="normal"), "base is 'normal', expected a StandardNormal or a torch"),
        (lambda: planar(base=StandardNormal), "base is the class StandardNormal, expected a Stand"),
    ],
    "generators": [
        (lambda: planar(generator=3), "generator is 3, expected a torch.Generator, or a list of"),
        (lambda: planar(runs=2, generator="ab"), "generator is 'ab', expected a torch.Generator"),
        (lambda: planar(runs=2, generator=[1, 2]), "generator is list, expected a torch.Generator"),
        (lambda: cnf().sample(2, 7), "generator is 7, expected a torch.Generator, or a list of"),
        (lambda: cnf(2).sample(2, [generator()]), "a sequence of 2, got a sequence of 1"),
        (lambda: StandardNormal(2).sample(3, 0), "generator is 0, expected a torch.Generator or N"),
        (
            lambda: Circles().sample(3, np.random.default_rng()),
            "generator is Generator, expected a",
        ),
        (lambda: crossing(3, generator=0), "generator is 0, expected a torch.Generator or None"),
        (lambda: Hutchinson(generator=0), "generator is 0, expected a torch.Generator or None"),
        (lambda: MLPField(2, 3, generator=0), "generator is 0, expected a torch.Generator or None"),
        (
            lambda: OdeClassifier(4, generator="0"),
            "generator is '0', expected a torch.Generator or",
        ),
    ],
    "texts": [
        (lambda: planar(towards=None), "towards is None, expected 'data' or 'base'"),
        (lambda: PlanarField(2, 3, reduce=["sum"]), "reduce is list, expected 'sum' or 'mean'"),
        (lambda: OdeClassifier(4, downsampling=[]), "downsampling is list, expected 'conv' or 're"),
        (lambda: mnist.load(["train"]), "split is list, expected 'train' or 'test'"),
        (lambda: mnist.load("test", folder=3), "folder is 3, expected a path"),
        (lambda: mnist.spread("test", 3), "data is 'test', expected an MNIST"),
        (lambda: split_wedge(torch.zeros(3, 2), 0, 1), "points is Tensor, expected Points"),
        (
            lambda: split_wedge(Points(torch.zeros(3, 2), torch.zeros(2, 1)), 0, 1),
            r"points.targets has the shape \(2, 1\), expected \[3, 1\]",
        ),
        (
            lambda: mnist.normalised(images()),
            "images is torch.float32, expected a tensor of grey v",
        ),
        (lambda: mnist.normalised(np.zeros((1, 28, 28), np.uint8)), "images is ndarray, expected"),
        (lambda: mnist.normalised(SMALL.images[0]), r"images has the shape \(28, 28\), expected"),
    ],
}


@pytest.mark.parametrize(
    ("call", "words"), [pytest.param(*c, id=f"{k}-{c[1]}") for k in CASES for c in CASES[k]]
)
def test_what_makes_no_sense_is_one_sentence(call, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
    # Torch's own error is not shown before the sentence.
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("folder", ["nowhere", "", Path("nowhere")])
def test_a_folder_that_is_none_is_named(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^(folder is '(nowhere)?'|MNIST file .* missing)"):
        mnist.load("test", folder=folder)


def test_a_folder_may_be_a_text_and_a_file_is_none(tmp_path):
    bundled = str(Path(mnist.__file__).parent / "mnist")
    assert len(mnist.load("test", folder=bundled).images) == 10_000
    name = "t10k-images-idx3-ubyte.gz"
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=f"MNIST file {name} in .* cannot be read"):
        mnist.load("test", folder=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="which is not a folder"):
        mnist.load("test", folder=tmp_path / "file")


def test_samples_without_a_generator_are_those_of_torchs_global_one():
    """As everywhere in torch: repeated after torch.manual_seed alone, and new at every call."""
    for model in (
        cnf(),
        cnf(2),
        planar(),
        planar(runs=2, base=NORMAL),
        CNF(MLPField(2, 3), NORMAL),
    ):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            first, second = model.sample(5), model.sample(5)
            torch.manual_seed(3)
            assert torch.equal(model.sample(5), first)
        assert not torch.equal(first, second)


def test_a_time_too_short_for_the_dtype_is_that_of_the_base():
    x = torch.ones(3, 2)
    assert torch.equal(cnf().log_prob(x, 1e-200), StandardNormal(2).log_prob(x))


def test_a_float64_flow_takes_float64_points_and_autocast_what_it_converts():
    x = torch.zeros(3, 2)
    assert planar().double().log_prob(x.double()).dtype == torch.float64
    assert cnf().double().log_prob(x.double()).dtype == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert MLPField(2, 3)(T, x.bfloat16()).shape == (3, 2)


def test_a_failure_of_ones_own_field_passes_through():
    class Broken(nn.Module):
        def forward(self, t, y):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        CNF(Broken(), StandardNormal(2)).log_prob(torch.zeros(3, 2))
    with pytest.raises(RuntimeError, match="broken"):
        OdeModel(nn.Identity(), Broken(), nn.Identity())(torch.zeros(3, 2))
