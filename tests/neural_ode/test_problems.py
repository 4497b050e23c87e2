"""Fields, states and times that do not fit: one sentence, from each of the two faces."""

# Wrong types are the subject.
# pyright: reportArgumentType=false, reportCallIssue=false

import re
import warnings

import pytest
import torch
from torch import nn

from neural_ode import odeint, solve
from tests.neural_ode.random_problems import F32, F64

pytestmark = pytest.mark.usefixtures("unchecked")
Y0, TS = torch.ones(2), torch.tensor([0.0, 1.0])
FACES = pytest.mark.parametrize("face", [odeint, solve])


def decay(t, y):
    return -y


def nested(layout):
    return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, t, y):
        return self.layer(y)


@FACES
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: nested(torch.strided), "nested"),
        (lambda: nested(torch.jagged), "nested"),
        (lambda: torch.eye(2).to_sparse(), "sparse"),
    ],
)
def test_a_state_that_is_not_dense(face, make, kind):
    with pytest.raises(TypeError, match=f"y0 is a {kind} tensor, expected a dense one"):
        face(decay, make(), TS)


@FACES
@pytest.mark.parametrize("name", ["y0", "ts"])
def test_a_tensor_without_numbers(face, name):
    y0, ts = (x.to("meta") if name == n else x for n, x in (("y0", Y0), ("ts", TS)))
    with pytest.raises(ValueError, match=f"{name} is on the device meta, where a tensor has a"):
        face(decay, y0, ts)


@FACES
@pytest.mark.parametrize(
    "field",
    [lambda y: -y, nn.Linear(2, 2), lambda t, y, z: y, Net, lambda t, *, y: y],
    ids=["no time", "no time in a module", "a third", "a class", "by name"],
)
def test_a_field_that_cannot_be_called_with_a_time_and_a_state(face, field):
    wanted = r"called as field\(t, y\), which does not fit: |is the class Net, expected a function"
    with pytest.raises(TypeError, match=wanted):
        face(field, Y0, TS)


@FACES
@pytest.mark.parametrize("dtypes", [(F32, F64), (F64, F32)])
def test_a_state_of_another_dtype_than_the_parameters(face, dtypes):
    of_state, of_net = dtypes
    sentence = f"y0 has dtype {of_state}, the parameters of Net have {of_net}: convert one"
    with pytest.raises(TypeError, match=sentence):
        face(Net().to(of_net), Y0.to(of_state), TS)


@FACES
def test_an_error_of_the_field_itself_is_left_as_it_is(face):
    def field(t, y):
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$"):
        face(field, Y0, TS)


def test_a_slope_that_is_not_dense():
    with pytest.raises(TypeError, match="the field returned a sparse tensor, expected a dense one"):
        solve(lambda t, y: y.to_sparse(), torch.eye(2), TS)


def test_callbacks_that_are_none():
    with pytest.raises(TypeError, match=r"callbacks is 3, expected Callbacks\(...\)"):
        solve(decay, Y0, TS, callbacks=3)


# --- methods --------------------------------------------------------------------------------------


@FACES
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Dopri5", "did you mean 'dopri5'?"),
        ("dopri 5", "did you mean 'dopri5'?"),
        ("RK45", "did you mean 'dopri5'?"),
        ("DOP853", "did you mean 'dopri8'?"),
        ("RK-4", "did you mean 'rk4'?"),
        ("tsitouras5", "did you mean 'tsit5'?"),
        ("reversibleheun", "did you mean 'reversible_heun'?"),
        ("implicit_euler", "did you mean 'kvaerno5', which is for stiff problems?"),
        ("LSODA", "did you mean 'kvaerno5', which is for stiff problems?"),
        ("xyz", "expected one of euler"),
    ],
)
def test_a_name_near_that_of_a_method_is_suggested(face, name, hint):
    sentence = "^" + re.escape(f"unknown method {name!r}; {hint}")
    with pytest.raises(ValueError, match=sentence):
        face(decay, Y0, TS, method=name)


# --- times that the dtype cannot tell apart -------------------------------------------------------

LATE = torch.tensor([0.0, 1e8])


class Clock(nn.Module):
    def forward(self, t, y):
        return torch.stack([t, t]) * 1e-9


@FACES
@pytest.mark.parametrize(
    "field",
    [
        lambda t, y: torch.cos(t * 1e-8) - y * 1e-7,
        lambda t, y: y * 1e-8 * float(t > 0),
        lambda t, y: y * (1e-8 * t.item() / 1e8),
        Clock(),
    ],
)
def test_a_field_that_reads_late_times_in_float32_is_warned_of_them(face, field):
    with pytest.warns(UserWarning, match=r"float32 holds near t=1e\+08 are 8 apart: take float64"):
        face(field, Y0, LATE, rtol=1e-2, atol=1e-2)


@FACES
@pytest.mark.parametrize(
    ("field", "y0", "ts"),
    [
        (lambda t, y: y * 1e-8, Y0, LATE),
        (lambda t, y: y * 1e-8 * t.new_ones(2), Y0.double(), LATE.double()),
        (lambda t, y: y * t, Y0, TS),
    ],
    ids=["the time unread", "float64", "early times"],
)
def test_no_other_solve_is_warned(face, field, y0, ts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        face(field, y0, ts, rtol=1e-2, atol=1e-2)
