"""Every public name, method and option of torchdiffeq is here, and does here what it does there."""

import math
import warnings
from pathlib import Path

import pytest
import torch
import torchdiffeq

import neural_ode
from neural_ode.odeint import CALLBACKS
from odeclaims.dropin import callbacks, functions, options, solvers, table

PAGE = Path(__file__).parents[2] / "docs" / "torchdiffeq.md"
F64 = torch.float64


def times(*values):
    return torch.tensor(values, dtype=F64)


def largest(y):
    return y.abs().max()


# A value for every option, so that a new one of torchdiffeq is missing here at once.
VALUES = {
    "dfactor": 0.3,
    "dtype": F64,
    "first_step": 0.05,
    "grid_constructor": lambda func, y0, t: torch.linspace(0, 1, 13, dtype=F64),
    "ifactor": 5.0,
    "implicit": False,
    "interp": "cubic",
    "jump_t": times(0.5),
    "max_iters": 6,
    "max_num_steps": 1000,
    "max_order": 6,
    "max_step": 0.2,
    "min_step": 1e-4,
    "norm": largest,
    "perturb": True,
    "safety": 0.8,
    "solver": "RK45",
    "step_size": 0.1,
    "step_t": times(0.4),
}


def driven(t, y):
    return y * torch.cos(3 * t)


@pytest.mark.parametrize("method", solvers())
def test_every_option_of_every_method_does_here_what_it_does_there(method):
    for name in options(solvers()[method]):
        chosen = {name: VALUES[name]}
        run = {"method": method, "options": chosen, "rtol": 1e-5, "atol": 1e-7}
        ends, calls = [], []
        for package in (neural_ode, torchdiffeq):
            count = []

            def field(t, y, count=count):
                count.append(t)
                return driven(t, y)

            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("error" if package is neural_ode else "ignore")
                ends.append(package.odeint(field, times(1, -2), times(0, 0.35, 1), **run))
            calls.append(len(count))
        ours, theirs = (y[-1] for y in ends)
        if method in ADAPTIVE:
            # The end lies inside a step, where the interpolants differ.
            truth = times(1, -2) * math.exp(math.sin(3) / 3)
            ours, theirs = ((y - truth).abs().max() for y in (ours, theirs))
            assert ours < theirs + 3e-4, name
        else:
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-7)
        # Two methods evaluate at each new point, where torchdiffeq carries over another slope.
        assert calls[0] <= calls[1] * 2 + 4, name


ADAPTIVE = {name for name, solver in solvers().items() if "first_step" in options(solver)}


@pytest.mark.parametrize("method", solvers())
def test_every_callback_is_called_as_often(method):
    told = []

    def tell(kind):
        return lambda field, t, y, h: told[-1].append(kind)

    watched = type("Watched", (), {n: tell(n) for n in CALLBACKS.values()})
    for package in (neural_ode, torchdiffeq):
        told.append([])
        field = type("Field", (watched,), {"__call__": staticmethod(driven)})()
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            package.odeint(field, times(1), times(0, 0.3, 1), method=method, rtol=1e-3, atol=1e-3)
    ours, theirs = ({kind: names.count(kind) for kind in set(names)} for names in told)
    assert set(ours) <= set(callbacks(solvers()[method]))
    assert ours == theirs or method in ("fehlberg2", "adaptive_heun")


def test_every_public_function_takes_every_argument_by_its_name():
    rows = table()
    assert set(rows["here"]) == {"yes"}
    assert not rows["its arguments or options"].str.contains("missing").any()
    assert not rows["callbacks"].str.contains("missing").any()
    assert set(rows["events"]) == {"", "yes", "-"}
    assert set(functions(torchdiffeq)) <= set(neural_ode.__all__)


def test_the_page_has_the_table_that_the_two_packages_give():
    block = PAGE.read_text(encoding="utf-8").partition("<!-- of torchdiffeq -->")[2]
    shown = block.partition("<!-- end of torchdiffeq -->")[0].strip()
    assert shown == table().to_markdown(index=False, disable_numparse=True)
