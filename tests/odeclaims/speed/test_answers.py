"""Which answers count as right."""

import math

import numpy as np
import pytest

from odeclaims.speed.answers import describe_fault, error_limit, relative_error
from odeclaims.speed.cases import Case


@pytest.mark.parametrize(
    ("error", "gradient_error", "says"),
    [
        (1e-5, None, ""),
        (1e-5, 1e-3, ""),
        (2e-2, None, "states are off by 2.00e-02"),
        (1e-5, 1.0, "gradient are off by 1.00e"),
        (math.nan, None, "states are off by nan"),
        (math.inf, None, "states are off by inf"),
    ],
)
def test_what_counts_as_right(error, gradient_error, says):
    fault = describe_fault(Case("mlp_forward", "ours", None, 1e-4), error, gradient_error)
    assert fault == "" if says == "" else says in fault


def test_a_gradient_of_zeros_is_wrong_at_any_tolerance():
    assert all(error_limit(tol) < 1 for tol in (1.0, 1e-1, 1e-2))


def test_an_answer_of_another_shape_is_wrong():
    assert relative_error(np.ones(2), np.ones(3)) == math.inf
