"""A solve that is handed to another solver: what that gets, and how long it holds."""

import threading

import pytest
import torch

from neural_ode import Adjoint, Backprop, SolverFailure, Stats, solve
from neural_ode.delegate import is_delegated, solve_with
from neural_ode.failures import NotOffered
from neural_ode.networks import MLPField
from neural_ode.networks.classifiers import OdeBlock

TS = torch.tensor([0.0, 1.0])
Y0 = torch.ones(3)


def decay(t, y):
    return -y


class Recorder:
    """A solver that notes what it was asked for, and answers with zeros."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def __call__(self, field, y0, ts, settings, gradient, /):
        self.asked.append((field, y0, ts, settings, gradient))
        return torch.zeros(len(ts), *y0.shape), Stats()


def test_another_solver_gets_all_that_solve_was_given():
    other, gradient = Recorder(), Adjoint(norm="seminorm")
    field = MLPField(3, 4)
    with solve_with(other):
        solution = solve(field, Y0, TS, method="bosh3", rtol=1e-2, gradient=gradient)
    assert torch.equal(solution.ys, torch.zeros(2, 3))
    ((asked_field, y0, ts, settings, asked_gradient),) = other.asked
    assert asked_field is field
    assert y0 is Y0
    assert ts is TS
    assert (settings.method.name, settings.rtol, settings.atol) == ("bosh3", 1e-2, 1e-9)
    assert asked_gradient is gradient


def test_without_a_gradient_it_is_asked_for_backprop():
    other = Recorder()
    with solve_with(other):
        solve(decay, Y0, TS)
    assert other.asked[0][-1] == Backprop()


def test_models_are_solved_by_it_too():
    other, block = Recorder(), OdeBlock(MLPField(3, 4))
    with solve_with(other):
        assert torch.equal(block(torch.ones(2, 3)), torch.zeros(2, 3))
    assert len(other.asked) == 1


def test_it_holds_for_the_block_alone_whatever_ends_it():
    other, inside = Recorder(), []

    @solve_with(other)
    def fail() -> None:
        inside.append(is_delegated())
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert inside == [True]
    assert not is_delegated()
    assert solve(decay, Y0, TS).ys[-1, 0] == pytest.approx(0.36788, abs=1e-5)
    assert not other.asked


def test_none_stands_for_this_solver_inside_of_a_block():
    other = Recorder()
    with solve_with(other):
        with solve_with(None):
            inner = solve(decay, Y0, TS).ys[-1, 0]
        outer = solve(decay, Y0, TS).ys[-1, 0]
    assert inner == pytest.approx(0.36788, abs=1e-5)
    assert outer == 0


def test_another_thread_goes_on_with_this_solver():
    other, found = Recorder(), []
    with solve_with(other):
        thread = threading.Thread(target=lambda: found.append(is_delegated()))
        thread.start()
        thread.join()
    assert found == [False]


def test_arguments_are_checked_before_they_are_handed_over():
    other = Recorder()
    with solve_with(other), pytest.raises(ValueError, match="rtol is -1"):
        solve(decay, Y0, TS, rtol=-1.0)
    assert not other.asked


def test_what_is_not_offered_is_a_failure_with_a_status_of_its_own():
    def lacking(field, y0, ts, settings, gradient, /):
        raise NotOffered("it does not offer dopri5")

    with solve_with(lacking), pytest.raises(SolverFailure, match="dopri5") as caught:
        solve(decay, Y0, TS)
    assert caught.value.status == "not_offered"
