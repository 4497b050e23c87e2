"""The rows of small runs, and the divergence against quadrature."""

import pandas as pd
import pytest
import torch

from neural_ode import StepLimit
from neural_ode.flows import CNF, ENERGIES, PlanarFlow, log_normaliser
from odeclaims.cell import Context, Profile
from odeclaims.claims.density_matching import CLAIM, measure
from odeclaims.claims.density_matching.judge import NAMES, caveats
from odeclaims.claims.density_matching.measure import Runs
from odeclaims.claims.density_matching.settings import EVEN_TIME_EARLY, TARGETS, WIDTHS
from odeclaims.claims.density_matching.show import read_picture
from tests.odeclaims.claims.density_matching.small import cell, measured


@pytest.mark.parametrize(
    ("arm", "parameters"), [("nf", 10), ("nf_adam", 10), ("cnf", 1582), ("cnf_constant", 10)]
)
def test_every_model_is_judged(arm, parameters):
    df = measured(cell(arm))
    assert set(df.columns) <= set(CLAIM.all_columns)
    results = df[df["kind"] == "result"]
    assert list(zip(results["target"], results["repetition"], strict=True)) == [
        ("U1", 0),
        ("U1", 1),
        ("U4", 0),
        ("U4", 1),
    ]
    assert results["seed"].nunique() == 4
    assert set(results["parameters"]) == {parameters}
    assert (results["kl"] > -3 * results["kl_se"]).all()
    assert (results["reconstruction_error"] < 1e-3).all()
    assert (results["density_error"] < 1e-3).all()
    assert results["nfe_forward"].notna().all() == arm.startswith("cnf")
    nfe = results.get("training_nfe", pd.Series([1.0])).iloc[0]
    assert set(results["unit_evaluations"]) == {round(20 * 2 * nfe)}
    assert (df["kind"] == "density").sum() == (2 * 64 if arm in measure.PICTURED else 0)


def test_training_lowers_the_divergence():
    """Of a planar flow, where Adam's rate allows it to come far in little time."""
    before = measured(cell("nf_adam", 1, learning_rate=1e-2))["kl"]
    after = measured(cell("nf_adam", 300, learning_rate=1e-2))["kl"]
    assert (after < before - 0.2).all()


