"""The rows of small runs, the gap against quadrature, and the verdict on made-up gaps."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest
import torch
from odeclaims.flows import GRID, centres

from neural_ode.flows import CNF, PlanarFlow
from odeclaims.claim import Cell, Profile
from odeclaims.claims import maximum_likelihood as claim
from odeclaims.claims.maximum_likelihood import CLAIM, DATA, EVEN_TIME, NAMES, SHARES, Runs

COMMON: dict[str, Any] = {
    "repetitions": 1,
    "batch_size": 32,
    "evaluation_points": 1000,
    "drawn_points": 10,
    "compiled": False,
}
PARAMETERS = {"cnf": 15_904, "cnf_constant": 320, "nf": 320, "nf_long": 320}


def cell(arm: str, iterations: int = 3, **params) -> Cell:
    return Cell(CLAIM.slug, {"arm": arm, "iterations": iterations, **COMMON, **params})


def measured(chosen: Cell) -> pd.DataFrame:
    rows = CLAIM.measure(chosen)
    common = {**chosen.params, "status": "ok", "device": "cpu"}
    return pd.DataFrame([{**common, **row} for row in rows])


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Every arm after few iterations, and the data."""
    data = Cell(CLAIM.slug, {"arm": "data", "drawn_points": 10})
    parts = [measured(chosen) for chosen in (*map(cell, NAMES), data)]
    return pd.concat(parts).reindex(columns=list(CLAIM.all_columns))


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
    rows = CLAIM.measure(cell("nf"))
    assert {name for row in rows for name in row} <= set(CLAIM.all_columns)


def test_the_gap_is_the_likelihood_less_the_entropy():
    """The two means are over the same points, so they differ by what the data's own one is off."""
    results = of_arm(measured(cell("nf", evaluation_points=20_000)), "nf", "result")
    off = results["nll"] - results["floor"] - results["gap"]
    assert (off.abs() < 0.03).all()
    assert results["floor"].tolist() == pytest.approx([0.788, 0.637], abs=1e-3)


def test_the_gap_is_the_divergence_by_quadrature():
    runs = Runs(1)
    model = claim._model("nf", runs.generators("training")).double().requires_grad_(False)
    found = claim._judge(model, runs, 20_000)
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

    found = claim._judge(Truth(2, 1, runs=4), Runs(2), 1000)
    assert found["gap"] == [0.0] * 4
    assert found["reconstruction_error"] == [0.0] * 4


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


def test_the_way_of_the_cnf_is_that_of_its_densities(frame):
    """Each picture is a density: it adds up to one, and its samples have its mean."""
    for data, (left, right, lower, upper) in claim.WINDOWS.items():
        area = (right - left) * (upper - lower) / GRID**2
        own = frame[frame["data"] == data]
        for share in SHARES:
            picture = claim._stored(own, "cnf", share) / 1000
            assert float(picture.sum()) * area == pytest.approx(1, abs=0.02)
        assert len(claim._picked(own, "sample", "cnf", 1.0)) == 10


def test_samples_have_the_density_that_is_solved_for():
    """Counts of samples in a half plane against the picture of the density, along the way."""
    model = claim._model("cnf", [torch.Generator().manual_seed(i) for i in range(2)])
    frozen = claim._frozen("cnf", model, [0, 1])
    rows = pd.DataFrame(claim._pictures(frozen, 4000)).assign(arm="cnf")
    for data in DATA:
        own = rows[rows["data"] == data]
        places = centres(*claim.WINDOWS[data]).reshape(GRID, GRID, 2)
        for share in SHARES:
            picture = claim._stored(own, "cnf", share)
            samples = claim._picked(own, "sample", "cnf", share)
            for i, name in enumerate("xy"):
                mean = float((picture * places[..., i]).sum() / picture.sum())
                error = float(samples[name].std()) / len(samples) ** 0.5
                assert samples[name].mean() == pytest.approx(mean, abs=4 * error + 0.005)


def test_some_models_are_taken_out_of_a_batch():
    generators = [torch.Generator().manual_seed(i) for i in range(3)]
    for arm in ("nf", "cnf", "cnf_constant"):
        model = claim._model(arm, generators)
        x = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(7))
        part = claim._frozen(arm, model, [2])
        with torch.no_grad():
            expected = model.log_prob(x)[2]
        found = part.log_prob(x[2:].double())[0]
        assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-3)


def test_an_interrupted_training_goes_on(tmp_path, monkeypatch):
    whole = measured(cell("nf")).drop(columns="train_s")
    fit = claim.fit

    class Stopped(Exception):
        pass

    def stopping(model, loss, **settings):
        def loss_until(step):
            if step == 2:
                raise Stopped
            return loss(step)

        return fit(model, loss_until, checkpoint_every_s=0.0, **settings)

    chosen = Cell(CLAIM.slug, cell("nf").params, checkpoint=tmp_path / "state")
    monkeypatch.setattr(claim, "fit", stopping)
    with pytest.raises(Stopped):
        measured(chosen)
    assert (tmp_path / "state").exists()
    monkeypatch.setattr(claim, "fit", fit)
    pd.testing.assert_frame_equal(measured(chosen).drop(columns="train_s"), whole)


def test_a_training_says_how_far_it_is(tmp_path):
    chosen = Cell(CLAIM.slug, cell("cnf_constant").params, progress=tmp_path / "progress")
    CLAIM.measure(chosen)
    said = (tmp_path / "progress").read_text()
    assert re.match(r"step \d of 3, mean loss \d\.\d{3} nats, \d+ evaluations", said)


