"""The parts of small runs against closed forms, and the verdict on made-up rows."""

import math
from typing import Any

import pandas as pd
import pytest
import torch

from neural_ode.flows import CNF, PlanarField, StandardNormal, exact_trace
from odeclaims.claim import Cell, Profile
from odeclaims.claims import change_of_variables as claim
from odeclaims.claims.change_of_variables import CLAIM, LinearField

SMALL: dict[str, dict[str, Any]] = {
    "determinant": {"field": "planar", "dim": 2},
    "mass": {"field": "linear", "dim": 2, "most_intervals": 32},
    "printed": {"field": "planar", "dim": 2},
    "cost": {"field": "constant", "dim": 4},
    "estimate": {"field": "concatsquash", "dim": 3, "draws": 4000},
    "noise": {"field": "concatsquash", "dim": 2},
}
UNIT = {"field": "unit", "dim": 2, "most_intervals": 32}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def measured(part: str, **params: Any) -> pd.DataFrame:
    params = {"part": part, **(params or SMALL[part])}
    rows = CLAIM.measure(Cell(CLAIM.slug, params))
    df = pd.DataFrame([{**params, "repetition": 0, "status": "ok", **row} for row in rows])
    assert set(df.columns) <= set(CLAIM.all_columns)
    return df.reindex(columns=list(CLAIM.all_columns))


def column(df: pd.DataFrame, name: str, by: str) -> dict[Any, Any]:
    return dict(zip(df[by], df[name], strict=True))


def linear(dim: int = 3) -> LinearField:
    A = torch.randn(dim, dim, generator=generator(), dtype=torch.float64) / 2
    return LinearField(A).requires_grad_(False)


@pytest.mark.parametrize("field", ["linear", "planar", "concatsquash"])
def test_the_trace_closes_in_on_the_determinant(field):
    rows = measured("determinant", field=field, dim=2)
    errors = column(rows, "error", "tolerance")
    assert errors[1e-10] < 1e-7
    # The trace of a linear field is constant, so that any solver integrates it exactly.
    assert errors[1e-4] > errors[1e-10] or field == "linear"
    assert rows["closed_error"].notna().all() == (field == "linear")
    assert (rows["size"] > 0.01).all()


@pytest.mark.parametrize("factor", [-1, 1.001])
def test_a_wrong_trace_is_found_out(monkeypatch, factor):
    def wrong(field, t, z):
        f, trace = exact_trace(field, t, z)
        return f, factor * trace

    monkeypatch.setattr(claim, "_exact", lambda field: wrong)
    errors = column(measured("determinant"), "error", "tolerance")
    assert errors[1e-10] > claim.AGREES


def test_the_flow_of_a_linear_field_has_the_determinant_of_the_exponential():
    field, z = linear(), torch.ones(2, 3, dtype=torch.float64)
    x, log_det = claim._flow(field, z, 0.2, 0.9)
    flow = torch.linalg.matrix_exp(0.7 * field.A)
    torch.testing.assert_close(x, z @ flow.T)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(flow).logabsdet.expand(2))


def test_differences_have_their_order():
    """On e^s the errors of orders 6 and 8 at 0 begin with h^6 / 140 and -h^8 / 630."""
    values = torch.tensor(claim.SHIFTS, dtype=torch.float64).mul(20).exp()[:, None]
    errors = claim._slopes(values)[:, 0] / 20 - 1
    h = 20 * claim.STEP
    assert errors.tolist() == pytest.approx([h**6 / 140, -(h**8) / 630], rel=0.02)


def test_a_normal_density_has_mass_one():
    cnf = CNF(linear(2), StandardNormal(2), rtol=1e-8, atol=1e-8)
    window = claim._window(cnf, generator())
    rows = claim._integrals(cnf, window, 64)
    assert rows[-1]["mass"] == pytest.approx(1, abs=1e-6)
    assert rows[0]["mass_change"] is None
    assert len(rows) < 3


def test_an_integral_that_does_not_converge_ends_at_the_finest_grid(monkeypatch):
    monkeypatch.setattr(claim, "CONVERGED", -1)
    cnf = CNF(linear(2), StandardNormal(2), rtol=1e-3, atol=1e-3)
    rows = claim._integrals(cnf, claim._window(cnf, generator()), 64)
    assert [row["intervals"] for row in rows] == [16, 32, 64]


