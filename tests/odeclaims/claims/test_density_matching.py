"""The rows of small runs, the divergence against quadrature, and the verdict on made-up ones."""

from dataclasses import replace
from itertools import product
from typing import Any

import pandas as pd
import pytest
import torch

from neural_ode import StepLimit
from neural_ode.flows import CNF, ENERGIES, PlanarFlow, log_normaliser
from odeclaims.claim import Cell, Profile
from odeclaims.claims import density_matching as claim
from odeclaims.claims.density_matching import CLAIM, NAMES, TARGETS, WIDTHS, Runs

COMMON: dict[str, Any] = {
    "targets": "U1 U4",
    "repetitions": 2,
    "batch_size": 100,
    "evaluation_points": 2000,
    "learning_rate": 1e-3,
    "compiled": False,
}


def cell(arm: str, steps: int = 20, width: int = 2, **params) -> Cell:
    own = {"task": "training", "arm": arm, "width": width, "steps": steps}
    if arm == "nf":
        own["anneal_steps"] = 5
    return Cell(CLAIM.slug, {**own, **COMMON, **params})


def measured(chosen: Cell) -> pd.DataFrame:
    rows = CLAIM.measure(chosen)
    return pd.DataFrame([{**chosen.params, "status": "ok", "device": "cpu", **r} for r in rows])


def framed(*cells: Cell) -> pd.DataFrame:
    return pd.concat([measured(c) for c in cells]).reindex(columns=list(CLAIM.all_columns))


TARGET = Cell(CLAIM.slug, {"task": "target", "targets": "U1 U4"})


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
    assert (df["kind"] == "density").sum() == (2 * 64 if arm in ("nf", "cnf") else 0)


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
    found, nfe = claim._judge(model, runs, generators, 20_000)
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
    for arm in GOOD:
        rows = CLAIM.measure(cell(arm, 1))
        seeds.add(tuple(row["seed"] for row in rows if row["kind"] == "result"))
    assert seeds == {Runs.of(["U1", "U4"], 2, 2).seeds}
    assert Runs.of(["U1"], 3, 2).seeds[:2] == Runs.of(["U1"], 2, 2).seeds
    assert not set(Runs.of(["U1"], 2, 2).seeds) & set(Runs.of(["U1"], 2, 8).seeds)


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    whole = measured(cell("nf")).drop(columns="train_s")

    class Stopped(Exception):
        pass

    fit, steps = claim.fit, []

    def watched(model, loss, *, stop, **settings):
        def stopping(step):
            steps.append(step)
            if step == stop:
                raise Stopped
            return loss(step)

        return fit(model, stopping, checkpoint_every_s=0.0, **settings)

    chosen = Cell(CLAIM.slug, cell("nf").params, checkpoint=tmp_path / "state")
    monkeypatch.setattr(claim, "fit", lambda *a, **k: watched(*a, stop=13, **k))
    with pytest.raises(Stopped):
        measured(chosen)
    monkeypatch.setattr(claim, "fit", lambda *a, **k: watched(*a, stop=None, **k))
    steps.clear()
    resumed = measured(chosen).drop(columns="train_s")
    assert steps[0] == 13
    pd.testing.assert_frame_equal(resumed, whole)


def test_a_training_says_how_far_it_is(tmp_path):
    chosen = replace(cell("nf_adam", 3), progress=tmp_path / "progress")
    CLAIM.measure(chosen)
    said = (tmp_path / "progress").read_text()
    assert said.startswith("step 1 of 3, mean loss ")
    assert said.endswith(f" nats | {chosen.label()}")


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
        loss = claim._loss(model, energy, generators, anneal_steps)(step)
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
    model = claim._model

    def hasty(arm, width, generators):
        made = model(arm, width, generators)
        assert isinstance(made, CNF)
        made.solver["max_num_steps"] = 1
        return made

    monkeypatch.setattr(claim, "_model", hasty)
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
    assert claim._stored(framed_df, "cnf", "U1", 2).sum() == 0
    assert "4 of 4 models cannot be taken back" in " ".join(CLAIM.caveats(framed_df))


def test_a_model_that_left_all_numbers_is_marked_alone(monkeypatch):
    model = claim._model

    def broken(arm, width, generators):
        made = model(arm, width, generators)
        with torch.no_grad():
            assert isinstance(made, PlanarFlow)
            made.u[1] = torch.nan
        return made

    monkeypatch.setattr(claim, "_model", broken)
    df = measured(cell("nf_adam"))
    assert df["status"].tolist() == ["ok", "nonfinite", "ok", "ok"]
    assert df["kl"].isna().tolist() == [False, True, False, False]


def test_pictures_are_densities():
    df = framed(TARGET, cell("nf"))
    for arm, width in (("target", None), ("nf", 2)):
        picture = claim._stored(df, arm, "U1", width)
        assert picture.shape == (64, 64)
        assert float(picture.sum()) / 1000 / 8**2 == pytest.approx(1, abs=0.03)
    # The ring is symmetric, and empty in the middle.
    ring = claim._stored(df, "target", "U1", None)
    assert torch.equal(ring, ring.flip(0))
    assert torch.equal(ring, ring.flip(1))
    assert ring[31, 31] == 0
    # U4 branches downward on the right: the lines are counted from below.
    fork = claim._stored(df, "target", "U4", None)
    assert fork[:20, 48:].sum() > 100
    assert fork[44:, 48:].sum() < 100
    logs = df[df["kind"] == "target"].set_index("target")["log_normaliser"]
    assert logs["U1"] == pytest.approx(1.8775, abs=1e-4)


