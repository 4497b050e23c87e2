"""The rows of small runs, and the gap against quadrature."""

import re
from functools import partial
from itertools import count

import pandas as pd
import pytest
import torch

from neural_ode.failures import StepLimit
from neural_ode.flows import CNF, PlanarFlow
from neural_ode.flows.fitting import Training
from odeclaims.cell import Context, Profile
from odeclaims.claims.maximum_likelihood import CLAIM, measure
from odeclaims.claims.maximum_likelihood.measure import Runs
from odeclaims.claims.maximum_likelihood.settings import (
    CHECKED_TOLERANCE,
    DATA,
    EVEN_TIME,
    EXAMPLE_ITERATIONS,
    SHARES,
    WINDOWS,
)
from tests.odeclaims.claims.maximum_likelihood.small import cell, measured

PARAMETERS = {"cnf": 15_904, "cnf_constant": 320, "nf": 320, "nf_long": 320}


def of_arm(df: pd.DataFrame, arm: str, kind: str) -> pd.DataFrame:
    return df[(df["arm"] == arm) & (df["kind"] == kind)].dropna(axis=1, how="all")


@pytest.mark.parametrize(("arm", "parameters"), PARAMETERS.items())
def test_every_model_is_judged(frame, arm, parameters):
    results = of_arm(frame, arm, "result")
    assert results["data"].tolist() == list(DATA)
    assert results["seed"].nunique() == len(DATA)
    assert set(results["parameters"]) == {parameters}
    assert (results["gap"] > -3 * results["gap_se"]).all()
    assert (results["reconstruction_error"] < 1e-3).all()
    assert ("nfe_forward" in results) == arm.startswith("cnf")
    training = of_arm(frame, arm, "training")
    assert training["iteration"].drop_duplicates().tolist() == [0, 1, 2, 3]
    assert (training["iteration"].value_counts() == len(DATA)).all()


def test_the_columns_are_described_and_filled(frame):
    assert frame.notna().any().all()
    rows = CLAIM.measure(cell("nf"), Context())
    assert {name for row in rows for name in row} <= set(CLAIM.all_columns)


def test_the_gap_is_the_likelihood_less_the_entropy():
    """The two means are over the same points, so they differ by what the data's own one is off."""
    results = of_arm(measured(cell("nf", evaluation_points=20_000)), "nf", "result")
    off = results["nll"] - results["floor"] - results["gap"]
    assert (off.abs() < 0.03).all()
    assert results["floor"].tolist() == pytest.approx([0.788, 0.637], abs=1e-3)


def test_the_gap_is_the_divergence_by_quadrature():
    runs = Runs(1)
    model = measure._model("nf", runs.generators("training")).double().requires_grad_(False)
    found = measure._judge(model, runs, 20_000)
    spacing = 0.02
    first = torch.arange(-1.6, 2.6, spacing, dtype=torch.float64)
    points = torch.cartesian_prod(first, first[first < 1.7]).expand(2, -1, -1)
    log_p, log_q = runs.log_prob(points), model.log_prob(points)
    expected = (log_p.exp() * (log_p - log_q)).sum(dim=1) * spacing**2
    for gap, error, value in zip(found["gap"], found["gap_se"], expected.tolist(), strict=True):
        assert gap == pytest.approx(value, abs=4 * error)


def test_the_best_model_lacks_nothing():
    """The densities themselves in the place of a model: a gap of zero, whatever the points."""

    class Truth(PlanarFlow):
        def log_prob(self, x):
            return Runs(2).log_prob(x)

        def inverse(self, x):
            return x

        def forward(self, z):
            return z, z[..., 0]

    found = measure._judge(Truth(2, 1, runs=4), Runs(2), 1000)
    assert found["gap"] == [0.0] * 4
    assert found["reconstruction_error"] == [0.0] * 4


@pytest.mark.slow(reason="flows are trained")
@pytest.mark.parametrize("arm", ["nf", "cnf"])
def test_training_raises_the_likelihood(arm):
    df = measured(cell(arm, 25))
    for data in DATA:
        training = df[(df["kind"] == "training") & (df["data"] == data)]
        before, after = (training["nll"].iloc[i] for i in (0, -1))
        assert after < before - 0.1


