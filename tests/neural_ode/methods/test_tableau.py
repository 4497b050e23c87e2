"""The coefficients against the order conditions, one for every rooted tree, and against SciPy's."""

import math
from dataclasses import replace
from functools import cache
from itertools import combinations_with_replacement

import numpy as np
import pytest
from scipy.integrate import RK23, RK45

from neural_ode import METHODS, ButcherTableau
from neural_ode.methods import find_method
from neural_ode.methods.runge_kutta_1_to_4 import BOSH3, HEUN
from neural_ode.methods.runge_kutta_5 import DOPRI5
from neural_ode.methods.runge_kutta_8 import DOPRI8

EVERY = pytest.mark.parametrize("tableau", METHODS.values(), ids=METHODS)
ADAPTIVE = {name: tableau for name, tableau in METHODS.items() if tableau.adaptive}
FSAL = {"bosh3", "dopri5", "tsit5", "dopri8"}
# What is published of the known methods; any other has an embedded solution of one order less.
EMBEDDED_ORDERS = {"bosh3": 2, "adaptive_heun": 1, "dopri5": 4, "tsit5": 4, "dopri8": 7}
WITHOUT_ERROR = {"euler", "midpoint", "heun", "rk4", "rk4_classic"}
KNOWN = WITHOUT_ERROR | EMBEDDED_ORDERS.keys()
PLACES = (0.05, 0.3, 0.5, 0.77, 1.0)


# --- rooted trees: a tree is the tuple of the trees that hang on its root -------------------------


@cache
def trees(order):
    """Every rooted tree with that many vertices."""
    return forests(order - 1, order - 1)


