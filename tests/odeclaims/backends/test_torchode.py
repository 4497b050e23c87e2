"""What is special about torchode: its counts, its status and its methods."""

import pytest
import torch

from odeclaims.backends.torchode import Torchode
from tests.odeclaims.backends.common import (
    TOL,
    mlp,
    prepare,
    require_backend,
    stated_and_counted,
)

# torchode gives every sample a time of its own, which the annotations of the fields do not allow.
pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.mark.parametrize("gradient", [None, *Torchode.gradients])
def test_counts_are_those_of_a_field_that_counts(gradient):
    stated, counted = stated_and_counted("torchode", gradient)
    assert stated == counted


def test_torchode_says_when_it_gave_up():
    problem = mlp()
    with torch.no_grad():
        next(problem.field.parameters()).fill_(torch.nan)
    work = prepare("torchode", problem, None)
    output = work.run()
    with pytest.raises(RuntimeError, match="gave up with the status INFINITE_NORM"):
        work.answer(output)


def test_an_unknown_method_is_named():
    backend = require_backend("torchode")
    with pytest.raises(ValueError, match="'midpoint'"):
        backend.prepare(mlp(), method="midpoint", tol=TOL, gradient=None)
