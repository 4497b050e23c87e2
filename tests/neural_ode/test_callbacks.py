"""The callbacks that torchdiffeq finds on a field are called here at the same steps."""

# Settings are plain dicts, fields have callbacks of their own, odeint gives a tensor or a tuple.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false

import pytest
import torch
import torchdiffeq
from torch import nn

import neural_ode
from neural_ode import Adjoint, solve
from neural_ode.settings import Callbacks
from tests.neural_ode.random_problems import F64

TS = torch.tensor([0.0, 0.3, 1.0], dtype=F64)
LOOSE = {"rtol": 1e-3, "atol": 1e-3}


class Watched(nn.Module):
    """A stiff field, of which many steps are rejected, and what its callbacks were told."""

    def __init__(self, pair=False):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(-30.0, dtype=F64))
        self.pair, self.told = pair, []

    def forward(self, t, y):
        slope = self.rate * (y[0] if self.pair else y)
        return (slope, torch.ones_like(y[1])) if self.pair else slope

    def tell(self, kind, t, y, h):
        whole = torch.cat([x.detach().reshape(-1) for x in (y if isinstance(y, tuple) else (y,))])
        self.told.append((kind, [float(t.detach()), *whole.tolist(), float(h.detach())]))

    def callback_step(self, t, y, h):
        self.tell("step", t, y, h)

    def callback_accept_step(self, t, y, h):
        self.tell("accept", t, y, h)

    def callback_reject_step(self, t, y, h):
        self.tell("reject", t, y, h)

    def callback_accept_step_adjoint(self, t, y, h):
        assert isinstance(y, tuple)
        self.tell("accept back", t, y, h)


def told(package, entry="odeint", pair=False, ts=TS, **chosen):
    field, y0 = Watched(pair), torch.tensor([1.0, 2.0], dtype=F64)
    y0 = (y0, y0[:1]) if pair else y0
    ys = getattr(package, entry)(field, y0, ts, **(LOOSE | chosen))
    if entry == "odeint_adjoint":
        ys[-1].sum().backward()
    return field.told


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("entry", ["odeint", "odeint_adjoint"])
def test_callbacks_are_told_what_torchdiffeq_tells_them(pair, direction, entry):
    if entry == "odeint_adjoint" and direction < 0:
        pytest.skip("one way back is enough")
    chosen = {"ts": direction * TS * (1 if direction > 0 else 0.1), "pair": pair}
    # Without the gradient of the time, which torchdiffeq counts in its error.
    back = {"adjoint_options": {"norm": "seminorm"}} if entry == "odeint_adjoint" else {}
    ours, theirs = (told(p, entry, **chosen, **back) for p in (neural_ode, torchdiffeq))
    assert [kind for kind, _ in ours] == [kind for kind, _ in theirs]
    kinds = {"step", "accept"} | ({"reject"} if direction > 0 else set())
    assert kinds <= {kind for kind, _ in ours}
    for (_, our), (_, their) in zip(ours, theirs, strict=True):
        assert our == pytest.approx(their, rel=1e-5, abs=1e-7)


@pytest.mark.filterwarnings("ignore:method 'rk4' does not call")
@pytest.mark.filterwarnings("ignore:Solver 'rk4' does not support")
def test_a_grid_has_steps_that_are_neither_accepted_nor_rejected():
    ours, theirs = (told(p, method="rk4") for p in (neural_ode, torchdiffeq))
    assert [kind for kind, _ in ours] == ["step", "step"]
    for (_, our), (_, their) in zip(ours, theirs, strict=True):
        assert our == pytest.approx(their)


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("rk4", "callback_accept_step, callback_reject_step"),
        ("adams", "callback_step, callback_accept_step, callback_reject_step"),
    ],
)
def test_callbacks_that_a_method_does_not_call_are_named_in_a_warning(method, names):
    with torch.no_grad(), pytest.warns(UserWarning, match=f"method '{method}' does not .* {names}"):
        told(neural_ode, method=method)


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.compiles)])
def test_callbacks_of_solve_watch_every_step_of_the_forward_solve_alone(compile):
    seen = []
    callbacks = Callbacks(*(lambda *_, k=k: seen.append(k) for k in ("step", "accept", "reject")))
    field, y0 = Watched(), torch.ones(2, dtype=F64)
    chosen = {"method": "bosh3", "gradient": Adjoint(), "callbacks": callbacks, **LOOSE}
    if compile:
        chosen |= {"compile": True, "gradient": None}
        with torch.no_grad():
            counts = solve(field, y0, TS[[0, 2]], **chosen).stats.forward
    else:
        solution = solve(field, y0, TS, **chosen)
        solution.ys.sum().backward()
        counts = solution.stats.forward
    assert (seen.count("accept"), seen.count("reject")) == (counts.accepted, counts.rejected)
    assert seen.count("step") == counts.accepted + counts.rejected


def test_a_parameter_that_is_named_twice_is_told_of_once():
    field, y0 = Watched(), torch.ones(2, dtype=F64)
    params = (field.rate, field.rate)
    neural_ode.odeint_adjoint(field, y0, TS, adjoint_params=params, **LOOSE)[-1].sum().backward()
    *_, back = (values for kind, values in field.told if kind == "accept back")
    # t, the time's own gradient, y, a, the parameter's gradient, h
    assert len(back) == 1 + 1 + 2 + 2 + 1 + 1
    once = Watched()
    neural_ode.odeint_adjoint(once, y0, TS, **LOOSE)[-1].sum().backward()
    assert torch.equal(field.rate.grad, once.rate.grad)
