"""The cells, and the rows of a small run."""

import pandas as pd
import pytest
import torch

from odeclaims.cell import Cell, Profile
from odeclaims.claims.latent_ode_spirals import CLAIM, measure
from odeclaims.claims.latent_ode_spirals.settings import ARMS, COUNTS, NOISE, SLUG, WINDOW
from odeclaims.claims.latent_ode_spirals.spirals import draw_windows, stack
from tests.odeclaims.claims.small_runs import measure_rows

SMALL = {
    "points": 10,
    "noise": 0.3,
    "repetitions": 2,
    "series": 20,
    "batch": 10,
    "updates": 10,
    "test_series": 6,
}


def test_all_models_see_the_same_windows():
    for profile in ("quick", "paper"):
        cells = list(CLAIM.cells(Profile(profile)))
        for points in {cell.params["points"] for cell in cells}:
            chosen = [
                c for c in cells if (c.params["points"], c.params["noise"]) == (points, NOISE)
            ]
            assert len({tuple(each.seed for each in measure.seeds_of(c)) for c in chosen}) == 1
    assert {cell.params["arm"] for cell in cells} == set(ARMS)
    assert {cell.params["points"] for cell in cells} == set(COUNTS)


def test_batches_hold_every_series_once_before_one_comes_again():
    places = torch.arange(7).repeat(2, 1)[..., None]
    x = places[..., None].expand(2, 7, 1, 2).float()
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    batches = iter(measure.Batches(x, places, generators, 4))
    for _ in range(2):
        found = [next(batches) for _ in range(2)]
        assert [each.shape[1] for _, each, _ in found] == [4, 3]
        both = torch.cat([each for _, each, _ in found], dim=1)[..., 0]
        assert both.sort(dim=1).values.tolist() == [list(range(7))] * 2
        torch.testing.assert_close(found[0][0][..., 0, 0], found[0][1][..., 0].float())


def test_errors_are_those_of_a_shift_that_is_known():
    test = stack([draw_windows(40, 30, 0.1, torch.Generator().manual_seed(3))]).double()
    shift = torch.where(test.counter, 0.3, 0.4)[..., None, None]
    beyond = test.starts[..., None] + WINDOW + torch.arange(100) > 398
    predicted = test.truth[..., WINDOW:, :] + shift
    found = {name: each[0] for name, each in measure.errors(test, predicted).items()}
    assert found["rmse"] == pytest.approx((0.5 * 0.3**2 + 0.5 * 0.4**2) ** 0.5)
    assert found["rmse_counter"] == pytest.approx(0.3)
    assert found["rmse_clockwise"] == pytest.approx(0.4)
    assert found["rmse_noisy"] == pytest.approx((found["rmse"] ** 2 + 0.1**2) ** 0.5, rel=0.03)
    late = measure.errors(test, test.truth[..., WINDOW:, :] + beyond[..., None])
    assert (late["rmse_seen"], late["rmse_unseen"]) == ([0.0], [1.0])


def test_the_rate_falls_to_zero_along_a_squared_cosine():
    assert [measure.fall(share) for share in (0, 0.5, 1)] == pytest.approx([1, 0.25, 0])


def test_the_late_gain_is_that_of_the_last_part():
    losses = torch.tensor([[9.0, 9.0], [4.0, 2.0], [3.0, 2.2]])
    torch.testing.assert_close(measure.late_gain(losses), torch.tensor([0.25, -0.1]))


def test_principal_components_keep_what_lies_in_a_plane():
    z = torch.zeros(2, 5, 4, dtype=torch.float64)
    z[..., 1] = torch.arange(10).view(2, 5)
    z[..., 3] = torch.tensor([0, 1, 0, 1, 0])
    found = measure.principal(z).flatten(0, 1)
    whole = z.flatten(0, 1)
    torch.testing.assert_close(torch.cdist(found, found), torch.cdist(whole, whole))


@pytest.mark.parametrize("arm", ["latent_ode_2", "rnn_dt"])
def test_training_lowers_the_loss_and_repeats(arm):
    ends = []
    for _ in range(2):
        params = {"arm": arm, **SMALL, "updates": 40}
        df = measure_rows(CLAIM, Cell(SLUG, params))
        ends.append(df[df["kind"] == "loss"]["loss"].to_list())
    assert ends[0] == ends[1]
    # Ten parts of two seeds each.
    assert sum(ends[0][-2:]) < 0.8 * sum(ends[0][:2])


def test_a_training_that_fails_is_a_row_for_each_seed(monkeypatch):
    monkeypatch.setattr("odeclaims.claims.latent_ode_spirals.nets.STEP_LIMIT", 1)
    df = measure_rows(CLAIM, Cell(SLUG, {"arm": "latent_ode", **SMALL}))
    assert list(df["status"]) == ["max_steps", "max_steps"]
    assert list(df["repetition"]) == [0, 1]


@pytest.fixture(scope="module")
def smoke() -> pd.DataFrame:
    rows = [measure_rows(CLAIM, cell) for cell in CLAIM.cells(Profile("smoke"))]
    return pd.concat(rows)


def test_every_model_has_its_rows(smoke):
    assert set(smoke["status"]) == {"ok"}
    results = smoke[smoke["kind"] == "result"]
    trained = sorted(set(measure.SMOKE) - {"lookup"})
    # Two seeds each, and of what is trained after half of the updates too.
    assert sorted(results["arm"]) == sorted(2 * [*measure.SMOKE, *trained])
    latent = results[results["arm"].str.startswith("latent")]
    assert latent["solver_difference"].between(0, 0.01).all()
    assert latent["training_nfe"].min() > 6
    assert results.set_index("arm").loc["lookup", "late_gain"].isna().all()
    assert results.set_index("arm").loc["lookup", "rmse"].max() < 0.3
    losses = smoke[smoke["kind"] == "loss"].groupby("arm").size()
    assert dict(losses) == dict.fromkeys(trained, 40)


def test_the_points_of_windows_are_kept(smoke):
    points = smoke[(smoke["kind"] == "point") & (smoke["updates"] == smoke["updates"].max())]
    assert set(points["arm"]) == set(measure.SMOKE)
    rnn = points[points["arm"] == "rnn"]
    assert set(rnn[rnn["predicted_x"].isna()]["place"] < WINDOW) == {True}
    assert rnn["observed_x"].notna().sum() == 4 * 30
    latent = points[points["arm"] == "latent_ode"]
    assert latent[["predicted_x", "latent_y"]].notna().all(axis=None)


def test_the_small_run_is_judged_and_tabulated(smoke):
    df = smoke.reindex(columns=list(CLAIM.all_columns))
    verdict = CLAIM.judge(df)
    assert all(check.passed for check in verdict.checks)
    assert {each.outcome for each in verdict.judgements} == {"insufficient"}
    assert verdict.scale == "toy"
    assert len(CLAIM.table(df)) == len(measure.SMOKE)