def test_the_theorem_holds_with_the_total_derivative_alone():
    rows = measured("printed")
    errors = column(rows, "error", "reading")
    assert max(errors["total"], errors["partial_corrected"]) < 1e-7
    assert errors["partial_printed"] > 1e-2
    assert (rows["reference_error"] < 1e-6).all()


def test_the_integral_of_a_planar_unit_needs_u():
    rows = measured("printed", **UNIT)
    errors, masses = (column(rows, name, "reading") for name in ("error", "mass"))
    assert errors["integral_corrected"] < 1e-7
    assert min(errors["integral_entries"], errors["integral_slope"]) > 1e-2
    assert masses["integral_corrected"] == pytest.approx(1, abs=1e-2)


def test_the_printed_integrand_is_the_gradient_of_h():
    field = PlanarField(2, 1, generator=generator()).double().requires_grad_(False)
    z = torch.randn(4, 2, generator=generator(), dtype=torch.float64, requires_grad=True)
    t = torch.tensor(0.0, dtype=torch.float64)
    w, b, _ = field.weights(t)
    (gradient,) = torch.autograd.grad(torch.tanh(z @ w + b).sum(), z)
    _, entries = claim._without_u(field, t, z, entries=True)
    _, slope = claim._without_u(field, t, z, entries=False)
    torch.testing.assert_close(entries.detach(), gradient.sum(-1))
    torch.testing.assert_close(slope.detach(), gradient[:, 0] / w[0, 0])


def test_products_are_counted():
    rows = measured("cost")
    products = column(rows, "vjps", "quantity")
    assert products == {"determinant": 0, "exact": 4, "estimate": 1, "closed": 0}
    assert (rows["time_s"] > 0).all()


def test_estimates_are_unbiased_and_their_variance_is_that_of_the_theory():
    rows = measured("estimate")
    assert len(rows) == 4
    assert (rows["mean_error"].abs() < 4 * rows["standard_error"]).all()
    traces = rows[rows["quantity"] == "trace"]
    assert (traces["variance"] / traces["theory_variance"]).between(0.8, 1.2).all()


