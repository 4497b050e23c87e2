"""The initial value problems on which gradients are compared, and their exact gradients.

Each function from ``constant`` to ``conv_relu`` builds one problem. ``FAMILIES`` lists them, with
what is expected of each.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor, nn

from neural_ode.data.mnist import load, normalised
from neural_ode.networks import ConvField, MLPField, conv_stem
from neural_ode.networks.mlp import initialise


@dataclass(frozen=True)
class GradientProblem:
    """An initial value problem, and a loss of its final state whose gradient is asked for.

    Attributes:
        field: the field, with its parameters.
        y0: the initial state, shape [*state].
        span: the initial and the final time.
        loss: from the final state to a number.
        flow: the final state as a formula of y0 and the parameters; ``None`` where there is none.
    """

    field: nn.Module
    y0: Float[Tensor, "*state"]
    span: tuple[float, float]
    loss: Callable[[Tensor], Float[Tensor, ""]]
    flow: Callable[..., Tensor] | None = None

    def to(self, dtype: torch.dtype, device: str = "cpu") -> "GradientProblem":
        """A copy in another precision or on another device."""
        field = copy.deepcopy(self.field).to(device=device, dtype=dtype)
        y0 = self.y0.to(device=device, dtype=dtype)
        return GradientProblem(field, y0, self.span, self.loss, self.flow)

    @property
    def ts(self) -> Float64[Tensor, " two"]:
        """The two times as a tensor."""
        return torch.tensor(self.span, dtype=torch.float64)

    @property
    def inputs(self) -> list[Tensor]:
        """What the gradient is taken with respect to: y0 first, then the parameters."""
        return [self.y0, *self.field.parameters()]

    def exact_gradient(self) -> list[Tensor]:
        """The gradient of the loss for each of ``inputs``, by differentiating ``flow``.

        Raises:
            ValueError: where there is no formula of the flow.
        """
        if self.flow is None:
            raise ValueError("the problem has no closed form")
        inputs = [x.detach().clone().requires_grad_(True) for x in self.inputs]
        return list(torch.autograd.grad(self.loss(self.flow(*inputs)), inputs))


class Formula(nn.Module):
    """The field ``f(t, y, *parameters)``."""

    def __init__(self, formula: Callable[..., Tensor], *parameters: Tensor) -> None:
        super().__init__()
        self.formula = formula
        self.theta = nn.ParameterList([nn.Parameter(p) for p in parameters])

    def forward(self, t: Float[Tensor, ""], y: Float[Tensor, "*state"]) -> Float[Tensor, "*state"]:
        """The derivative at time ``t``."""
        return self.formula(t, y, *self.theta)


def half_square(y: Float[Tensor, "*state"]) -> Float[Tensor, ""]:
    """Half the sum of the squares."""
    return (y * y).sum() / 2


def final_cost(y: Float[Tensor, " two"]) -> Float[Tensor, ""]:
    """The running cost, which is the second component of the state."""
    return y[1]


def constant(generator: torch.Generator, rate: float) -> GradientProblem:
    """``y' = a + (y - (a t + b))^5``, whose distance u to a line obeys ``u' = u^5``."""
    start, end = 1.0, 8.0

    def formula(t, y, a, b):
        return a + (y - (a * t + b)) ** 5

    def flow(y0, a, b):
        u0 = y0 - (a * start + b)
        return a * end + b + u0 * (1 - 4 * u0**4 * (end - start)) ** -0.25

    field = Formula(formula, torch.tensor(0.2), torch.tensor(3.0))
    return GradientProblem(field, torch.tensor([3.6]), (start, end), half_square, flow)


def linear(generator: torch.Generator, rate: float) -> GradientProblem:
    """``y' = A y`` with a random antisymmetric A: rotations in ten dimensions."""
    half = 0.1 * torch.randn(10, 10, generator=generator)
    target = torch.randn(10, generator=generator).double()

    def flow(y0, matrix):
        return torch.linalg.matrix_exp(7 * matrix) @ y0

    field = Formula(lambda t, y, matrix: matrix @ y, half - half.T)
    # The length of y is conserved, so half its square would not depend on A.
    return GradientProblem(
        field, torch.ones(10), (1.0, 8.0), lambda y: half_square(y - target.to(y)), flow
    )


