"""The size of the next step."""

# What may be None fails a test all the same.
# pyright: reportArgumentType=false, reportCallIssue=false

import pytest

from neural_ode import IntegralController, PIController


@pytest.mark.parametrize("controller", [IntegralController(), PIController()])
@pytest.mark.parametrize(("ratio", "factor"), [(0.0, 10), (1e-20, 10), (1e20, 0.2)])
def test_step_change_is_bounded(controller, ratio, factor):
    assert controller.factor(ratio, None, 5) == factor


def test_integral_controller_aims_at_the_safety_factor():
    factor = IntegralController(safety=0.8).factor
    assert factor(32.0, None, 5) == pytest.approx(0.4)
    assert factor(1 / 32, None, 5) == pytest.approx(1.6)


def test_integral_controller_does_not_shrink_an_accepted_step():
    assert IntegralController().factor(0.99, None, 5) == 1


def test_pi_controller_looks_at_the_last_two_ratios():
    controller = PIController(safety=1, alpha=0.7, beta=0.4)
    # Steady ratios: the exponents leave alpha - beta of the integral controller's correction.
    assert controller.factor(0.5, 0.5, 4) == pytest.approx(2 ** (0.3 / 4))
    # A ratio that grows shrinks the step more than the same ratio that was there before.
    assert controller.factor(0.5, 0.1, 4) < controller.factor(0.5, 0.5, 4)


@pytest.mark.parametrize(("ratio", "previous"), [(32.0, 0.5), (32.0, None), (1 / 32, None)])
def test_pi_controller_is_integral_on_rejection_and_at_the_start(ratio, previous):
    assert PIController().factor(ratio, previous, 5) == pytest.approx(0.9 / ratio ** (1 / 5))