@pytest.mark.parametrize("arm", ["nf", "cnf_constant"])
def test_a_model_does_not_notice_how_many_train_beside_it(arm):
    """To rounding, and for a CNF to what its joint steps leave."""
    alone, batch = (
        of_arm(measured(cell(arm, repetitions=n)), arm, "result").set_index("seed")["nll"]
        for n in (1, 2)
    )
    assert len(batch) == 2 * len(alone)
    assert batch[alone.index].tolist() == pytest.approx(alone.tolist(), rel=1e-3)


def test_arms_share_data_and_uses_do_not():
    runs = Runs(3)
    assert len({seed for use in ("training", "test") for seed in runs.seeds(use)}) == 12
    assert Runs(1).seeds("test") == runs.seeds("test")[::3]


def test_some_models_are_taken_out_of_a_batch():
    generators = [torch.Generator().manual_seed(i) for i in range(3)]
    for arm in ("nf", "cnf", "cnf_constant"):
        model = measure._model(arm, generators)
        x = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(7))
        part = measure._freeze(arm, model, [2])
        with torch.no_grad():
            expected = model.log_prob(x)[2]
        found = part.log_prob(x[2:].double())[0]
        assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("chosen", "stop"),
    [(cell("nf"), 2), (cell("cnf", even_time=2), 4)],
    ids=["alone", "in turns"],
)
def test_an_interrupted_training_goes_on(tmp_path, monkeypatch, chosen, stop):
    whole = measured(chosen).drop(columns="train_s")
    fit, steps = measure.fit, count()

    class Stopped(Exception):
        pass

    def stopping(*trainings, **settings):
        for training in trainings:
            monkeypatch.setattr(training, "take_step", partial(until, training.take_step))
        return fit(*trainings, checkpoint_every_s=0.0, **settings)

    def until(take_step):
        if next(steps) == stop:
            raise Stopped
        take_step()

    context = Context(checkpoint=tmp_path / "state")
    with monkeypatch.context() as patched:
        patched.setattr(measure, "fit", stopping)
        with pytest.raises(Stopped):
            measured(chosen, context)
    assert (tmp_path / "state").exists()
    resumed = measured(chosen, context).drop(columns="train_s")
    pd.testing.assert_frame_equal(resumed, whole)


def test_trainings_of_equal_time_take_turns(monkeypatch):
    """In each turn either takes its share of its steps; the planar flow has rows of its own."""
    seen: list[str] = []
    take_step = Training.take_step

    def noted(training):
        seen.append("cnf" if isinstance(training.model, CNF) else "nf_long")
        take_step(training)

    monkeypatch.setattr(Training, "take_step", noted)
    df = measured(cell("cnf", even_time=2))
    assert seen == 3 * ["nf_long", "cnf", "nf_long"]
    results = df[df["kind"] == "result"]
    assert results.groupby("arm")["iterations"].max().to_dict() == {"cnf": 3, "nf_long": 6}


def test_a_failure_of_the_cnf_leaves_what_the_planar_flow_has_learnt(monkeypatch):
    judge = measure._judge

    def failing(model, runs, points):
        if isinstance(model, CNF) and points > measure.CHUNK:
            raise StepLimit("too many steps", 0.5)
        return judge(model, runs, points)

    monkeypatch.setattr(measure, "_judge", failing)
    df = measured(cell("cnf", even_time=1, evaluation_points=2000))
    statuses = df[df["kind"] == "result"].groupby("arm")["status"].unique()
    assert {arm: list(found) for arm, found in statuses.items()} == {
        "cnf": ["max_steps"],
        "nf_long": ["ok"],
    }


def test_a_training_says_how_far_it_is(tmp_path):
    CLAIM.measure(cell("cnf_constant"), Context(progress=tmp_path / "progress"))
    said = (tmp_path / "progress").read_text()
    assert re.match(r"cnf_constant, step \d of 3, mean loss \d\.\d{3} nats, \d+ evaluations", said)


def test_a_training_that_fails_is_a_row_for_each_model(monkeypatch):
    monkeypatch.setattr(measure, "STEP_LIMIT", 1)
    df = measured(cell("cnf", repetitions=2))
    assert df["kind"].tolist() == ["result"] * 4
    assert set(df["status"]) == {"max_steps"}


