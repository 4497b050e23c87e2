"""This project's solver as a backend, eager and compiled."""

import pytest

import neural_ode
from odeclaims.backends.ours import Ours
from tests.odeclaims.backends.common import mlp, prepare, stated_and_counted

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.mark.parametrize("gradient", [None, *Ours.gradients])
def test_counts_are_those_of_a_field_that_counts(gradient):
    stated, counted = stated_and_counted("ours", gradient)
    assert stated == counted


def test_the_compiled_backend_asks_for_compiled_steps(monkeypatch):
    asked = []

    def solve(*arguments, compile, **settings):
        asked.append(compile)
        return neural_ode.solve(*arguments, **settings)

    monkeypatch.setattr("odeclaims.backends.ours.solve", solve)
    work = prepare("ours_compiled", mlp(), "seminorm")
    assert work.answer(work.run()).compile_s == 0
    assert asked == [True]