def test_noise_that_is_renewed_is_no_function():
    z, t = torch.randn(4, 3, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    trace = claim._renewed(generator())
    first, second = trace(linear(), t, z), trace(linear(), t, z)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_noise_that_is_renewed_runs_into_the_limit(monkeypatch):
    monkeypatch.setattr(claim, "STEP_LIMIT", 60)
    rows = measured("noise")
    rows = rows[rows["tolerance"] == 1e-5]
    status = {"exact": "ok", "fixed": "ok", "renewed": "max_steps"}
    assert column(rows, "status", "arm") == status
    errors = column(rows, "reconstruction_error", "arm")
    assert max(errors["exact"], errors["fixed"]) < 1e-2


SLIP: dict[str, float] = dict.fromkeys(claim.PRINTED, 1.0)
EXPONENTS = {"determinant": 2.8, "exact": 1.8, "estimate": 0.9, "closed": 1.0}


def made_up(seeds: int = 3, **changes: Any) -> pd.DataFrame:
    """Rows as the theory has them; what is given replaces it for the last seed."""
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        new = changes if seed == seeds - 1 else {}

        def add(part: str, seed: int = seed, **row: Any) -> None:
            rows.append({"part": part, "repetition": seed, "status": "ok", **row})

        for field in claim.FIELDS:
            common = {"field": field, "dim": 2, "size": new.get("size", 1.0)}
            for tolerance in claim.TOLERANCES:
                error = new.get("error", 1e-9) if tolerance == claim.JUDGED else 1e-3
                closed = new.get("closed_error", 1e-9) if field == "linear" else None
                add("determinant", **common, tolerance=tolerance, error=error, closed_error=closed)
            for spacing, mass in ((0.4, 1.5), (0.2, new.get("mass", 1.0))):
                change = new.get("mass_change", 1e-5)
                add("mass", field=field, dim=2, spacing=spacing, mass=mass, mass_change=change)
        for reading in claim.READINGS:
            error = new.get(reading, SLIP.get(reading, 1e-9))
            mass = 1.0 + (0.3 if reading in claim.PRINTED else 0.0)
            mass = new.get("printed_mass", mass) if reading.startswith("integral") else None
            slope_error = new.get("slope_error", 1e-9)
            add("printed", reading=reading, error=error, mass=mass, reference_error=slope_error)
        for noise in ("rademacher", "gaussian"):
            spread = {"standard_error": 0.1, "variance": new.get("variance", 2.0)}
            common = {"noise": noise, "dim": 2, **spread, "mean_error": new.get("mean_error", 0.1)}
            add("estimate", quantity="trace", theory_variance=2.0, **common)
            add("estimate", quantity="log_density", **common)
        for arm, nfe in (("exact", 50), ("fixed", 60), ("renewed", 700)):
            stamp = {"reconstruction_error": new.get("reconstruction", 1e-4)}
            add("noise", arm=arm, tolerance=1e-5, nfe_forward=new.get(arm, nfe), **stamp)
    for dim in (256, 512, 1024) if not changes.get("small") else (64, 128):
        for quantity, exponent in EXPONENTS.items():
            exponent = changes.get(f"exponent_{quantity}", exponent)
            vjps = {"exact": changes.get("products", 1) * dim, "estimate": 1}.get(quantity, 0)
            row = {"part": "cost", "quantity": quantity, "dim": dim, "repetition": 0}
            rows.append({**row, "status": "ok", "vjps": vjps, "time_s": 1e-9 * dim**exponent})
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_theory_is_reproduced():
    assert set(outcomes(made_up())) == {"reproduced"}


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        ({"error": 1e-6}, [0]),
        ({"closed_error": 1e-6}, [1]),
        ({"total": 1e-5}, [2]),
        ({"mass": 1.01}, [3]),
        ({"products": 2}, [4]),
        ({"exponent_closed": 1.5}, [5]),
        ({"exponent_determinant": 1.5}, [6]),
        ({"mean_error": -0.5}, [7]),
        ({"variance": 1.0}, [8]),
        ({"fixed": 90}, [9, 10]),
        ({"renewed": 500}, [10]),
        ({"partial_printed": 1e-9}, [11]),
        ({"partial_corrected": 1e-5}, [12]),
        ({"integral_slope": 1e-9}, [13]),
        ({"integral_corrected": 1e-5}, [14]),
        ({"printed_mass": 1.0}, [15]),
        ({"exponent_exact": 3.0}, [16]),
    ],
)
def test_one_seed_is_enough_to_break_a_criterion(changed, failing):
    found = outcomes(made_up(**changed))
    assert [i for i, outcome in enumerate(found) if outcome != "reproduced"] == failing
    deciding = any(CLAIM.criteria[i].decides for i in failing)
    assert CLAIM.judge(made_up(**changed)).outcome == (
        "not reproduced" if deciding else "reproduced"
    )


@pytest.mark.parametrize(
    ("changed", "silent"),
    [
        ({"mass_change": 1e-3}, [3]),
        ({"slope_error": 1e-5}, [2]),
        ({"small": True}, [5, 6, 16]),
        ({"reconstruction": math.nan}, [9, 10]),
    ],
)
def test_what_was_not_measured_well_does_not_speak(changed, silent):
    found = outcomes(made_up(**changed))
    assert [i for i, outcome in enumerate(found) if outcome == "insufficient"] == silent


def test_flows_that_change_no_volume_say_nothing():
    df = made_up()
    df.loc[df["field"] == "planar", "size"] = 0.01
    assert outcomes(df)[0] == "insufficient"


def test_few_seeds_are_insufficient():
    found = outcomes(made_up(seeds=2))
    alone = [4, 5, 6, 16]
    assert [i for i, outcome in enumerate(found) if outcome != "insufficient"] == alone


def test_times_are_measured_alone_and_grids_share_their_densities():
    quick, paper = (list(CLAIM.cells(Profile(name))) for name in ("quick", "paper"))
    assert all(cell.alone == (cell.params["part"] == "cost") for cell in quick)

    def seeds(cells):
        return {cell.seed for cell in cells if cell.params["part"] == "mass"}

    assert seeds(quick) < seeds(paper)


def test_figure_and_table_show_every_part(monkeypatch):
    monkeypatch.setattr(claim, "STEP_LIMIT", 60)
    parts = [measured(part) for part in SMALL] + [measured("printed", **UNIT)]
    df = pd.concat(parts)
    assert len(CLAIM.figure(df).axes) == 6
    table = CLAIM.table(df)
    assert table["what"].nunique() == len(claim.SUMMARIES)
    failed = table[table["setting"] == "renewed, tolerance 1e-07"]["failed"]
    assert failed.tolist() == ["1 of 1"]
