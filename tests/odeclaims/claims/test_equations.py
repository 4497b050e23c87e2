"""The catalogue, the tools that equations are judged with, and how a residual becomes a verdict."""

import math

import pandas as pd
import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.func import grad, jacrev

from odeclaims.claims import equations
from odeclaims.claims.equations import CLAIM, EQUATIONS, SECTION_NAMES, TOLERANCE


def rows(slips=frozenset(e.key for e in EQUATIONS if e.kind), repetitions=3) -> pd.DataFrame:
    """Rows of a made-up run in which exactly these equations slip."""
    return pd.DataFrame(
        {
            "section": equation.section,
            "equation": equation.key,
            "form": form,
            "reading": 1,
            "left": 1.0,
            "right": 2.0,
            "residual": 0.5 if form == "printed" and equation.key in slips else 1e-12,
            "status": "ok",
            "repetition": repetition,
            "seed": 1,
            "device": "cpu",
        }
        for equation in EQUATIONS
        for form in ("printed", "corrected")
        for repetition in range(repetitions)
    )


def values(df: pd.DataFrame) -> list[float | None]:
    return [judgement.value for judgement in CLAIM.judge(df).judgements]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture
def ode() -> equations._NeuralOde:
    return equations._NeuralOde(generator())


def test_keys_are_unique_and_slips_have_a_correction():
    assert len({e.key for e in EQUATIONS}) == len(EQUATIONS)
    assert {e.section for e in EQUATIONS} == set(SECTION_NAMES)
    assert all(bool(e.kind) == bool(e.corrected) for e in EQUATIONS)


@pytest.mark.parametrize("section", ["residual", "euler", "flows", "augmented"])
def test_a_section_yields_each_of_its_equations_once(section):
    found = [f.equation for f in equations.SECTIONS[section](generator())]
    assert sorted(found) == sorted(e.key for e in EQUATIONS if e.section == section)


def test_the_worked_example_is_e_and_the_printed_one_is_not():
    finding = equations._backward_example()
    printed, corrected = finding.printed[0], finding.corrected
    assert float(corrected[0]) == pytest.approx(math.e)
    assert float(corrected[1]) == pytest.approx(math.e)
    assert float(printed[1]) == pytest.approx(2 - math.e)


def test_derivatives_by_hand_are_those_of_autograd(ode):
    z, t = ode.z0, torch.tensor(0.3, dtype=torch.float64)
    torch.testing.assert_close(ode.f_z(z, t), jacrev(ode.fixed)(z, t))
    torch.testing.assert_close(ode.loss_z(z), grad(ode.loss)(z))
    running_z = grad(lambda z: ode.running(z, t, ode.theta))(z)
    torch.testing.assert_close(ode.running_z(z, t), running_z)


def test_the_jacobian_is_far_from_symmetric(ode):
    f_z = ode.f_z(ode.z0, torch.tensor(0.3, dtype=torch.float64))
    assert float((f_z - f_z.mT).norm() / f_z.norm()) > 0.1


def test_slopes_limits_and_integrals_of_known_functions():
    x = torch.tensor([0.0, 0.7], dtype=torch.float64)
    torch.testing.assert_close(equations._slope(torch.sin, x), torch.cos(x))
    at_zero = equations._limit(lambda x: torch.sin(x) / x, x[:1])
    torch.testing.assert_close(at_zero, torch.ones_like(at_zero))
    integral = equations._integral(torch.exp(equations.NODES))
    assert float(integral) == pytest.approx(math.e - 1, abs=1e-14)


def test_a_density_carried_by_a_linear_flow_stays_normal():
    A = torch.randn(3, 3, generator=generator(), dtype=torch.float64)
    start = equations._normal(generator())
    density = equations._Density(lambda z, t: z @ A.mT, start)
    t = torch.tensor([0.8], dtype=torch.float64)
    moved = torch.matrix_exp(A * t)
    end = MultivariateNormal(moved @ start.loc, moved @ start.covariance_matrix @ moved.mT)
    z = torch.ones(1, 3, dtype=torch.float64)
    torch.testing.assert_close(density.log(z, t), end.log_prob(z))


def test_verdict_follows_the_residuals():
    share, _, corrected, surprises, undecided = values(rows())
    counted = [e for e in EQUATIONS if e.role != "example"]
    assert share == pytest.approx(sum(not e.kind for e in counted) / len(counted))
    assert corrected == pytest.approx(1e-12)
    assert surprises == undecided == 0


def test_without_slips_every_equation_holds_and_the_expectation_fails():
    share, asserting, _, surprises, _ = values(rows(slips=frozenset()))
    assert share == asserting == 1
    assert surprises == sum(bool(e.kind) and e.role != "example" for e in EQUATIONS)


def test_the_best_reading_of_a_printed_form_counts():
    df = rows()
    printed = df[(df["equation"] == "adjoint_ode") & (df["form"] == "printed")]
    better = printed.assign(reading=2, residual=0.0)
    assert values(pd.concat([df, better], ignore_index=True))[3] == 1


def test_a_residual_near_the_tolerance_is_reported():
    df = rows()
    df.loc[(df["equation"] == "taylor") & (df["form"] == "printed"), "residual"] = 5 * TOLERANCE
    assert values(df)[4] == 1


def test_a_missing_equation_is_insufficient_evidence():
    df = rows()
    assert CLAIM.judge(df[df["equation"] != "boxed"]).outcome == "insufficient"


def test_table_and_figure_show_every_equation():
    df = rows()
    table = CLAIM.table(df)
    assert len(table) == len(EQUATIONS)
    assert (table["verdict"] == "slips").sum() == sum(bool(e.kind) for e in EQUATIONS)
    labels = [t.get_text() for ax in CLAIM.figure(df).axes for t in ax.get_yticklabels()]
    assert set(labels) == {e.name for e in EQUATIONS} | set(SECTION_NAMES.values())


def test_a_failed_section_is_insufficient_evidence():
    df = rows()
    failed = pd.DataFrame([{"section": "proof", "status": "timeout", "repetition": 3}])
    verdict = CLAIM.judge(pd.concat([df, failed], ignore_index=True))
    assert verdict.outcome == "insufficient"
