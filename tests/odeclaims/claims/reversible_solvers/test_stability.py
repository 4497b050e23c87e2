"""The closed forms, against steps of other code and against known numbers."""

import math

import numpy as np
import pytest

from neural_ode.methods import METHODS
from odeclaims.claims.reversible_solvers.settings import BASES, ORDERS
from odeclaims.claims.reversible_solvers.stability import (
    exact_edge,
    increment,
    simple_edge,
    trace,
)


def from_tableau(base: str, x: float) -> float:
    """The increment of a step from 1 on y' = a y, with x = h a."""
    tableau, ks = METHODS[base], []
    for row in tableau.a:
        ks.append(x * (1 + sum(w * k for w, k in zip(row, ks, strict=False))))
    return sum(w * k for w, k in zip(tableau.b, ks, strict=True))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("x", [-2.0, -0.3, 0.7])
def test_the_increment_is_that_of_the_tableau(base, x):
    assert increment(base, np.array([x])) == pytest.approx([from_tableau(base, x)], rel=1e-12)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("coupling", [0.6, 0.95, 1.0])
def test_determinant_and_trace_are_those_of_the_written_out_step(base, coupling):
    x = -0.37
    there, back = from_tableau(base, x), from_tableau(base, -x)

    def step(y: float, z: float) -> tuple[float, float]:
        y = coupling * y + (1 - coupling) * z + there * z
        return y, z - back * y

    (a, c), (b, d) = step(1, 0), step(0, 1)
    assert a * d - b * c == pytest.approx(coupling, rel=1e-12)
    assert [a + d] == pytest.approx(trace(base, coupling, np.array([x])), rel=1e-12)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("coupling", [0.8, 0.9, 0.99, 0.999])
def test_at_the_edge_an_eigenvalue_passes_1(base, coupling):
    edge = exact_edge(base, coupling)
    assert 1 + increment(base, np.array([-edge])) == pytest.approx([coupling], rel=1e-12)
    # Of a matrix with the determinant c, 1 is an eigenvalue where the trace is 1 + c.
    below, above = trace(base, coupling, -edge * np.array([0.99, 1.01]))
    assert below < 1 + coupling < above
    assert edge == pytest.approx(simple_edge(base, coupling), rel=0.02)


def test_the_edges_of_the_ledger():
    expected = {0.999: 0.001, 0.99: 0.01005, 0.9: 0.10536, 0.8: 0.22314}
    for coupling, edge in expected.items():
        assert simple_edge("rk4", coupling) == pytest.approx(edge, abs=1e-5)
        assert exact_edge("euler", coupling) == pytest.approx(1 - coupling, rel=1e-12)
    assert exact_edge("midpoint", 0.5) == pytest.approx(1, abs=1e-6)


def test_a_coupling_that_the_base_never_shrinks_to_has_no_edge():
    assert math.isnan(exact_edge("midpoint", 0.4))
    assert set(ORDERS) == set(BASES)