@cache
def forests(vertices, largest):
    """Every multiset of trees with that many vertices in all and at most ``largest`` in each."""
    if vertices == 0:
        return ((),)
    return tuple(
        chosen + rest
        for size in range(1, min(vertices, largest) + 1)
        for count in range(1, vertices // size + 1)
        for rest in forests(vertices - count * size, size - 1)
        for chosen in combinations_with_replacement(trees(size), count)
    )


def order_of(tree):
    return 1 + sum(map(order_of, tree))


def density(tree):
    return order_of(tree) * math.prod(map(density, tree))


def stage_weights(tree, a):
    """The elementary weight of each stage: the product over the branches of ``a`` times theirs."""
    return math.prod((a @ stage_weights(branch, a) for branch in tree), start=np.ones(len(a)))


def residual(weights, a, order, x=1.0):
    """How far ``weights`` are, at the fraction x of a step, from the conditions of one order."""
    return max(
        abs(weights @ stage_weights(tree, a) - x**order / density(tree)) for tree in trees(order)
    )


def extended(tableau):
    """The stage weights with those of the stages that only the dense output needs."""
    a = np.zeros((len(tableau.dense), len(tableau.dense)))
    a[: tableau.stages, : tableau.stages] = tableau.a
    if tableau.dense_a is not None:
        a[tableau.stages :] = tableau.dense_a
    return a


def dense_weights(tableau, x):
    return tableau.dense @ x ** np.arange(1, tableau.dense.shape[1] + 1)


def test_the_recursion_finds_every_rooted_tree():
    # The number of rooted trees with 1 to 8 vertices: OEIS A000081.
    assert [len(trees(order)) for order in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]


# --- order conditions ----------------------------------------------------------------------------
# The published decimals of tsit5 and fractions of dopri8 meet them to about 1e-14.


@EVERY
def test_solution_has_the_stated_order_and_no_more(tableau):
    for order in range(1, tableau.order + 1):
        assert residual(tableau.b, tableau.a, order) < 2e-14
    assert residual(tableau.b, tableau.a, tableau.order + 1) > 1e-6


@pytest.mark.parametrize("name", ADAPTIVE)
def test_embedded_solution_has_its_published_order(name):
    tableau = ADAPTIVE[name]
    order = EMBEDDED_ORDERS.get(name, tableau.order - 1)
    assert tableau.b_error is not None
    embedded = tableau.b - tableau.b_error
    for lower in range(1, order + 1):
        assert residual(embedded, tableau.a, lower) < 2e-14
    assert residual(embedded, tableau.a, order + 1) > 1e-6
    assert tableau.b_error.sum() == pytest.approx(0, abs=1e-15)


@EVERY
def test_dense_output_keeps_the_order_inside_a_step(tableau):
    """One order less within a step is enough: its error is made once and not carried on."""
    a = extended(tableau)
    for order in range(1, max(tableau.order, 2)):
        for x in PLACES:
            # The polynomials have coefficients to 1900, whose rounding depends on the BLAS at hand.
            assert residual(dense_weights(tableau, x), a, order, x) < 1e-12


@EVERY
def test_dense_output_ends_at_the_solution(tableau):
    b = np.zeros(len(tableau.dense))
    b[: tableau.stages] = tableau.b
    np.testing.assert_allclose(dense_weights(tableau, 1.0), b, atol=2e-13)


@EVERY
def test_dense_output_starts_with_the_first_stage_as_slope(tableau):
    first = np.eye(len(tableau.dense))[0]
    np.testing.assert_allclose(tableau.dense[:, 0], first, atol=1e-13)


@pytest.mark.parametrize("name", sorted(FSAL))
def test_dense_output_of_a_fsal_method_is_smooth_across_steps(name):
    tableau = METHODS[name]
    slopes = tableau.dense @ np.arange(1, tableau.dense.shape[1] + 1)
    last = np.eye(len(tableau.dense))[tableau.stages - 1]
    # The powers of dopri8's weights reach 2000 and cancel, which costs four digits.
    np.testing.assert_allclose(slopes, last, atol=1e-11)


@EVERY
def test_nodes_are_the_row_sums(tableau):
    nodes = tableau.c if tableau.dense_c is None else np.append(tableau.c, tableau.dense_c)
    np.testing.assert_allclose(extended(tableau).sum(axis=1), nodes, atol=1e-14)


# Shampine's error estimate of dopri5, which torchdiffeq took over, is two thirds of SciPy's.
@pytest.mark.parametrize(("tableau", "scipy", "share"), [(BOSH3, RK23, 1.0), (DOPRI5, RK45, 2 / 3)])
def test_coefficients_are_scipys(tableau, scipy, share):
    width = scipy.A.shape[1]
    np.testing.assert_allclose(tableau.c[:-1], scipy.C, atol=1e-15)
    np.testing.assert_allclose(tableau.a[:-1, :width], scipy.A, rtol=1e-15)
    np.testing.assert_allclose(tableau.b[:-1], scipy.B, rtol=1e-15)
    np.testing.assert_allclose(tableau.b_error, -share * scipy.E, atol=1e-16)
    np.testing.assert_allclose(tableau.dense, scipy.P, atol=1e-14)


# --- what a tableau says about itself -------------------------------------------------------------


@EVERY
def test_fsal_and_the_cost_of_a_step(tableau):
    assert tableau.nfe_per_step == tableau.stages - tableau.fsal
    if tableau.name in KNOWN:
        assert tableau.fsal == (tableau.name in FSAL)


@EVERY
def test_only_methods_with_an_error_estimate_are_adaptive(tableau):
    assert tableau.adaptive == (tableau.b_error is not None)
    if tableau.name in KNOWN:
        assert tableau.adaptive == (tableau.name in EMBEDDED_ORDERS)


@EVERY
def test_every_method_names_its_source(tableau):
    assert any(character.isdigit() for character in tableau.source)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": np.zeros((3, 3))}, "heun: a and b do not fit the 2 nodes in c"),
        ({"b": np.ones(3)}, "heun: a and b do not fit the 2 nodes in c"),
        ({"a": np.eye(2)}, "heun: a is not strictly lower triangular, so not explicit"),
        ({"dense": np.ones((3, 2))}, "heun: dense needs 2 rows, one a stage"),
        ({"dense_c": np.ones(1), "dense_a": np.ones((1, 3))}, "heun: dense needs 3 rows"),
    ],
)
def test_coefficients_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        replace(HEUN, **change)


def test_methods_are_found_by_name_and_ones_own_passes_through():
    own: ButcherTableau = replace(DOPRI8, name="own")
    assert find_method("dopri8") is DOPRI8
    assert find_method(own) is own
    assert all(name == tableau.name for name, tableau in METHODS.items())
