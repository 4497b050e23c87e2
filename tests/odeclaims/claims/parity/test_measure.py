"""The cells, and the rows of a small run."""

import pandas as pd
import pytest
import torch

from odeclaims.cell import Cell, Profile
from odeclaims.claims.parity import CLAIM, measure
from odeclaims.claims.parity.settings import ARMS, FLOWS, LOOSE, MAPPED, RADII, SLUG
from tests.odeclaims.claims.small_runs import measure_rows

SMALL = {"training_tolerance": 1e-2, "repetitions": 2, "points": 6, "test_points": 16, "climbs": 1}


def test_all_models_of_a_dimension_learn_from_the_same_points():
    quick = list(CLAIM.cells(Profile("quick")))
    for dim in (1, 2, 3, 4):
        cells = [cell for cell in quick if cell.params["dim"] == dim]
        assert {cell.params["arm"] for cell in cells} == set(ARMS)
        seeds = {tuple(each.seed for each in measure.seeds_of(cell)) for cell in cells}
        assert len(seeds) == 1
    assert sum(cell.params["training_tolerance"] == LOOSE for cell in quick) == 1
    assert {cell.params["dim"] for cell in CLAIM.cells(Profile("hour"))} == {1, 2, 3, 4, 5, 6}


def test_the_points_of_a_seed_fill_the_cube():
    params = {"arm": "node", "dim": 3, **SMALL, "points": 500, "updates": 1}
    cell = Cell(SLUG, params)
    x = measure.draw(cell, cell.generator())
    assert x.shape == (500, 3)
    assert -1 <= float(x.min()) < -0.95
    assert 0.95 < float(x.max()) <= 1


def test_training_lowers_the_error_and_repeats():
    ends = []
    for updates in (1, 8, 8):
        params = {"arm": "data_control", "dim": 1, **SMALL, "updates": updates}
        df = measure_rows(CLAIM, Cell(SLUG, params, paired=("updates",)))
        checked = df[(df["kind"] == "result") & (df["role"] == "checked")]
        ends.append(checked["train_mse"].to_list())
    assert ends[1] == ends[2]
    assert max(ends[1]) < 0.7 * min(ends[0])


def test_a_training_that_fails_is_a_row_for_each_seed(monkeypatch):
    monkeypatch.setattr("odeclaims.claims.parity.nets.STEP_LIMIT", 1)
    params = {"arm": "node", "dim": 1, **SMALL, "updates": 1, "training_tolerance": 1e-6}
    df = measure_rows(CLAIM, Cell(SLUG, params))
    assert list(df["status"]) == ["max_steps", "max_steps"]
    assert list(df["repetition"]) == [0, 1]


@pytest.fixture(scope="module")
def smoke() -> pd.DataFrame:
    rows = [measure_rows(CLAIM, cell) for cell in CLAIM.cells(Profile("smoke"))]
    return pd.concat(rows)


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_every_model_has_its_rows(smoke):
    assert set(smoke["status"]) == {"ok"}
    results = smoke[smoke["kind"] == "result"]
    for (arm, dim, _), rows in results.groupby(["arm", "dim", "training_tolerance"]):
        roles = {"trained", "checked"} | ({"again"} if arm in FLOWS and dim % 2 else set())
        assert set(rows["role"]) == roles
        assert len(rows) == 2 * len(roles)
    spheres = smoke[smoke["kind"] == "sphere"]
    assert set(spheres["radius"]) == set(RADII)
    assert (
        (results[results["arm"] == "second_order"].query("role == 'checked'"))["by_acceleration"]
        .notna()
        .all()
    )


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_flows_of_the_line_miss_a_sphere_even_before_they_have_learnt(smoke):
    rows = smoke[(smoke["kind"] == "sphere") & (smoke["dim"] == 1) & smoke["arm"].isin(FLOWS)]
    assert rows["maximum"].min() >= 0.999
    results = smoke[(smoke["kind"] == "result") & smoke["arm"].isin(FLOWS)]
    assert results["least_determinant"].dropna().min() > 0
    line = results[(results["dim"] == 1) & (results["role"] != "trained")]
    assert line["mse"].min() > 0.33


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_maps_and_paths_start_where_they_should(smoke):
    line = smoke[smoke["kind"] == "map"]
    assert line["repetition"].nunique() == min(2, MAPPED)
    for _, each in line[line["arm"] == "node"].groupby(["repetition", "training_tolerance"]):
        assert each["y1"].is_monotonic_increasing
    first = smoke[(smoke["kind"] == "path") & (smoke["time"] == 0)]
    radius = torch.tensor(first[["y1", "y2"]].to_numpy()).norm(dim=1)
    torch.testing.assert_close(radius, torch.full_like(radius, 0.8))


@pytest.mark.slow(reason="the smoke run is measured here, too")
def test_the_small_run_is_judged_drawn_and_tabulated(smoke):
    df = smoke.assign(seed=smoke["seed"]).reindex(columns=list(CLAIM.all_columns))
    verdict = CLAIM.judge(df)
    assert all(check.passed for check in verdict.checks)
    assert {each.outcome for each in verdict.judgements} == {"insufficient"}
    assert len(CLAIM.figure(df).axes) == 6
    assert len(CLAIM.table(df)) == 2 * len(ARMS)
