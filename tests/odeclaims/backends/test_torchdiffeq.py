"""What is special about torchdiffeq: a wrapped field counts its evaluations."""

import pytest

from odeclaims.backends.torchdiffeq import Torchdiffeq
from tests.odeclaims.backends.common import mlp, prepare, stated_and_counted

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.mark.parametrize("gradient", ["adjoint", "seminorm"])
def test_counts_are_those_of_a_field_that_counts(gradient):
    stated, counted = stated_and_counted("torchdiffeq", gradient)
    assert stated == counted


def test_dopri5_costs_two_and_six_a_step_as_ours_does():
    counts = []
    for name in ("ours", "torchdiffeq"):
        work = prepare(name, mlp(), None)
        counts.append(work.answer(work.run()).nfe_forward)
    steps = (counts[0] - 2) / 6
    assert steps == int(steps) > 0
    assert counts == [counts[0]] * 2


def test_every_gradient_counts_the_forward_evaluations():
    counts = []
    for gradient in (None, *Torchdiffeq.gradients):
        work = prepare("torchdiffeq", mlp(), gradient)
        counts.append(work.answer(work.run()).nfe_forward)
    assert counts == [counts[0]] * 4
    assert counts[0] is not None


def test_backprop_evaluates_nothing_on_the_way_back():
    work = prepare("torchdiffeq", mlp(), "backprop")
    assert work.answer(work.run()).nfe_backward is None
