"""The parts of small runs against closed forms."""

import pytest
import torch

from neural_ode.flows import CNF, PlanarField, StandardNormal, exact_trace
from odeclaims.cell import Profile
from odeclaims.claims.change_of_variables import (
    CLAIM,
    costs,
    estimates,
    formulas,
    masses,
    measure,
    solves,
)
from odeclaims.claims.change_of_variables.fields import LinearField
from odeclaims.claims.change_of_variables.judge import AGREES
from tests.odeclaims.claims.change_of_variables.small import UNIT, column, generator, measured


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
def test_a_wrong_trace_is_noticed(monkeypatch, factor):
    def wrong(field, t, z):
        f, trace = exact_trace(field, t, z)
        return f, factor * trace

    monkeypatch.setattr(measure, "trace_of", lambda field: wrong)
    errors = column(measured("determinant"), "error", "tolerance")
    assert errors[1e-10] > AGREES


def test_the_flow_of_a_linear_field_has_the_determinant_of_the_exponential():
    field, z = linear(), torch.ones(2, 3, dtype=torch.float64)
    x, log_det = solves.flow(field, z, 0.2, 0.9)
    flow = torch.linalg.matrix_exp(0.7 * field.A)
    torch.testing.assert_close(x, z @ flow.T)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(flow).logabsdet.expand(2))


def test_differences_have_their_order():
    """On e^s the errors of orders 6 and 8 at 0 begin with h^6 / 140 and -h^8 / 630."""
    values = torch.tensor(formulas.SHIFTS, dtype=torch.float64).mul(20).exp()[:, None]
    errors = formulas._slopes(values)[:, 0] / 20 - 1
    h = 20 * formulas.STEP
    assert errors.tolist() == pytest.approx([h**6 / 140, -(h**8) / 630], rel=0.02)


def test_a_normal_density_has_mass_one():
    cnf = CNF(linear(2), StandardNormal(2), rtol=1e-8, atol=1e-8)
    window = masses.find_window(cnf, generator())
    rows = masses.integrals(cnf, window, 64)
    assert rows[-1]["mass"] == pytest.approx(1, abs=1e-6)
    assert rows[0]["mass_change"] is None
    assert len(rows) < 3


def test_an_integral_that_does_not_converge_ends_at_the_finest_grid(monkeypatch):
    monkeypatch.setattr(masses, "CONVERGED", -1)
    cnf = CNF(linear(2), StandardNormal(2), rtol=1e-3, atol=1e-3)
    rows = masses.integrals(cnf, masses.find_window(cnf, generator()), 64)
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
    _, entries = formulas._without_u(field, t, z, entries=True)
    _, slope = formulas._without_u(field, t, z, entries=False)
    torch.testing.assert_close(entries.detach(), gradient.sum(-1))
    torch.testing.assert_close(slope.detach(), gradient[:, 0] / w[0, 0])


def test_products_are_counted():
    rows = measured("cost")
    products = column(rows, "vjps", "quantity")
    assert products == {"determinant": 0, "exact": 4, "estimate": 1, "closed": 0}
    assert (rows["time_s"] > 0).all()


def test_beyond_the_largest_square_only_what_is_linear_is_timed(monkeypatch):
    monkeypatch.setattr(costs, "LARGEST_SQUARE", 3)
    rows = measured("cost")
    assert column(rows, "vjps", "quantity") == {"estimate": 1, "closed": 0}


def test_estimates_are_unbiased_and_their_variance_is_that_of_the_theory():
    rows = measured("estimate")
    assert len(rows) == 4
    assert (rows["mean_error"].abs() < 4 * rows["standard_error"]).all()
    traces = rows[rows["quantity"] == "trace"]
    assert (traces["variance"] / traces["theory_variance"]).between(0.8, 1.2).all()


def test_noise_that_is_renewed_is_no_function():
    z, t = torch.randn(4, 3, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    trace = estimates.noise_renewing_trace(generator())
    first, second = trace(linear(), t, z), trace(linear(), t, z)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_noise_that_is_renewed_runs_into_the_limit(monkeypatch):
    monkeypatch.setattr(estimates, "STEP_LIMIT", 60)
    rows = measured("noise")
    rows = rows[rows["tolerance"] == 1e-5]
    status = {"exact": "ok", "fixed": "ok", "renewed": "max_steps"}
    assert column(rows, "status", "arm") == status
    errors = column(rows, "reconstruction_error", "arm")
    assert max(errors["exact"], errors["fixed"]) < 1e-2


def test_times_are_measured_alone_and_grids_share_their_densities():
    quick, paper = (list(CLAIM.cells(Profile(name))) for name in ("quick", "paper"))
    assert all(CLAIM.alone(cell) == (cell.params["part"] == "cost") for cell in quick)

    def seeds(cells):
        return {cell.seed for cell in cells if cell.params["part"] == "mass"}

    assert seeds(quick) < seeds(paper)