def sine(generator: torch.Generator, rate: float) -> GradientProblem:
    """``y' = 2 y / t + a t^4 sin(2 t) + b t^2 + c t^3`` with a, b, c = 1, -1, 4."""
    start, end = 1.0, 8.0

    def formula(t, y, a, b, c):
        return 2 * y / t + a * t**4 * torch.sin(2 * t) + b * t**2 + c * t**3

    def inner(t):
        """The integral of ``t^2 sin(2 t)``."""
        return t * math.sin(2 * t) / 2 + (1 / 4 - t**2 / 2) * math.cos(2 * t)

    def flow(y0, a, b, c):
        forced = a * (inner(end) - inner(start)) + b * (end - start) + c * (end**2 - start**2) / 2
        return end**2 * (y0 / start**2 + forced)

    field = Formula(formula, torch.tensor(1.0), torch.tensor(-1.0), torch.tensor(4.0))
    return GradientProblem(field, torch.tensor([3.75]), (start, end), half_square, flow)


def exponential(generator: torch.Generator, rate: float) -> GradientProblem:
    """``y' = -k e^{-k t}``, a slope that does not depend on y."""
    start, end = 1.0, 8.0

    def flow(y0, k):
        return y0 + torch.exp(-k * end) - torch.exp(-k * start)

    field = Formula(lambda t, y, k: -k * torch.exp(-k * t) + 0 * y, torch.tensor(0.1))
    return GradientProblem(field, torch.tensor([1.0]), (start, end), half_square, flow)


def spiral(generator: torch.Generator, rate: float) -> GradientProblem:
    """``y' = A y^3`` with the cube of each component, torchdiffeq's demonstration; T = 10."""
    matrix = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
    field = Formula(lambda t, y, matrix: matrix @ y**3, matrix)
    return GradientProblem(field, torch.tensor([2.0, 0.0]), (0.0, 10.0), half_square)


def mlp(generator: torch.Generator, rate: float) -> GradientProblem:
    """Two hidden layers of 16 tanh units, on 16 random states in the plane."""
    field = MLPField(2, 16, generator=generator)
    return GradientProblem(field, torch.randn(16, 2, generator=generator), (0.0, 5.0), half_square)


def mlp_relu(generator: torch.Generator, rate: float) -> GradientProblem:
    """One hidden layer of 8 ReLUs, on 4 random states in the plane."""

    def formula(t, y, first, bias, second):
        return torch.relu(y @ first + bias) @ second

    first = torch.randn(2, 8, generator=generator)
    bias = torch.randn(8, generator=generator)
    second = torch.randn(8, 2, generator=generator) / 8
    field = Formula(formula, first, bias, second)
    return GradientProblem(field, torch.randn(4, 2, generator=generator), (0.0, 2.0), half_square)


def decay(generator: torch.Generator, rate: float) -> GradientProblem:
    """``z' = -rate a z`` with the running cost ``q' = 2 rate b z^2``, a = b = 1."""

    def formula(t, y, a, b):
        z = y[0]
        return torch.stack([-rate * a * z, 2 * rate * b * z**2])

    return _contraction(formula, rate)


def relu(generator: torch.Generator, rate: float) -> GradientProblem:
    """``z' = -max(0, rate a z)`` of Gholami et al., with the running cost of ``decay``."""

    def formula(t, y, a, b):
        z = y[0]
        return torch.stack([-torch.relu(rate * a * z), 2 * rate * b * z**2])

    return _contraction(formula, rate)


def _contraction(formula: Callable[..., Tensor], rate: float) -> GradientProblem:
    def flow(y0, a, b):
        z, q = y0
        spent = -torch.expm1(-2 * rate * a)
        return torch.stack([z * torch.exp(-rate * a), q + b / a * z**2 * spent])

    field = Formula(formula, torch.tensor(1.0), torch.tensor(1.0))
    return GradientProblem(field, torch.tensor([1.0, 0.0]), (0.0, 1.0), final_cost, flow)


def relaxation(generator: torch.Generator, rate: float) -> GradientProblem:
    """``z' = -rate sin(z - a)``, whose end depends on a and hardly on the start."""

    def flow(y0, a):
        return a + 2 * torch.atan(torch.tan((y0 - a) / 2) * math.exp(-rate))

    field = Formula(lambda t, y, a: -rate * torch.sin(y - a), torch.tensor(0.5))
    return GradientProblem(field, torch.tensor([1.5]), (0.0, 1.0), half_square, flow)