def test_quick_has_the_iterations_and_seeds_to_be_judged():
    cells = [c for c in CLAIM.cells(Profile("quick")) if c.params["arm"] != "data"]
    # Holm over four statements needs a least p-value of 0.05 / 4.
    assert all(2 ** (1 - c.params["repetitions"]) <= 0.05 / 4 for c in cells)
    assert {c.params["iterations"] for c in cells} == {EXAMPLE_ITERATIONS}
    even_time = {c.params["arm"]: c.params["even_time"] for c in cells}
    assert even_time == {"cnf": EVEN_TIME, "cnf_constant": 0, "nf": 0}
    assert not any(CLAIM.alone(c) for c in cells)


def test_the_revision_enters_the_seeds():
    assert not set(Runs(2).seeds("training")) & set(Runs(2, 2).seeds("training"))


@pytest.mark.parametrize("arm", ["cnf", "cnf_constant"])
def test_cnfs_return_at_the_checked_tolerance(frame, arm):
    rows = of_arm(frame, arm, "round_trip")
    assert rows["data"].tolist() == list(DATA)
    assert set(rows["tolerance"]) == {CHECKED_TOLERANCE}
    loose = of_arm(frame, arm, "result")["reconstruction_error"]
    assert rows["reconstruction_error"].max() < 0.1 * loose.max()
    assert not len(of_arm(frame, "nf", "round_trip"))


def test_a_round_trip_that_fails_is_a_row(monkeypatch):
    generators = Runs(1).generators("training")
    monkeypatch.setattr(measure, "STEP_LIMIT", 1)
    model = measure._freeze("cnf", measure._model("cnf", generators), [0, 1], CHECKED_TOLERANCE)
    rows = measure._return_checked(model, Runs(1))
    assert [row["status"] for row in rows] == ["max_steps"] * 2


def test_the_way_of_a_planar_flow_ends_at_its_data():
    """Each part goes on where the one before ended, and the last part is the whole flow."""
    flow = measure._model("nf", Runs(1).generators("training"))
    whole = measure._freeze("nf", flow, [0, 1])
    assert isinstance(whole, PlanarFlow)
    z = torch.randn(2, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    half, all_layers = (measure._last_layers(whole, count) for count in (32, 64))
    torch.testing.assert_close(all_layers.inverse(z), whole.inverse(z))
    rest = measure._last_layers(whole, 64)
    for name in ("u", "w", "b"):
        getattr(rest, name).data[:, 32:] = torch.tensor(0.0)
    # A layer with u = 0 and w = 0 moves nothing.
    torch.testing.assert_close(rest.inverse(half.inverse(z)), whole.inverse(z))


def test_planar_pictures_stand_at_the_shares_of_the_cnfs(frame):
    for kind in ("density", "sample"):
        for arm in ("cnf", "nf_long"):
            assert set(of_arm(frame, arm, kind)["share"]) == set(SHARES)


def test_the_published_solver_and_base_are_used():
    model = measure._model("cnf", [torch.Generator()])
    assert isinstance(model, CNF)
    assert model.end == 10
    assert model.base.log_prob(torch.zeros(2)) == pytest.approx(-1.8379 + 2.3026, abs=1e-4)
    assert model.solver["rtol"] == model.solver["atol"] == 1e-5
    assert not model.solver["compile"]


def test_long_trainings_of_cnfs_are_compiled_and_frozen_models_are_not():
    for profile, wanted in ((Profile("quick"), set()), (Profile("hour"), {"cnf", "cnf_constant"})):
        found = {c.params["arm"] for c in CLAIM.cells(profile) if c.params.get("compiled")}
        assert found == wanted
    model = measure._model("cnf", [torch.Generator()], compiled=True)
    assert isinstance(model, CNF)
    assert model.solver["compile"]
    frozen = measure._freeze("cnf", model, [0])
    assert isinstance(frozen, CNF)
    assert not frozen.solver["compile"]


def test_every_data_set_has_a_density_and_a_window():
    assert tuple(measure.DENSITIES) == tuple(WINDOWS) == DATA