GOOD = {"nf": 0.3, "nf_adam": 0.3, "nf_adam_long": 0.25, "cnf": 0.1, "cnf_constant": 0.2}
PUBLISHED = {"nf": 500_000, "nf_adam_long": 250_000}


def made_up(
    changed: dict[tuple[str, int], float] | None = None, seeds: int = 3, **columns
) -> pd.DataFrame:
    """Rows alike but for the divergences given by arm and width."""
    rows = []
    cells = product(GOOD, TARGETS, WIDTHS, range(seeds))
    for arm, target, width, repetition in cells:
        row = {
            "kind": "result",
            "status": "ok",
            "arm": arm,
            "target": target,
            "width": width,
            "repetition": repetition,
            "steps": PUBLISHED.get(arm, 10_000),
            "kl": (changed or {}).get((arm, width), GOOD[arm]),
            "kl_se": 0.01,
            "late_gain": 0.001,
            "reconstruction_error": 1e-4,
        }
        rows.append(row)
    df = pd.DataFrame(rows).reindex(columns=list(CLAIM.all_columns))
    for column, value in columns.items():
        df.loc[df.index[-1], column] = value
    return df


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(made_up())) == {"reproduced"}
    assert CLAIM.judge(made_up()).outcome == "reproduced"


def at_all(arm: str, value: float) -> dict[tuple[str, int], float]:
    return {(arm, width): value for width in WIDTHS}


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({("nf", 2): 0.05}, "partly"),
        ({("nf", 2): 0.09}, "reproduced"),
        ({("nf", 2): 0.05, ("nf", 8): 0.05}, "not reproduced"),
        (at_all("nf_adam_long", 0.01), "partly"),
        (at_all("nf_adam", 0.01), "reproduced"),
        ({("nf_adam", 8): -0.04}, "not reproduced"),
    ],
    ids=[
        "width 2 lost",
        "within the margin",
        "two widths lost",
        "lost in equal time",
        "lost in equal steps",
        "a negative divergence",
    ],
)
def test_what_is_lost_is_said(changed, outcome):
    assert CLAIM.judge(made_up(changed)).outcome == outcome


def test_the_constant_field_is_judged_apart():
    found = outcomes(made_up(at_all("cnf_constant", 0.9)))
    assert found == ["reproduced"] * 3 + ["not reproduced"] * 2 + ["reproduced"]
    assert CLAIM.judge(made_up(at_all("cnf_constant", 0.9))).outcome == "reproduced"


@pytest.mark.parametrize(
    ("df", "reason"),
    [
        (made_up(seeds=2), "2 of at least 3 values"),
        (made_up().assign(steps=400), "cnf had 400 of at least 10000 steps"),
        (made_up().query("target != 'U3'"), "9 of 12 targets and widths"),
    ],
)
def test_less_than_was_published_is_insufficient(df, reason):
    judgements = CLAIM.judge(df).judgements
    assert judgements[0].lacking == reason
    assert [j.outcome for j in judgements][2] == "reproduced"


@pytest.mark.parametrize("arm", ["cnf", "nf"])
def test_models_that_fail_or_cannot_be_taken_back_are_insufficient(arm):
    df = made_up()
    df = pd.concat([df[df["arm"] != arm], df[df["arm"] == arm]], ignore_index=True)
    failed, bent = df.copy(), df.copy()
    failed.loc[failed.index[-1], "status"] = "nonfinite"
    bent.loc[bent.index[-1], "reconstruction_error"] = 0.1
    reasons = [CLAIM.judge(changed).judgements[0].lacking for changed in (failed, bent)]
    assert reasons == [
        f"35 of 36 models of {arm} could be judged",
        f"1 of 36 models of {arm} cannot be taken back",
    ]


def test_caveats_name_where_the_cnf_is_behind():
    text = " ".join(CLAIM.judge(made_up({("nf", 2): 0.05})).caveats)
    assert "higher one for U1 at 2, U2 at 2, U3 at 2, U4 at 2." in text
    assert "NF, published: 500000 steps; in their last tenth the median loss still fell" in text


def test_figure_and_table_show_every_arm(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
    params = {"task": "timing", "width": 2, **COMMON, "steps": 1, "compiled": True}
    timing = Cell(CLAIM.slug, params)
    df = framed(TARGET, *(cell(arm) for arm in NAMES), timing)
    assert (df[df["kind"] == "timing"]["step_s"] > 0).all()
    assert df[df["kind"] == "timing"]["together"].tolist() == [1, 4] * 4
    # Two lines of target, NF, CNF and curves, and the bar of colours.
    assert len(CLAIM.figure(df).axes) == 2 * 4 + 1
    table = CLAIM.table(df)
    assert table["model"].tolist() == list(NAMES.values())
    assert {"KL U1", "KL U4", "steps"} <= set(table.columns)
    (sentence,) = (c for c in CLAIM.caveats(df) if c.startswith("Milliseconds of a step: "))
    assert sentence.count(" for 1 and ") == sentence.count(" for 4") == 4
    assert sentence.count(", compiled, ") == 1


@pytest.mark.parametrize(("profile", "seeds"), [(Profile("hour"), 3), (Profile("paper"), 5)])
def test_hour_and_paper_have_the_published_budgets(profile, seeds):
    training = [c.params for c in CLAIM.cells(profile) if c.params["task"] == "training"]
    assert len(training) == len(NAMES) * len(WIDTHS)
    assert {p["steps"] for p in training if p["arm"] == "nf"} == {500_000}
    assert {p["anneal_steps"] for p in training if p["arm"] == "nf"} == {10_000}
    assert {p["steps"] for p in training if p["arm"] == "cnf"} == {10_000}
    assert {p["repetitions"] for p in training} == {seeds}
    assert {p["targets"] for p in training} == {"U1 U2 U3 U4"}