def test_a_training_that_fails_is_a_row_for_each_model(monkeypatch):
    monkeypatch.setattr(claim, "STEP_LIMIT", 1)
    df = measured(cell("cnf", repetitions=2))
    assert df["kind"].tolist() == ["result"] * 4
    assert set(df["status"]) == {"max_steps"}


GAPS = {"cnf": 0.1, "cnf_constant": 0.2, "nf": 0.5, "nf_long": 0.4}


def made_up(
    gaps: Mapping[tuple[str, str], float] = {},
    *,
    seeds: int = 3,
    error: float = 1e-4,
    iterations: int = 1000,
    bad: int = 0,
    status: str = "ok",
) -> pd.DataFrame:
    """Results of every seed alike; ``status`` is that of one model of the CNF.

    So many models, ``bad``, cannot be taken back.
    """
    rows = []
    for repetition in range(seeds):
        for arm in NAMES:
            for data in DATA:
                row = {
                    "kind": "result",
                    "arm": arm,
                    "data": data,
                    "repetition": repetition,
                    "iterations": iterations * (EVEN_TIME if arm == "nf_long" else 1),
                    "batch_size": 512,
                    "gap": gaps.get((arm, data), GAPS[arm]),
                    "gap_se": 0.01,
                    "reconstruction_error": error if arm == "cnf" else 1e-9,
                    "status": status if (arm, data, repetition) == ("cnf", "moons", 0) else "ok",
                }
                rows.append(row)
    for row in rows[:bad]:
        row["reconstruction_error"] = 0.1
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_picture_is_reproduced():
    assert set(outcomes(made_up())) == {"reproduced"}
    assert CLAIM.judge(made_up()).outcome == "reproduced"


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({"gaps": {("cnf", "circles"): 0.2}}, {0}),
        ({"gaps": {("cnf", "moons"): 0.2}}, {1}),
        ({"gaps": {("nf", "moons"): 0.15}}, {2, 6}),
        ({"error": 2e-3}, {4}),
        ({"gaps": {("nf_long", "circles"): -0.05}}, {5}),
    ],
)
def test_a_verdict_that_fails(changed, failing):
    found = outcomes(made_up(**changed))
    assert {i for i, outcome in enumerate(found) if outcome == "not reproduced"} == failing
    assert CLAIM.judge(made_up(**changed)).outcome == "not reproduced"


def test_an_edge_with_equal_iterations_alone_holds_in_part():
    df = made_up({("nf_long", "moons"): 0.05})
    assert outcomes(df)[3] == "partly"
    assert CLAIM.judge(df).outcome == "partly"


def test_what_does_not_decide_does_not():
    df = made_up({("cnf_constant", "moons"): 0.6, ("nf", "circles"): 0.1})
    assert outcomes(df)[6:] == ["not reproduced"] * 2
    assert CLAIM.judge(df).outcome == "reproduced"


@pytest.mark.parametrize(
    "changed", [{"seeds": 2}, {"iterations": 999}, {"status": "max_steps"}, {"error": 0.1}]
)
def test_little_evidence_is_insufficient(changed):
    assert outcomes(made_up(**changed))[:4] == ["insufficient"] * 4


def test_quick_has_the_iterations_and_seeds_to_be_judged():
    cells = [c for c in CLAIM.cells(Profile("quick")) if c.params["arm"] != "data"]
    assert {c.params["repetitions"] for c in cells} == {claim.LEAST_SEEDS}
    iterations = {c.params["arm"]: c.params["iterations"] for c in cells}
    assert iterations.pop("nf_long") == EVEN_TIME * claim.LEAST_ITERATIONS
    assert set(iterations.values()) == {claim.LEAST_ITERATIONS}
    assert not any(c.alone for c in cells)


def test_the_published_solver_and_base_are_used():
    model = claim._model("cnf", [torch.Generator()])
    assert isinstance(model, CNF)
    assert model.end == 10
    assert model.base.log_prob(torch.zeros(2)) == pytest.approx(-1.8379 + 2.3026, abs=1e-4)
    assert model.solver["rtol"] == model.solver["atol"] == 1e-5
    assert not model.solver["compile"]


def test_long_trainings_of_cnfs_are_compiled_and_frozen_models_are_not():
    for profile, wanted in ((Profile("quick"), set()), (Profile("hour"), {"cnf", "cnf_constant"})):
        found = {c.params["arm"] for c in CLAIM.cells(profile) if c.params.get("compiled")}
        assert found == wanted
    model = claim._model("cnf", [torch.Generator()], compiled=True)
    assert isinstance(model, CNF)
    assert model.solver["compile"]
    frozen = claim._frozen("cnf", model, [0])
    assert isinstance(frozen, CNF)
    assert not frozen.solver["compile"]


def test_figure_and_table_show_every_arm(frame):
    figure = CLAIM.figure(frame)
    pictures = 2 * len(DATA) * len(claim.SHOWN)
    assert len(figure.axes) == pictures + len(DATA) + 1
    assert all(ax.has_data() for ax in figure.axes)
    table = CLAIM.table(frame)
    assert table["model"].tolist() == list(NAMES.values()) * len(DATA)
    assert len(CLAIM.caveats(frame)) == len(NAMES) + 1


def test_a_short_training_is_a_caveat():
    short, full = (" ".join(CLAIM.caveats(made_up(iterations=n))) for n in (1000, 10_000))
    assert "The CNF had 1000 of the 10000 iterations" in short
    assert "may be that of a short training" not in full
    assert "1 of 24 models cannot" in " ".join(CLAIM.caveats(made_up(iterations=1000, bad=1)))
