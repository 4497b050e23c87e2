"""The rows of small runs, and the gap against quadrature."""

import re
from itertools import product

import pandas as pd
import pytest
import torch

from neural_ode.failures import StepLimit
from neural_ode.flows import CNF, PlanarFlow
from odeclaims.cell import Context, Profile
from odeclaims.claims.maximum_likelihood import CLAIM, measure
from odeclaims.claims.maximum_likelihood.settings import (
    CHECKED_TOLERANCE,
    DATA,
    FULL_ITERATIONS,
    SHARES,
    WINDOWS,
)
from odeclaims.record.files import CorruptFile
from odeclaims.trained.recipes import likelihood_flows
from odeclaims.trained.recipes.likelihood_flows import (
    DENSITIES,
    NAME,
    NETS,
    SIZE,
    Runs,
    flow_of,
    freeze,
)
from odeclaims.trained.specification import Specification
from odeclaims.trained.store import OtherSpecification
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


def test_the_gaps_are_the_divergence_by_quadrature():
    """Over samples to their error; the claim's own rule against a finer one on a whole square."""
    runs = Runs(1)
    model = flow_of("nf", runs.generators("training")).double().requires_grad_(False)
    found = measure._judge(model, runs, 20_000)
    spacing = 0.02
    first = torch.arange(-1.6, 2.6, spacing, dtype=torch.float64)
    points = torch.cartesian_prod(first, first[first < 1.7]).expand(2, -1, -1)
    log_p, log_q = runs.log_prob(points), model.log_prob(points)
    expected = (log_p.exp() * (log_p - log_q)).sum(dim=1) * spacing**2
    for gap, error, value in zip(found["gap"], found["gap_se"], expected.tolist(), strict=True):
        assert gap == pytest.approx(value, abs=4 * error)
    assert found["gap_by_quadrature"] == pytest.approx(expected.tolist(), abs=1e-4)


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
def test_training_raises_the_likelihood():
    df = measured(cell("even_time", 25))
    for arm, data in product(NETS["even_time"], DATA):
        training = of_arm(df[df["data"] == data], arm, "training")
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


def test_a_failure_of_the_cnf_leaves_what_the_planar_flow_has_learnt(monkeypatch):
    judge = measure._judge

    def failing(model, runs, points):
        if isinstance(model, CNF) and points > measure.CHUNK:
            raise StepLimit("too many steps", 0.5)
        return judge(model, runs, points)

    monkeypatch.setattr(measure, "_judge", failing)
    df = measured(cell("even_time", evaluation_points=2000))
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
    monkeypatch.setattr(likelihood_flows, "STEP_LIMIT", 1)
    df = measured(cell("even_time", repetitions=2))
    assert df["kind"].tolist() == ["result"] * 4
    assert set(df["status"]) == {"max_steps"}


@pytest.fixture
def all_published(monkeypatch):
    """Every network of the recipe, its name in the place of its digest."""
    every = [(Specification(NAME, net, 0, SIZE), net) for net in NETS]
    monkeypatch.setattr(measure, "published", {NAME: every}.get)


def test_quick_has_the_iterations_and_seeds_to_be_judged(all_published):
    cells = [c for c in CLAIM.cells(Profile("quick")) if "net" in c.params]
    # Holm over four statements needs a least p-value of 0.05 / 4.
    assert [c.params["net"] for c in cells] == list(NETS)
    assert all(2 ** (1 - c.params["judged"]) <= 0.05 / 4 for c in cells)
    assert {c.params["iterations"] for c in cells} == {FULL_ITERATIONS}
    assert not any(CLAIM.alone(c) for c in cells)


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
    monkeypatch.setattr(likelihood_flows, "STEP_LIMIT", 1)
    model = freeze("cnf", flow_of("cnf", generators), [0, 1], CHECKED_TOLERANCE)
    rows = measure._return_checked(model, Runs(1))
    assert [row["status"] for row in rows] == ["max_steps"] * 2


def test_the_way_of_a_planar_flow_ends_at_its_data():
    """Each part goes on where the one before ended, and the last part is the whole flow."""
    flow = flow_of("nf", Runs(1).generators("training"))
    whole = freeze("nf", flow, [0, 1])
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
    model = flow_of("cnf", [torch.Generator()])
    assert isinstance(model, CNF)
    assert model.end == 10
    assert model.base.log_prob(torch.zeros(2)) == pytest.approx(-1.8379 + 2.3026, abs=1e-4)
    assert model.solver["rtol"] == model.solver["atol"] == 1e-5
    assert not model.solver["compile"]


def test_frozen_flows_are_not_compiled():
    model = flow_of("cnf", [torch.Generator()], compiled=True)
    assert isinstance(model, CNF)
    assert model.solver["compile"]
    frozen = freeze("cnf", model, [0])
    assert isinstance(frozen, CNF)
    assert not frozen.solver["compile"]


def test_fewer_seeds_judge_the_first_of_the_published_flows(all_published):
    """They are those that would be judged among all, to what their joint steps leave."""
    every, first = (measured(cell("nf", repetitions=2, judged=n)) for n in (2, 1))
    results = [of_arm(df, "nf", "result").set_index("seed")["gap"] for df in (every, first)]
    assert [len(each) for each in results] == [4, 2]
    assert results[0][results[1].index].tolist() == pytest.approx(results[1].tolist(), rel=1e-9)
    courses = [of_arm(df, "nf", "training") for df in (every, first)]
    both = courses[0].merge(courses[1], on=["seed", "iteration"])
    assert len(both) == len(courses[1]) == 2 * 4
    assert (both["nll_x"] == both["nll_y"]).all()
    chosen = next(iter(CLAIM.cells(Profile("quick", seeds=3))))
    assert chosen.params["judged"] == 3


def test_published_flows_are_taken_by_their_digest():
    chosen = cell("nf", weights="0" * 64)
    with pytest.raises((CorruptFile, OtherSpecification, FileNotFoundError), match="nf-0"):
        CLAIM.measure(chosen, Context())


def test_every_data_set_has_a_density_and_a_window():
    assert tuple(DENSITIES) == tuple(WINDOWS) == DATA