def conv(generator: torch.Generator, rate: float) -> GradientProblem:
    """The conv field of the ODE-Net, untrained, on the stem's features of a digit."""
    stem = conv_stem(4, 4)
    initialise(stem, generator)
    with torch.no_grad():
        features = stem(_digit(generator))
    field = ConvField(4, 4, generator=generator)
    return GradientProblem(field, features, (0.0, 1.0), half_square)


def conv_relu(generator: torch.Generator, rate: float) -> GradientProblem:
    """``z' = relu(w * z)`` on a digit of 7 x 7 pixels, w one Gaussian 3 x 3 filter."""
    weight = 6 * torch.randn(1, 1, 3, 3, generator=generator)
    image = nn.functional.avg_pool2d(_digit(generator), 4)

    def formula(t, y, weight):
        return torch.relu(nn.functional.conv2d(y, weight, padding=1))

    return GradientProblem(Formula(formula, weight), image, (0.0, 1.0), half_square)


def _digit(generator: torch.Generator) -> Float[Tensor, "1 1 28 28"]:
    """A random test image of MNIST, as a batch of one."""
    images = _test_images()
    return normalised(images[torch.randint(len(images), (1,), generator=generator)])


@cache
def _test_images() -> UInt8[Tensor, "images 28 28"]:
    return load("test").images


@dataclass(frozen=True)
class Family:
    """How the problems of one name are built, and how they are measured.

    Attributes:
        build: from a generator and a rate to the problem, in float32.
        group: what is expected of the adjoint, see the column of that name.
        rates: values of |lambda| T, or a single 0.
        random: whether the generator is used; if not, one repetition is enough.
        dtypes: the precisions. float32 shows rounding, or stands there because others used it.
        tightest: the smallest tolerances of the profiles quick and paper. Where many units switch,
            each at an instant that a step has to meet, smaller ones take too long.
        reference: method and tolerance of the reference.
        second: method and tolerance of the solve that confirms the reference where there is no
            closed form.
    """

    build: Callable[[torch.Generator, float], GradientProblem]
    group: str
    rates: Sequence[float] = (0.0,)
    random: bool = False
    dtypes: tuple[str, ...] = ("float64",)
    tightest: tuple[float, float] = (0.0, 0.0)
    reference: tuple[str, float] = ("dopri8", 1e-13)
    second: tuple[str, float] = ("tsit5", 1e-10)


BOTH = ("float64", "float32")
# No method keeps its order across a kink. So a method of low order is as good as another, and the
# tolerance cannot be tight.
KINKED: dict[str, Any] = {
    "random": True,
    "reference": ("dopri5", 1e-6),
    "second": ("bosh3", 1e-5),
}

FAMILIES = {
    "constant": Family(constant, "benign"),
    "linear": Family(linear, "benign", random=True, dtypes=BOTH),
    "sine": Family(sine, "benign"),
    "exponential": Family(exponential, "benign"),
    "spiral": Family(spiral, "benign"),
    "mlp": Family(mlp, "benign", random=True, dtypes=BOTH),
    "decay": Family(decay, "decaying", rates=(5.0, 10.0, 20.0, 40.0)),
    "relu": Family(relu, "decaying", rates=(10.0,)),
    "relaxation": Family(relaxation, "forgetting", rates=(20.0,)),
    "mlp_relu": Family(
        mlp_relu,
        "kinked",
        random=True,
        tightest=(1e-8, 1e-10),
        reference=("dopri8", 1e-12),
        second=("tsit5", 1e-11),
    ),
    "conv_relu": Family(conv_relu, "kinked", tightest=(1e-3, 1e-6), **KINKED),
    "conv": Family(conv, "kinked", dtypes=("float32",), tightest=(1e-4, 1e-6), **KINKED),
}


def build_problem(name: str, rate: float, seed: int) -> GradientProblem:
    """A problem of ``FAMILIES`` in float64.

    Its numbers are those of float32, so that both precisions solve the same problem.
    """
    generator = torch.Generator().manual_seed(seed)
    return FAMILIES[name].build(generator, rate).to(torch.float64)
