"""A method that only this file knows is used as any other, and a file in the folder is a method."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from jaxtyping import Float
from scipy.integrate import solve_ivp
from torch import Tensor

import neural_ode
from neural_ode import METHODS, Adjoint, Backprop, Checkpointed, InterpolatedAdjoint, methods, solve
from neural_ode.methods.base import Integrate, Method, Undo
from neural_ode.settings import Settings
from neural_ode.solution import Counts
from neural_ode.step.base import Advanced, Carried, Evaluate, Step, Stepper
from neural_ode.step.error import ErrorTest
from neural_ode.times import Time, Times, as_time

F64 = torch.float64


class AdamsBashforth:
    """The explicit two-step method, with steps of one size; it begins with one of Euler's."""

    name = "adams_bashforth"
    order = 2
    adaptive = False
    fixed_norm = False
    one_step = False
    has_dense_output = True
    undo: Undo | None = None
    integrate: Integrate | None = None

    def accepts(self, setting: str) -> bool:
        return setting != "perturb"

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> Stepper:
        return TwoSteps(evaluate)


class TwoSteps:
    """Its stepper: the slope at the beginning of the step before is its memory."""

    order = 2
    carries = True
    nfe_per_step = 1
    stages = 1
    dense_nfe = 0
    for_loop = None

    def __init__(self, evaluate: Evaluate) -> None:
        self.evaluate = evaluate

    def slope(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Carried:
        k, rate = self.evaluate(t, y, True)
        return k, rate, k

    def start(
        self,
        t0: Time,
        direction: Time,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        test: ErrorTest,
    ) -> tuple[Carried, Time]:
        raise NotImplementedError("only a method with an error estimate chooses its first step")

    def advance(
        self,
        t: Time,
        h: Time,
        y0: Float[Tensor, "*state"],
        f0: Carried,
        q0: Float[Tensor, " integrals"] | None,
        nudge_end: bool,
        test: ErrorTest | None,
    ) -> Advanced:
        k0, _, before = f0
        y1 = y0 + h * (1.5 * k0 - 0.5 * before)
        k1, rate1 = self.evaluate(as_time(t + h, y1), y1, True)
        return y1, q0, (k1, rate1, k0), None, [k0], [None]

    def extend(self, step: Step) -> int:
        return 0

    def interpolate(self, step: Step, x: Time) -> Float[Tensor, "*state"]:
        return step.y0 + x * (step.y1 - step.y0)

    def interpolate_many(
        self, step: Step, xs: Sequence[float]
    ) -> Sequence[Float[Tensor, "*state"]]:
        return [self.interpolate(step, x) for x in xs]

    def integrals(
        self, step: Step, q0: Float[Tensor, " integrals"], x: float
    ) -> Float[Tensor, " integrals"]:
        return q0

    def polynomial(self, step: Step) -> Float[Tensor, "degree *state"]:
        return (step.y1 - step.y0)[None]


class Lsoda:
    """A method whose steps a library takes: SciPy's LSODA."""

    name = "lsoda"
    order = 12
    adaptive = True
    fixed_norm = True
    one_step = False
    has_dense_output = False
    undo: Undo | None = None

    def accepts(self, setting: str) -> bool:
        return setting in ("method", "rtol", "atol", "norm")

    def stepper(
        self, y: Float[Tensor, "*state"], evaluate: Evaluate, *, traced: bool = False
    ) -> Stepper:
        raise ValueError("SciPy takes the steps")

    def integrate(
        self,
        evaluate: Evaluate,
        y0: Float[Tensor, "*state"],
        q0: Float[Tensor, " integrals"] | None,
        times: Times,
        settings: Settings,
        counts: Counts,
    ) -> tuple[Float[Tensor, "time *state"], Float[Tensor, " integrals"] | None]:
        def field(t, y):
            counts.nfe += 1
            return evaluate(as_time(t, y0), torch.from_numpy(y), False)[0].numpy()

        ends = (times.floats[0], times.floats[-1])
        tolerances: Any = {"rtol": settings.rtol, "atol": settings.atol}
        solved = solve_ivp(field, ends, y0.numpy(), "LSODA", t_eval=times.floats, **tolerances)
        return torch.from_numpy(solved.y.T), q0


# The type checker accepts both as methods.
OWN: list[Method] = [AdamsBashforth(), Lsoda()]


def decay(t, y):
    return -y * (1 + t)


Y0, TS = torch.tensor([1.0, -2.0], dtype=F64), torch.tensor([0.0, 0.5, 1.0], dtype=F64)
EXACT = Y0 * torch.exp(-TS - TS**2 / 2)[:, None]


def test_a_method_with_a_memory_has_its_order():
    def error(size):
        solution = solve(decay, Y0, TS, method=AdamsBashforth(), step_size=size)
        # One evaluation to begin with, and one a step.
        assert solution.stats.nfe_forward == 1 + solution.stats.accepted
        return (solution.ys - EXACT).abs().max().item()

    assert 3.6 < error(0.01) / error(0.005) < 4.4


def test_autograd_goes_through_its_memory():
    y0 = Y0.clone().requires_grad_()
    ys = solve(decay, y0, TS, method=AdamsBashforth(), step_size=0.01, gradient=Backprop()).ys
    (gradient,) = torch.autograd.grad(ys[-1].sum(), y0)
    torch.testing.assert_close(gradient * Y0, ys[-1].detach(), rtol=1e-12, atol=1e-12)


def test_an_adjoint_can_go_back_by_it():
    """Without parameters there are no integrals, which it leaves as they are."""
    y0 = Y0.clone().requires_grad_()
    adjoint = Adjoint(method=AdamsBashforth(), params=(), settings={"step_size": 0.001})
    ys = solve(decay, y0, TS, gradient=adjoint, rtol=1e-9, atol=1e-9).ys
    (gradient,) = torch.autograd.grad(ys[-1].sum(), y0)
    torch.testing.assert_close(gradient * Y0, EXACT[-1], rtol=1e-5, atol=1e-5)


def test_the_whole_problem_may_be_left_to_a_library():
    solution = solve(decay, Y0, TS, method=Lsoda(), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(solution.ys, EXACT, rtol=1e-6, atol=1e-6)
    assert solution.stats.nfe_forward > 0


@pytest.mark.parametrize(
    ("method", "settings", "sentence"),
    [
        (AdamsBashforth(), {"perturb": True}, "'adams_bashforth' does not take perturb"),
        (AdamsBashforth(), {"gradient": Checkpointed(())}, "'adams_bashforth' does not allow"),
        (Lsoda(), {"step_size": 0.1, "max_step": 1}, "'lsoda' does not take step_size, max_step"),
        (Lsoda(), {"norm": torch.max}, "'lsoda' has a norm of its own"),
        (Lsoda(), {"gradient": InterpolatedAdjoint(params=())}, "'lsoda' does not have"),
    ],
)
def test_what_it_says_of_itself_is_heeded(method, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        solve(decay, Y0, TS, method=method, **settings)


FILE = '''"""Ralston's method."""

import numpy as np

from neural_ode.methods.tableau import ButcherTableau, lower

RALSTON = ButcherTableau(
    name="ralston",
    order=2,
    c=np.array([0, 2 / 3]),
    a=lower([2 / 3]),
    b=np.array([1 / 4, 3 / 4]),
    dense=np.array([[1, -3 / 4], [0, 3 / 4]]),
    source="Ralston, Math. Comp. 16 (1962)",
)
'''


def test_a_file_in_the_folder_is_a_method(monkeypatch, tmp_path):
    (tmp_path / "ralston.py").write_text(FILE)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert methods.discover().keys() - methods.NAMED.keys() == {"ralston"}


def test_a_name_that_a_method_has_already_is_refused(monkeypatch, tmp_path):
    """It would take the place of the other without a word."""
    (tmp_path / "another.py").write_text(FILE.replace('"ralston"', '"rk4"'))
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match="two methods have the name 'rk4'") as refused:
        methods.discover()
    files = set(re.findall(r"\w+\.py", str(refused.value)))
    assert files == {"another.py", "runge_kutta_1_to_4.py"}


def test_a_file_may_import_the_method_of_another(monkeypatch, tmp_path):
    """It is one method, which is found in two files."""
    text = "from neural_ode.methods.runge_kutta_5 import DOPRI5\nSAME = DOPRI5\n"
    (tmp_path / "borrowing.py").write_text(text)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert methods.discover().keys() == methods.NAMED.keys()


def test_every_method_is_known_by_its_name():
    assert all(name == method.name for name, method in methods.NAMED.items())
    assert neural_ode.METHODS.keys() < methods.NAMED.keys()
    assert [m for m in methods.NAMED if m in METHODS] == list(METHODS)
