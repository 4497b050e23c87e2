"""Every backend that is installed on tiny problems: the answer, the gradient, the layout."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from odeclaims.speed.answers import Reference, error_limit, relative_error, solve_reference
from odeclaims.workloads import Problem
from tests.odeclaims.backends.common import (
    TOL,
    arms,
    conv,
    eager_backends,
    mlp,
    prepare,
    settings,
)

# torchode gives every sample a time of its own, which the annotations of the fields do not allow.
pytestmark = pytest.mark.usefixtures("unchecked")


def at_seven_times() -> Problem:
    return mlp(times=7)


# One takes longer than all the backends.
@cache
def reference_of(make: Callable[[], Problem], tol: float, *, differentiated: bool) -> Reference:
    return solve_reference(make(), *settings(tol), differentiated=differentiated)


@pytest.mark.slow(reason="every solver is compiled")
@pytest.mark.parametrize(("name", "gradient"), arms())
def test_answer_and_gradient_are_those_of_the_float64_reference(name, gradient):
    work = prepare(name, mlp(), gradient)
    answer = work.answer(work.run())
    expected = reference_of(mlp, 1e-11, differentiated=True)
    assert expected.error < 1e-6
    assert answer.states.shape == (1, 5, 2)
    assert answer.states.dtype == np.float64
    assert relative_error(answer.states, expected.states) < error_limit(TOL)
    if gradient is None:
        assert answer.gradient is None
        assert answer.nfe_backward is None
    else:
        assert answer.gradient is not None
        assert expected.gradient is not None
        assert relative_error(answer.gradient, expected.gradient) < error_limit(TOL)
    # Which backends count, and rightly, is for their own tests.
    assert answer.nfe_forward is None or answer.nfe_forward > 6


@pytest.mark.parametrize("name", [backend.name for backend in eager_backends()])
def test_outputs_inside_steps(name):
    work = prepare(name, at_seven_times(), None)
    answer = work.answer(work.run())
    assert answer.states.shape == (6, 5, 2)
    expected = reference_of(at_seven_times, 1e-9, differentiated=False)
    assert relative_error(answer.states, expected.states) < error_limit(TOL)


# The last of a backend's gradients is the one that is most of its own making.
IMAGE_ARMS = [
    pytest.param(
        backend.name,
        (None, *backend.gradients)[-1],
        marks=() if backend.in_torch else pytest.mark.slow,
    )
    for backend in eager_backends()
]


@pytest.mark.slow(reason="every solver is compiled")
@pytest.mark.parametrize(("name", "gradient"), IMAGE_ARMS)
def test_images_keep_their_layout(name, gradient):
    work = prepare(name, conv(), gradient)
    answer = work.answer(work.run())
    expected = reference_of(conv, 1e-7, differentiated=True)
    assert answer.states.shape == (1, 2, 4, 3, 3)
    assert relative_error(answer.states, expected.states) < error_limit(TOL)
    if gradient is not None:
        assert answer.gradient is not None
        assert expected.gradient is not None
        # Through ReLU's kinks a discrete gradient is some percent off; a wrong layout, entirely.
        assert relative_error(answer.gradient, expected.gradient) < 0.1
