"""The catalogue, and the tools that equations are judged with."""

import math
import re
from importlib.resources import files

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.func import grad, jacrev

from odeclaims.claims.equations.adjoint import _backward_example
from odeclaims.claims.equations.calculus import NODES, integrate, limit_at, slope_at
from odeclaims.claims.equations.catalogue import EQUATIONS, SECTION_NAMES
from odeclaims.claims.equations.density import CarriedDensity, random_normal
from odeclaims.claims.equations.measure import SECTIONS
from odeclaims.claims.equations.random_ode import RandomOde


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture
def ode() -> RandomOde:
    return RandomOde(generator())


def test_keys_are_unique_and_slips_have_a_correction():
    assert len({e.key for e in EQUATIONS}) == len(EQUATIONS)
    assert {e.section for e in EQUATIONS} == set(SECTION_NAMES)
    assert list(SECTION_NAMES) == list(SECTIONS)
    assert all(bool(e.kind) == bool(e.corrected) for e in EQUATIONS)


def test_each_entry_of_the_catalogue_has_its_evaluation():
    """Read from the sources, since some sections take long to evaluate."""
    modules = ("residual", "adjoint", "density", "augmented")
    folder = files("odeclaims.claims.equations")
    sources = "".join((folder / f"{name}.py").read_text() for name in modules)
    keys = re.findall(r'\b(?:Evaluation|as_printed)\(\s*"(\w+)"', sources)
    assert sorted(keys) == sorted(equation.key for equation in EQUATIONS)
    # The words of the catalogue are in no digest.
    assert "catalogue" not in sources


@pytest.mark.parametrize("section", ["residual", "euler", "flows", "augmented"])
def test_a_section_yields_each_of_its_equations_once(section):
    keys = [evaluation.equation for evaluation in SECTIONS[section](generator())]
    assert sorted(keys) == sorted(e.key for e in EQUATIONS if e.section == section)


def test_the_worked_example_is_e_and_the_printed_one_is_not():
    example = _backward_example()
    printed, corrected = example.printed[0], example.corrected
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
    torch.testing.assert_close(slope_at(torch.sin, x), torch.cos(x))
    at_zero = limit_at(lambda x: torch.sin(x) / x, x[:1])
    torch.testing.assert_close(at_zero, torch.ones_like(at_zero))
    integral = integrate(torch.exp(NODES))
    assert float(integral) == pytest.approx(math.e - 1, abs=1e-14)


def test_a_density_carried_by_a_linear_flow_stays_normal():
    A = torch.randn(3, 3, generator=generator(), dtype=torch.float64)
    start = random_normal(generator())
    density = CarriedDensity(lambda z, t: z @ A.mT, start)
    t = torch.tensor([0.8], dtype=torch.float64)
    moved = torch.matrix_exp(A * t)
    end = MultivariateNormal(moved @ start.loc, moved @ start.covariance_matrix @ moved.mT)
    z = torch.ones(1, 3, dtype=torch.float64)
    torch.testing.assert_close(density.log(z, t), end.log_prob(z))
