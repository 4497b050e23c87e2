"""A way to the gradient that only this file knows is used as any other."""

import re
from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from neural_ode import Backprop, gradients, solve
from neural_ode.field import Field, Plain
from neural_ode.gradients import GRADIENTS, Gradient
from neural_ode.integrate import integrate
from neural_ode.settings import Settings
from neural_ode.solution import Stats
from neural_ode.times import Times
from tests.neural_ode.gradients.problems import inputs, seasonal, times
from tests.neural_ode.ways import make


@dataclass(frozen=True)
class Straight:
    """The gradient of a loss by the outputs, handed to the initial state as it is."""

    factor: float

    def solve(
        self,
        field: Field,
        y0: Float[Tensor, "*state"],
        ts: Float[Tensor, " time"],
        settings: Settings,
    ) -> tuple[Float[Tensor, "time *state"], Stats]:
        stats = Stats()
        with torch.no_grad():
            ys, _ = integrate(Plain(field, y0), y0, Times.read(ts), settings, stats.forward)
        return ys + self.factor * (y0 - y0.detach()), stats


# The type checker accepts it as a gradient.
OWN: Gradient = Straight(2.0)


def test_a_gradient_of_this_file():
    y0, w, b = inputs()
    ts = times(0, 0.5, 1)
    ours = solve(seasonal(w, b), y0, ts, gradient=OWN)
    torch.testing.assert_close(ours.ys, solve(seasonal(w, b), y0, ts).ys, rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(ours.ys.sum(), y0)
    assert gradient.tolist() == [6.0, 6.0]
    assert ours.stats.nfe_forward > 0


@pytest.mark.usefixtures("unchecked")
def test_a_class_is_no_gradient():
    with pytest.raises(TypeError, match="expected an object such as Adjoint"):
        solve(seasonal(*inputs()[1:]), inputs()[0], times(0, 1), gradient=Backprop)  # type: ignore[arg-type]


FILE = '''"""Another way to the gradient."""


class Another:
    def solve(self, field, y0, ts, settings):
        raise NotImplementedError
'''


def test_a_file_in_the_folder_is_a_gradient(monkeypatch, tmp_path):
    (tmp_path / "another.py").write_text(FILE)
    monkeypatch.setattr(gradients, "__path__", [*gradients.__path__, str(tmp_path)])
    assert gradients.discover().keys() - GRADIENTS.keys() == {"Another"}


def test_a_gradient_with_an_argument_that_it_needs_is_named_with_its_file():
    """As the tests of all gradients are collected."""
    sentence = r"Straight in \S*test_base\.py cannot be made without arguments, .* 'factor'\)"
    with pytest.raises(TypeError, match=sentence):
        make(Straight)


def test_a_name_that_a_gradient_has_already_is_refused(monkeypatch, tmp_path):
    (tmp_path / "second.py").write_text(FILE.replace("class Another", "class Backprop"))
    monkeypatch.setattr(gradients, "__path__", [*gradients.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match="two gradients have the name 'Backprop'") as refused:
        gradients.discover()
    assert set(re.findall(r"\w+\.py", str(refused.value))) == {"backprop.py", "second.py"}


def test_every_gradient_can_be_imported_from_the_package(monkeypatch):
    assert all(getattr(gradients, name) is kind for name, kind in GRADIENTS.items())
    monkeypatch.setitem(GRADIENTS, "Another", Gradient)
    assert gradients.Another is Gradient  # its file alone was added
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        _ = gradients.Missing