def test_the_divergence_is_that_of_quadrature():
    """E_q[log q + U] + log Z against the integral over a fine grid."""
    runs = Runs.of(["U1", "U4"], 1, 2)
    generators = runs.generators()
    model = PlanarFlow(2, 2, runs=2, generator=generators).double()
    found, nfe = measure._judge(model, runs, generators, 20_000)
    assert nfe is None
    axis = torch.linspace(-7, 7, 401, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        log_q = model.log_prob(points.expand(2, -1, -1))
    for i, target in enumerate(runs.targets):
        log_p = -ENERGIES[target](points) - log_normaliser(ENERGIES[target])
        expected = (log_q[i].exp() * (log_q[i] - log_p)).sum() * (axis[1] - axis[0]) ** 2
        assert found["kl"][i] == pytest.approx(float(expected), abs=4 * found["kl_se"][i])


@pytest.mark.parametrize("arm", ["nf_adam", "cnf_constant"])
def test_a_model_does_not_notice_how_many_train_beside_it(arm):
    """To rounding, and for a CNF to what its joint steps leave."""
    alone, batch = (measured(cell(arm, 10, repetitions=n)) for n in (1, 2))
    both = batch[batch["repetition"] == 0]
    assert both["seed"].tolist() == alone["seed"].tolist()
    assert both["kl"].tolist() == pytest.approx(alone["kl"].tolist(), rel=1e-3)


def test_arms_share_their_seeds_and_targets_and_widths_do_not():
    seeds = set()
    for arm in NAMES:
        rows = CLAIM.measure(cell(arm, 1), Context())
        seeds.add(tuple(row["seed"] for row in rows if row["kind"] == "result"))
    assert seeds == {Runs.of(["U1", "U4"], 2, 2).seeds}
    assert Runs.of(["U1"], 3, 2).seeds[:2] == Runs.of(["U1"], 2, 2).seeds
    assert not set(Runs.of(["U1"], 2, 2).seeds) & set(Runs.of(["U1"], 2, 8).seeds)


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    whole = measured(cell("nf")).drop(columns="train_s")

    class Stopped(Exception):
        pass

    fit, steps = measure.fit, []

    def watched(training, *, stop, **settings):
        loss = training.loss

        def stopping(step):
            steps.append(step)
            if step == stop:
                raise Stopped
            return loss(step)

        monkeypatch.setattr(training, "loss", stopping)
        fit(training, checkpoint_every_s=0.0, **settings)

    context = Context(checkpoint=tmp_path / "state")
    monkeypatch.setattr(measure, "fit", lambda *a, **k: watched(*a, stop=13, **k))
    with pytest.raises(Stopped):
        measured(cell("nf"), context)
    monkeypatch.setattr(measure, "fit", lambda *a, **k: watched(*a, stop=None, **k))
    steps.clear()
    resumed = measured(cell("nf"), context).drop(columns="train_s")
    assert steps[0] == 13
    pd.testing.assert_frame_equal(resumed, whole)


def test_a_training_says_how_far_it_is(tmp_path):
    context = Context(progress=tmp_path / "progress", label="a training")
    CLAIM.measure(cell("nf_adam", 3), context)
    said = (tmp_path / "progress").read_text()
    assert said.startswith("step 1 of 3, mean loss ")
    assert said.endswith(" nats | a training")


def test_annealing_weighs_the_energy():
    seen = []
    runs = Runs.of(["U1", "U4"], 1, 2)
    generators = runs.generators()
    model = PlanarFlow(2, 2, runs=2, generator=generators)

    def energy(x):
        seen.append(x)
        return torch.full(x.shape[:2], 100.0)

    def weight(step, anneal_steps):
        state = [g.get_state() for g in generators]
        loss = measure._loss(model, energy, generators, anneal_steps)(step)
        for g, kept in zip(generators, state, strict=True):
            g.set_state(kept)
        log_prob = model.sample_with_log_prob(100, generators)[1].mean(dim=1)
        return ((loss - log_prob) / 100).detach()

    for step, anneal_steps, expected in [(0, 50, 0.01), (20, 50, 0.41), (60, 50, 1), (0, None, 1)]:
        torch.testing.assert_close(
            weight(step, anneal_steps), torch.full((2,), float(expected)), atol=1e-5, rtol=0
        )


def test_without_a_compiler_the_energies_run_as_they_are(monkeypatch):
    def compile_(function, **settings):
        def fails(x):
            raise RuntimeError("no compiler found\nand more")

        return fails

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.warns(UserWarning, match="not compiled, so run as it is: no compiler found$"):
        df = measured(cell("nf", compiled=True)).drop(columns=["train_s", "compiled"])
    plain = measured(cell("nf")).drop(columns=["train_s", "compiled"])
    pd.testing.assert_frame_equal(df, plain)


def test_a_solve_that_fails_is_a_row_for_each_model(monkeypatch):
    model = measure._model

    def hasty(arm, width, generators):
        made = model(arm, width, generators)
        assert isinstance(made, CNF)
        made.solver["max_num_steps"] = 1
        return made

    monkeypatch.setattr(measure, "_model", hasty)
    df = measured(cell("cnf"))
    assert df[["kind", "status"]].values.tolist() == 4 * [["result", "max_steps"]]


def test_what_fails_after_training_does_not_cost_the_result(monkeypatch):
    """A flow that only goes forward keeps its divergence, and says what it lacks."""

    def stuck(self, x, time=None):
        raise StepLimit("stuck", t=0.5)

    monkeypatch.setattr(CNF, "log_prob", stuck)
    df = measured(cell("cnf"))
    results, pictures = (df[df["kind"] == kind] for kind in ("result", "density"))
    assert results["kl"].gt(0).all()
    assert results["reconstruction_error"].eq(float("inf")).all()
    assert pictures[["target", "status"]].values.tolist() == [
        ["U1", "max_steps"],
        ["U4", "max_steps"],
    ]
    framed_df = df.reindex(columns=list(CLAIM.all_columns))
    assert read_picture(framed_df, "cnf", "U1", 2).sum() == 0
    assert "4 of 4 models fail the reconstruction check" in " ".join(caveats(framed_df))


def test_a_model_that_left_all_numbers_is_marked_alone(monkeypatch):
    model = measure._model

    def broken(arm, width, generators):
        made = model(arm, width, generators)
        with torch.no_grad():
            assert isinstance(made, PlanarFlow)
            made.u[1] = torch.nan
        return made

    monkeypatch.setattr(measure, "_model", broken)
    df = measured(cell("nf_adam"))
    assert df["status"].tolist() == ["ok", "nonfinite", "ok", "ok"]
    assert df["kl"].isna().tolist() == [False, True, False, False]


@pytest.mark.parametrize(("profile", "seeds"), [(Profile("hour"), 3), (Profile("paper"), 5)])
def test_hour_and_paper_have_the_published_budgets(profile, seeds):
    training = [c.params for c in CLAIM.cells(profile) if c.params["task"] == "training"]
    assert len(training) == len(NAMES) * len(WIDTHS)
    assert {p["steps"] for p in training if p["arm"] == "nf"} == {500_000}
    assert {p["anneal_steps"] for p in training if p["arm"] == "nf"} == {10_000}
    assert {p["steps"] for p in training if p["arm"] == "cnf"} == {10_000}
    assert {p["repetitions"] for p in training} == {seeds}
    assert {p["targets"] for p in training} == {"U1 U2 U3 U4"}


def test_quick_leaves_out_what_it_cannot_judge():
    training = [c.params for c in CLAIM.cells(Profile("quick")) if c.params["task"] == "training"]
    assert {p["arm"] for p in training} == set(NAMES) - {"nf"}
    steps = {(p["arm"], p["width"]): p["steps"] for p in training}
    assert steps["nf_adam_long", 2] == EVEN_TIME_EARLY[2] * steps["cnf", 2]
    assert steps["nf_adam", 2] == steps["cnf", 2] == steps["cnf_constant", 2]


def test_the_picture_is_that_of_the_median():
    runs = Runs(("U1", "U4"), 3, tuple(range(6)))
    assert runs.medians([3.0, 1.0, 2.0, 5.0, 6.0, 4.0]) == [2, 3]
    assert Runs(("U1",), 2, (0, 1)).medians([2.0, 1.0]) == [1]
    df = measured(cell("nf", repetitions=3))
    results, lines = (df[df["kind"] == kind] for kind in ("result", "density"))
    for target in ("U1", "U4"):
        shown = lines[lines["target"] == target].iloc[0]
        models = results[results["target"] == target].set_index("repetition")
        model = models.loc[shown["repetition"]]
        assert model["kl"] == models["kl"].median()
        assert model["seed"] == shown["seed"]


def test_the_revision_enters_the_seeds():
    first, second = (Runs.of(["U1"], 2, 2, revision).seeds for revision in (1, 2))
    assert not set(first) & set(second)


def test_the_targets_are_all_energies():
    assert tuple(ENERGIES) == TARGETS


def test_steps_are_timed_alone():
    for chosen in CLAIM.cells(Profile("quick")):
        assert CLAIM.alone(chosen) == (chosen.params["task"] == "timing")
