"""Do the tutorial's equations hold as they are printed?

Every displayed equation is evaluated in float64 on seeded random problems, as printed and as
corrected: both sides are computed by different routes, their largest difference is the residual.
What a side needs to be judged by (gradients, flows, densities) comes from autograd through this
project's own solver, from SciPy, or from a closed form, never from the equation under test.

Displayed means set off on a line of its own in the tutorial, plus the inline formulas that lead to
Euler's method and the one that concludes the proof.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.integrate import solve_ivp
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from neural_ode import solve
from odeclaims.claim import Bounds, Cell, Claim, Column, Criterion, Evidence, Profile, Row
from odeclaims.report.style import COLOURS, add_legend, in_column, label_panels, panels
from odeclaims.report.tables import number

SLUG = "equations"

# The solves are accurate to about 1e-12 and the differences in time to about 1e-10; the problems
# amplify either by less than 1e3. A wrong sign, factor or transpose of order-one terms is far off.
TOLERANCE = 1e-6
# Between the tolerance and this a verdict would hang on the choice of the tolerance.
CLEAR = 1e-4

# --- the equations -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Equation:
    """One equation of the tutorial; it is expected to slip where a kind of slip is named.

    Attributes:
        key: its name in the rows.
        section: where in the tutorial it stands.
        name: what it says, in a few words.
        printed: the formula of the tutorial, as text.
        corrected: the formula with its slip mended; empty where none is expected.
        kind: what is wrong with the printed one, from section 1 of the project's fact sheet.
        role: ``result`` asserts, ``definition`` introduces, ``example`` is a number for a reader
            and no equation of the tutorial.
    """

    key: str
    section: str
    name: str
    printed: str
    corrected: str = ""
    kind: str = ""
    role: str = "result"


SECTION_NAMES = {
    "residual": "Residual networks",
    "euler": "ODEs and Euler's method",
    "adjoint": "Neural ODEs, adjoint method",
    "proof": "Proof of the adjoint method",
    "algorithm": "Algorithm",
    "change": "Change of variables",
    "flows": "Normalizing flows",
    "augmented": "Augmented neural ODEs",
}

EQUATIONS = (
    Equation(
        "residual_block",
        "residual",
        "Residual block",
        "x_{n+1} = F(x_n) + x_n",
        "x_{n+1} = F_{n+1}(x_n) + x_n",
        "index",
        "definition",
    ),
    Equation(
        "plain_gradient",
        "residual",
        "Gradient, plain net",
        "dy/dw1 = dF3/dx2 dx2/dw1 = dF3/dx2 dF2/dx1 dx1/dw1 = w3 w2 x0",
    ),
    Equation(
        "residual_composition",
        "residual",
        "Residual net written out",
        "y = F3(F2(F1(x0) + x0) + F1(x0) + x0) + F2(F1(x0) + x0) + F1(x0) + x0",
    ),
    Equation(
        "residual_gradient",
        "residual",
        "Gradient, residual net",
        "dy/dw1 = w3 w2 x0 + w3 x0 + w2 x0 + x0",
    ),
    Equation(
        "ode_definition",
        "euler",
        "ODE of order n",
        "f(t, h, h', ..., h^(n-1)) = h^(n)",
        role="definition",
    ),
    Equation(
        "example_solution",
        "euler",
        "Solution of h' = 5h - 3",
        "h proportional to e^{5t}",
        "h = 3/5 + (h0 - 3/5) e^{5t}",
        "constant",
    ),
    Equation("taylor", "euler", "Taylor expansion", "h(t + a) = h(t) + a h'(t) + ..."),
    Equation(
        "plugging_in",
        "euler",
        "Taylor with h' = f(h, t)",
        "h(t + a) ~ h(t) + a f(t, h(t))",
        "h(t + a) ~ h(t) + a f(h(t), t)",
        "argument order",
    ),
    Equation(
        "euler_step",
        "euler",
        "Euler's method (boxed)",
        "h_{n+1} = h_n + a f(h_n, t_n)",
        role="definition",
    ),
    Equation(
        "euler_table",
        "euler",
        "Table: its arithmetic",
        "(t, h_n, h'_n) = (0, 1, 2), (1, 3, 12), (2, 15, 72)",
    ),
    Equation(
        "euler_table_exact",
        "euler",
        "Table: h(1), h(2) as solution",
        "h(1) = 3, h(2) = 15",
        "h(1) = 59.97, h(2) = 8811.19",
        "step too large",
    ),
    Equation(
        "resnet_vs_euler",
        "adjoint",
        "ResNet beside Euler",
        "x_{n+1} = x_n + F_{n+1}(x_n) | h_{n+1} = h_n + a f(h_n, t_n) (a = 1)",
    ),
    Equation("neural_ode", "adjoint", "Neural ODE", "dz/dt = f(z, t, theta)", role="definition"),
    Equation(
        "loss",
        "adjoint",
        "Loss of the end state",
        "L(z(T)) = L(z(0) + int_0^T f dt) = L(ODE(z(0), f, 0, T, theta))",
    ),
    Equation(
        "adjoint_ode",
        "adjoint",
        "Adjoint ODE",
        "da/dt = -(df/dz) a",
        "da/dt = -(df/dz)^T a",
        "transpose",
    ),
    Equation("adjoint_end", "adjoint", "Adjoint at the end", "a(T) = dL/dz(T)"),
    Equation(
        "parameter_gradient",
        "adjoint",
        "Parameter gradient",
        "dL/dtheta = int_0^T a^T df/dtheta dt",
    ),
    Equation("loss_as_integral", "proof", "Loss as an integral", "L(z) = int_0^T l dt + L(z_0)"),
    Equation("running_loss", "proof", "Integrand of the loss", "l = dL(z_t)/dt = (dL/dz)^T f"),
    Equation(
        "lagrangian",
        "proof",
        "Lagrangian",
        "int_0^T l dt + int_0^T lambda^T (dz/dt - f) dt",
        role="definition",
    ),
    Equation(
        "lagrangian_gradient",
        "proof",
        "Gradient of the Lagrangian",
        "int grad_z l^T dz/dtheta + grad_theta l dt + int lambda^T d/dtheta dz/dt"
        " - lambda^T df/dz dz/dtheta - lambda^T df/dtheta dt",
    ),
    Equation(
        "by_parts",
        "proof",
        "By parts",
        "int lambda^T dz/dtheta dt = [lambda^T dz/dtheta]_0^T - int lambda'^T dz/dtheta dt",
        "int lambda^T d/dt dz/dtheta dt = [lambda^T dz/dtheta]_0^T - int lambda'^T dz/dtheta dt",
        "d/dt missing",
    ),
    Equation(
        "collected",
        "proof",
        "Terms collected",
        "int grad_theta l dt + (grad_z l - lambda'^T - lambda^T df/dz) dz/dtheta dt"
        " - lambda^T df/dtheta dt + lambda_T^T dz_T/dtheta",
        "int (grad_theta l + (grad_z l - lambda'^T - lambda^T df/dz) dz/dtheta"
        " - lambda^T df/dtheta) dt + lambda_T^T dz_T/dtheta",
        "integral signs",
    ),
    Equation(
        "multiplier",
        "proof",
        "ODE of the multiplier",
        "lambda'^T = grad_z l - lambda^T df/dz, lambda_T = 0",
        role="definition",
    ),
    Equation(
        "simplified_gradient",
        "proof",
        "Gradient, simplified",
        "int_0^T (grad_z L^T - lambda^T) df/dtheta dt",
    ),
    Equation("conclusion", "proof", "Adjoint from multiplier", "a = grad_z L - lambda"),
    Equation("forward_pass", "algorithm", "Forward pass", "z(T) = z(0) + int_0^T f dt"),
    Equation(
        "backward_pass",
        "algorithm",
        "Backward pass",
        "a(0) = a(T) + int_T^0 a df/dz dt",
        "a(0) = a(T) - int_T^0 a df/dz dt",
        "sign",
    ),
    Equation(
        "backward_example",
        "algorithm",
        "Example: f = theta z",
        "a(0) = a(T) + int_T^0 a theta dt",
        "a(0) = a(T) - int_T^0 a theta dt",
        "sign",
        "example",
    ),
    Equation(
        "algorithm_gradient",
        "algorithm",
        "Parameter gradient",
        "dL/dtheta = int_0^T a df/dtheta dt",
    ),
    Equation(
        "density_change",
        "change",
        "Density after a bijection",
        "p(z1) = p(z0) |det J_{f^-1}| = p(z0) |1 / det J_f|",
    ),
    Equation(
        "log_density_change",
        "change",
        "Its log density",
        "log p(z1) = log p(z0) - log |det J_f|",
    ),
    Equation(
        "instantaneous",
        "change",
        "Instantaneous change",
        "partial_t log p(z(t)) = -tr(df/dz)",
        "d/dt log p(z(t)) = -tr(df/dz)",
        "partial for total",
    ),
    Equation("expansion", "change", "Expansion of T", "T ~ z + eps dz/dt = z + eps f"),
    Equation(
        "jacobian_expansion",
        "change",
        "Expansion of dT/dz",
        "dT/dz = I + eps df/dz + O(eps^2)",
    ),
    Equation("limits", "change", "Limits of dT/dz and det", "lim dT/dz = I, lim det dT/dz = 1"),
    Equation("mixed_limit", "change", "Slope of dT/dz at eps = 0", "lim d/deps dT/dz = df/dz"),
    Equation(
        "boxed",
        "change",
        "Boxed: limits and Jacobi",
        "lim det dT/dz = 1, lim d/deps dT/dz = df/dz, d|A|/dt = |A| tr(A^-1 dA/dt)",
    ),
    Equation(
        "proof_start",
        "change",
        "Proof, line 1",
        "partial_t log p(z(t)) = lim 1/eps [log p - log |det dT/dz| - log p]",
        "d/dt log p(z(t)) = lim 1/eps [log p - log |det dT/dz| - log p]",
        "partial for total",
    ),
    Equation(
        "proof_hopital",
        "change",
        "Proof, line 2",
        "-lim 1/eps log |det dT/dz| = -lim d/deps log |det dT/dz|",
    ),
    Equation(
        "proof_chain",
        "change",
        "Proof, line 3",
        "-lim d/deps |det dT/dz| lim (det dT/dz)^-1 = -lim d/deps |det dT/dz|",
    ),
    Equation(
        "proof_jacobi",
        "change",
        "Proof, line 4",
        "-lim |det dT/dz| tr(lim dT^-1/dz lim d/deps dT/dz) = -tr(df/dz)",
    ),
    Equation(
        "flow_density",
        "flows",
        "Density of a flow",
        "q(z') = q(z) |det df^-1/dz'| = q(z) |det df/dz|^-1",
    ),
    Equation(
        "flow_composition",
        "flows",
        "Composed flow",
        "z_K = f_K o ... o f_2 o f_1(z_0)",
        role="definition",
    ),
    Equation(
        "flow_sum",
        "flows",
        "Log density, K layers",
        "ln q_K = ln q_0 - sum_k ln det |df_k/dz_k|",
        "ln q_K = ln q_0 - sum_k ln |det df_k/dz_{k-1}|",
        "index and bars",
    ),
    Equation(
        "planar_layer",
        "flows",
        "Planar flow",
        "z(t+1) = z(t) + u h(w^T z(t) + b)",
        role="definition",
    ),
    Equation(
        "planar_determinant",
        "flows",
        "Planar flow: determinant",
        "|det dz(t+1)/dz| = |det(I + u (dh/dz)^T)| = |1 + u^T dh/dz|",
    ),
    Equation(
        "planar_density",
        "flows",
        "Planar flow: log density",
        "log p(z(t+1)) = log p(z(t)) - log |1 + u^T dh/dz|",
    ),
    Equation("planar_cnf", "flows", "Planar CNF", "dz/dt = u h(w^T z + b)", role="definition"),
    Equation(
        "planar_cnf_rate",
        "flows",
        "Planar CNF: rate",
        "partial_t log p(z(t)) = -tr(df/dz) = -u^T dh/dz",
        "d/dt log p(z(t)) = -tr(df/dz) = -u^T dh/dz",
        "partial for total",
    ),
    Equation(
        "planar_cnf_integral",
        "flows",
        "Planar CNF: integral",
        "log p(z_T) = log p(z_0) - int_0^T tr(dh/dz) dt",
        "log p(z_T) = log p(z_0) - int_0^T u^T dh/dz dt",
        "factor u missing",
    ),
    Equation(
        "concentric",
        "augmented",
        "Concentric classes",
        "g(x) = -1 if |x| <= r1, g(x) = 1 if r2 <= |x| <= r3",
        role="definition",
    ),
    Equation(
        "augmented_ode",
        "augmented",
        "Augmented ODE",
        "d/dt [h, a] = f([h, a], t), [h, a](0) = [x, 0]",
        role="definition",
    ),
)

BY_KEY = {equation.key: equation for equation in EQUATIONS}

LEDGER = [
    Evidence(
        "paper",
        "d log p/dt = sum_n tr(df_n/dz)",
        "Chen et al. 2018, eq. 10, from the fact sheet",
        "the paper itself drops the minus sign there",
    ),
    Evidence(
        "paper",
        "dL/dtheta = -int_{t1}^{t0} a^T df/dtheta dt",
        "Chen et al. 2018, eq. 5",
        "the tutorial's +int_0^T is the same",
    ),
    Evidence(
        "paper",
        "ln det |df_k/dz_k|",
        "Rezende & Mohamed 2015, preprint; from memory, medium confidence",
        "the same slip as in the tutorial's sum",
    ),
    Evidence(
        "derived",
        "a(0) = 2.718, printed -0.718",
        "the project's fact sheet, section 1",
        "f = theta z, L = z(T), theta T = 1",
    ),
]

DEVIATIONS = [
    "One layout holds for the whole text: a Jacobian has a row for each output. The tutorial's own"
    " a^T df/dtheta needs it; in the transposed layout the adjoint ODE would be right as printed"
    " and that product wrong.",
    "A missing transpose that only makes a row of a column is not counted (grad_z l beside"
    " lambda^T); one that changes the numbers is.",
    "partial_t of log p(z(t)) is read as printed, at a fixed z.",
    "Where a printed form has no meaning as it stands (the trace of a vector; bars inside a"
    " determinant) or more than one, several readings are evaluated and the best one counts. A dt"
    " without an integral sign integrates nothing.",
    "In line 4 of the proof dT^-1/dz should be (dT/dz)^-1; both tend to I, so the printed line is"
    " expected to hold.",
    "Not formulas, so not rows: the award was that of NeurIPS 2018, not 2019; 'lim' is set as"
    " l, i, m in the box; the backward pass has to solve z(t) again beside a(t); a(0) is returned"
    " as dL(z(0))/dz, meant is dL(z(T))/dz(0); the flow alone cannot swap -1 and 1, but a linear"
    " head can.",
]

COLUMNS = {
    "section": Column("section of the tutorial"),
    "equation": Column("short name of the equation, as in the table"),
    "form": Column("printed: the tutorial's; corrected: with its slip mended, if it has one"),
    "reading": Column("number of the reading of an ambiguous form, from 1; the best one counts"),
    "left": Column("one side, at the entry where the sides differ most"),
    "right": Column("the other side at that entry"),
    "residual": Column("largest difference of the sides over max(1, largest entry), no unit"),
}


# --- what is run ---------------------------------------------------------------------------------


def cells(profile: Profile) -> Iterator[Cell]:
    """A cell for each section of the tutorial and each random problem."""
    for section in SECTION_NAMES:
        for repetition in profile.repetitions(smoke=1, quick=3, paper=20):
            yield Cell(SLUG, {"section": section}, repetition)


Sides = Sequence[Tensor]


@dataclass(frozen=True)
class Finding:
    """The sides of one equation: the readings of its printed form, and its corrected form."""

    equation: str
    printed: Sequence[Sides]
    corrected: Sides


def holds(equation: str, *sides: Tensor) -> Finding:
    """A finding for an equation whose printed form is the one to be corrected to."""
    return Finding(equation, [sides], sides)


def measure(cell: Cell) -> list[Row]:
    """The residuals of a section's equations on one random problem."""
    rows = []
    for finding in SECTIONS[str(cell.params["section"])](cell.generator()):
        forms = [("printed", i, sides) for i, sides in enumerate(finding.printed, start=1)]
        for form, reading, sides in [*forms, ("corrected", 1, finding.corrected)]:
            row: Row = {"equation": finding.equation, "form": form, "reading": reading}
            rows.append(row | _difference(sides))
    return rows


def _difference(sides: Sides) -> Row:
    """The largest difference of the first side to another, and the two numbers that make it."""
    first = sides[0].detach().reshape(-1)
    others = torch.stack([side.detach().reshape(-1) for side in sides[1:]])
    distance = (others - first).abs()
    worst = int(distance.argmax())
    scale = max(1.0, float(torch.cat([first, others.reshape(-1)]).abs().max()))
    return {
        "left": float(first[worst % len(first)]),
        "right": float(others.reshape(-1)[worst]),
        "residual": float(distance.max()) / scale,
    }


# --- tools ---------------------------------------------------------------------------------------

TIGHT = {"method": "dopri8", "rtol": 1e-12, "atol": 1e-12}
DIM, WIDTH, END = 3, 4, 1.0
SIZE = WIDTH * (2 * DIM + 2)

# Six points around 0, and the weights that give the slope and the value at 0 of the polynomial
# through them: the value at 0 itself is not used, so that limits are limits.
SPACING = 1e-2
OFFSETS = SPACING * torch.tensor([-3, -2, -1, 1, 2, 3], dtype=torch.float64)
SLOPE = torch.tensor([-1, 9, -45, 45, -9, 1], dtype=torch.float64) / (60 * SPACING)
VALUE = torch.tensor([1, -6, 15, 15, -6, 1], dtype=torch.float64) / 20

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
# Gauss-Legendre on [0, END]; exact to rounding for the smooth integrands here.
NODES = torch.from_numpy((_NODES + 1) * END / 2)
WEIGHTS = torch.from_numpy(_WEIGHTS * END / 2)
ZERO, MIDDLE, LAST = torch.tensor([[0.0], [END / 2], [END]], dtype=torch.float64)

Generator = torch.Generator
Series = Callable[[Tensor], Tensor]


def _randn(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _around(function: Series, x: Tensor) -> Float[Tensor, "six x *value"]:
    """A function of [points], at the six points around each entry of ``x``."""
    return function((x + OFFSETS[:, None]).flatten()).detach().unflatten(0, (6, len(x)))


def _slope(function: Series, x: Tensor) -> Tensor:
    """The derivative of a function of [points] at each entry of ``x``; sixth-order differences."""
    return _slope_of(_around(function, x))


def _limit(function: Series, x: Tensor) -> Tensor:
    """The limit of a function of [points] at each entry of ``x``, from both sides."""
    return _limit_of(_around(function, x))


def _slope_of(values: Float[Tensor, "six *value"]) -> Tensor:
    """The slope in the middle of six values."""
    return torch.tensordot(SLOPE, values, dims=1)


def _limit_of(values: Float[Tensor, "six *value"]) -> Tensor:
    """The value in the middle of six values."""
    return torch.tensordot(VALUE, values, dims=1)


def _integral(values: Tensor) -> Tensor:
    """The integral over [0, END] of a function whose values at the nodes are given."""
    return torch.tensordot(WEIGHTS, values, dims=1)


def _jacobian(y: Float[Tensor, "batch m"], x: Float[Tensor, "batch n"]) -> Tensor:
    """dy/dx of each element of a batch, [batch, m, n], by backpropagation, through solves too."""
    rows = [torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0] for i in range(y.shape[1])]
    return torch.stack(rows, dim=1)


def _jacobian_at(function: Series, x: Float[Tensor, "batch n"]) -> Float[Tensor, "batch m n"]:
    """The Jacobian of a function of a batch at ``x``."""
    x = x.detach().requires_grad_()
    return _jacobian(function(x), x)


def _gradient_at(function: Series, x: Tensor) -> Tensor:
    """The gradient of a function with one number for each element of a batch."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x).sum(), x)[0]


def _joined(*parts: Tensor) -> Tensor:
    """Several quantities as one side."""
    return torch.cat([part.reshape(-1) for part in parts])


Field = Callable[[Tensor, Tensor], Tensor]


def _flow(field: Field, z: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Where the flow of ``field(z, t)`` takes each state of a batch, between times of its own."""
    span = end - start

    def scaled(s: Tensor, y: Tensor) -> Tensor:
        return span[:, None] * field(y, start + s * span)

    return solve(scaled, z, torch.tensor([0.0, 1.0], dtype=torch.float64), **TIGHT).ys[-1]


class _NeuralOde:
    """A random field ``f(z, t, theta)`` with a start and a loss, and what autograd finds for them.

    A state has shape [DIM] or [batch, DIM]; so have times and parameters.
    """

    def __init__(self, generator: Generator) -> None:
        # Smooth enough for few steps at a tight tolerance, and far from linear all the same.
        self.theta = 0.6 * _randn(generator, SIZE)
        self.z0 = _randn(generator, DIM)
        self.target = _randn(generator, DIM)

    def f(self, z: Tensor, t: Tensor, theta: Tensor) -> Tensor:
        """The field; its Jacobian is not symmetric."""
        _, hidden, outer = self._layers(z, t, theta)
        return (outer @ hidden[..., None])[..., 0]

    def _layers(self, z: Tensor, t: Tensor, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inner, shift, bias, outer = theta.split([WIDTH * DIM, WIDTH, WIDTH, WIDTH * DIM], dim=-1)
        inner = inner.unflatten(-1, (WIDTH, DIM))
        hidden = torch.tanh((inner @ z[..., None])[..., 0] + shift * t[..., None] + bias)
        return inner, hidden, outer.unflatten(-1, (DIM, WIDTH))

    def f_z(self, z: Tensor, t: Tensor) -> Tensor:
        """df/dz."""
        inner, hidden, outer = self._layers(z, t, self.theta)
        return outer @ ((1 - hidden**2)[..., None] * inner)

    def f_theta(self, z: Tensor) -> Tensor:
        """df/dtheta at the nodes."""
        theta = self.theta.repeat(len(z), 1)
        return _jacobian_at(lambda theta: self.f(z, NODES, theta), theta)

    def loss(self, z: Tensor) -> Tensor:
        """A loss that is not quadratic."""
        return ((z - self.target) ** 2 / 2 + z**3 / 6).sum(-1)

    def loss_z(self, z: Tensor) -> Tensor:
        """The gradient of the loss."""
        return z - self.target + z**2 / 2

    def running(self, z: Tensor, t: Tensor, theta: Tensor) -> Tensor:
        """The tutorial's l."""
        return (self.loss_z(z) * self.f(z, t, theta)).sum(-1)

    def running_z(self, z: Tensor, t: Tensor) -> Tensor:
        """The gradient of l, for one state."""
        return (1 + z) * self.fixed(z, t) + self.loss_z(z) @ self.f_z(z, t)

    def fixed(self, z: Tensor, t: Tensor) -> Tensor:
        """The field with the parameters of this problem."""
        return self.f(z, t, self.theta)

    def states(self, times: Tensor, theta: Tensor | None = None) -> Tensor:
        """z at each time, [times, DIM]; with a row of parameters for each time if given."""
        theta = self.theta if theta is None else theta
        start = self.z0.expand(len(times), DIM)
        return _flow(lambda z, t: self.f(z, t, theta), start, torch.zeros_like(times), times)

    def sensitivities(self, times: Tensor) -> Tensor:
        """dz/dtheta at each time, [times, DIM, SIZE]."""
        return _jacobian_at(
            lambda theta: self.states(times, theta), self.theta.repeat(len(times), 1)
        )

    def adjoints(self, times: Tensor) -> Tensor:
        """dL(z(END))/dz(t) at each time, by backpropagation from the end to that time."""
        ends = torch.full_like(times, END)
        return _gradient_at(
            lambda z: self.loss(_flow(self.fixed, z, times, ends)), self.states(times)
        )

    def gradient(self) -> Tensor:
        """dL(z(END))/dtheta by backpropagation through the solver."""
        return _gradient_at(lambda theta: self.loss(self.states(LAST, theta)), self.theta[None])[0]

    def backward(self, rate: Callable[[Tensor, Tensor, Tensor], Tensor], end: Tensor) -> Tensor:
        """``x`` at the nodes, where ``dx/dt = rate(x, z, t)`` and ``x(END) = end``."""

        def joint(t: Tensor, state: Tensor) -> Tensor:
            z, x = state.chunk(2)
            return torch.cat([self.fixed(z, t), rate(x, z, t)])

        start = torch.cat([self.states(LAST)[0], end])
        ys = solve(joint, start, torch.cat([LAST, NODES.flip(0)]), **TIGHT).ys
        return ys[1:, DIM:].flip(0)

    def scipy_end(self) -> Tensor:
        """z(END) by SciPy's DOP853: somebody else's solver."""

        def rate(t: float, z: np.ndarray) -> np.ndarray:
            return self.fixed(torch.from_numpy(z), torch.tensor(t, dtype=torch.float64)).numpy()

        options = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12}
        found = solve_ivp(rate, (0.0, END), self.z0.numpy(), **options)
        return torch.from_numpy(found.y[:, -1])


@dataclass(frozen=True)
class _Density:
    """A normal density at time 0 that the flow of a field carries along."""

    field: Field
    start: MultivariateNormal

    def log(self, z: Tensor, t: Tensor) -> Tensor:
        """log p(z, t) for a batch, through the flow back to 0 and its Jacobian's determinant."""
        z = z.detach().requires_grad_()
        origin = _flow(self.field, z, t, torch.zeros_like(t))
        determinant = torch.linalg.slogdet(_jacobian(origin, z)).logabsdet
        return self.start.log_prob(origin) + determinant

    def partial(self, z: Tensor, t: Tensor) -> Tensor:
        """Its derivative in time at a fixed z."""
        return _slope(lambda times: self.log(z.expand(len(times), DIM), times), t)

    def total(self, z0: Tensor, t: Tensor) -> Tensor:
        """Its derivative in time along the trajectory from ``z0``."""

        def along(times: Tensor) -> Tensor:
            z = _flow(self.field, z0.expand(len(times), DIM), torch.zeros_like(times), times)
            return self.log(z, times)

        return _slope(along, t)


def _normal(generator: Generator) -> MultivariateNormal:
    factor = _randn(generator, DIM, DIM).tril(-1) / 2 + torch.eye(DIM, dtype=torch.float64)
    return MultivariateNormal(_randn(generator, DIM), scale_tril=factor)


def _trace(jacobian: Tensor) -> Tensor:
    return jacobian.diagonal(dim1=-2, dim2=-1).sum(-1)


# --- the sections --------------------------------------------------------------------------------


def _residual(generator: Generator) -> Iterator[Finding]:
    """Three layers: matrices with tanh for the forward pass, numbers for the gradients."""
    layers = [_randn(generator, DIM, DIM) for _ in range(3)]
    x0 = _randn(generator, DIM)

    def F(n: int, x: Tensor) -> Tensor:  # noqa: N802 (the tutorial's name)
        return torch.tanh(layers[n - 1] @ x)

    x1 = F(1, x0) + x0
    x2 = F(2, x1) + x1
    y = F(3, x2) + x2
    repeated, indexed = x0, x0
    for n in range(3):
        repeated, indexed = F(1, repeated) + repeated, F(n + 1, indexed) + indexed
    yield Finding("residual_block", [[y, repeated]], [y, indexed])
    written_out = F(3, F(2, F(1, x0) + x0) + F(1, x0) + x0) + F(2, F(1, x0) + x0) + F(1, x0) + x0
    yield holds("residual_composition", y, written_out)

    w1, w2, w3, start = _randn(generator, 4, 1)

    def plain(w: Tensor) -> Tensor:
        return w3 * (w2 * (w * start))

    def residual(w: Tensor) -> Tensor:
        first = w * start + start
        second = w2 * first + first
        return w3 * second + second

    inner = _gradient_at(lambda w: w2 * (w * start), w1)
    chain = w3 * w2 * _gradient_at(lambda w: w * start, w1)
    true = _gradient_at(plain, w1)
    yield holds("plain_gradient", true, w3 * inner, chain, w3 * w2 * start)
    printed = w3 * w2 * start + w3 * start + w2 * start + start
    yield holds("residual_gradient", _gradient_at(residual, w1), printed)


def _euler(generator: Generator) -> Iterator[Finding]:
    yield _second_order(generator)
    yield _example(1 + torch.rand((), generator=generator, dtype=torch.float64))
    yield from _taylor(generator)
    yield from _table()


def _second_order(generator: Generator) -> Finding:
    """h'' = f(t, h, h') as the solver sees it, against differences of its solution."""
    damping, stiffness, *start = _randn(generator, 4)

    def f(t: Tensor, h: Tensor, slope: Tensor) -> Tensor:
        return torch.sin(t) - damping * slope - stiffness * h

    def field(z: Tensor, t: Tensor) -> Tensor:
        return torch.stack([z[:, 1], f(t, z[:, 0], z[:, 1])], dim=1)

    def states(times: Tensor) -> Tensor:
        return _flow(field, torch.stack(start).expand(len(times), 2), times * 0, times)

    z = states(MIDDLE)
    right = _joined(z[:, 1], f(MIDDLE, z[:, 0], z[:, 1]))
    return holds("ode_definition", _slope(states, MIDDLE)[0], right)


def _example(h0: Tensor) -> Finding:
    """h' = 5h - 3, whatever the factor that "proportional" leaves open: from h(0), or from h(1)."""
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    h = solve(lambda t, h: 5 * h - 3, h0, times, **TIGHT).ys
    growth = torch.exp(5 * times)
    readings = [[h, h0 * growth], [h, h[-1] / growth[-1] * growth]]
    return Finding("example_solution", readings, [h, 3 / 5 + (h0 - 3 / 5) * growth])


def _taylor(generator: Generator) -> Iterator[Finding]:
    """Two sides agree to first order if their values and their slopes at step 0 do."""
    weight, shift, bias, start = _randn(generator, 4)

    def f(h: Tensor, t: Tensor) -> Tensor:
        return torch.sin(weight * h + bias) + shift * t

    def states(times: Tensor) -> Tensor:
        return _flow(f_column, start.expand(len(times), 1), times * 0, times)[:, 0]

    def f_column(h: Tensor, t: Tensor) -> Tensor:
        return f(h, t[:, None])

    t = MIDDLE
    h = states(t)
    ahead = _joined(_limit(states, t), _slope(states, t))
    yield holds("taylor", ahead, _joined(h, f(h, t)))
    yield Finding("plugging_in", [[ahead, _joined(h, f(t, h))]], [ahead, _joined(h, f(h, t))])

    step, steps = 0.1, [start]
    for n in range(5):
        steps.append(steps[-1] + step * f(steps[-1], torch.tensor(n * step, dtype=torch.float64)))
    times = step * torch.arange(6, dtype=torch.float64)
    solved = solve(lambda t, h: f(h, t), start, times, method="euler").ys
    yield holds("euler_step", solved, torch.stack(steps))


def _table() -> Iterator[Finding]:
    """The tutorial's table, h' = 5h - 3 from h(0) = 1 with step 1, and the solution of that."""
    times = torch.arange(3, dtype=torch.float64)
    start = torch.ones((), dtype=torch.float64)
    steps = solve(lambda t, h: 5 * h - 3, start, times, method="euler").ys
    printed = torch.tensor([[1, 2], [3, 12], [15, 72]], dtype=torch.float64)
    yield holds("euler_table", torch.stack([steps, 5 * steps - 3], dim=1), printed)
    solution = solve(lambda t, h: 5 * h - 3, start, times, **TIGHT).ys[1:]
    exact = 3 / 5 + 2 / 5 * torch.exp(5 * times[1:])
    yield Finding("euler_table_exact", [[solution, printed[1:, 0]]], [solution, exact])


def _adjoint(generator: Generator) -> Iterator[Finding]:
    layers = _randn(generator, 4, DIM, DIM)
    x = [_randn(generator, DIM)]
    for layer in layers:
        x.append(x[-1] + torch.tanh(layer @ x[-1]))
    euler = solve(
        lambda t, h: torch.tanh(layers[int(t)] @ h),
        x[0],
        torch.arange(5, dtype=torch.float64),
        method="euler",
    ).ys
    yield holds("resnet_vs_euler", torch.stack(x), euler)

    ode = _NeuralOde(generator)
    z, z_end = ode.states(NODES), ode.states(LAST)[0]
    f = ode.fixed(z, NODES)
    yield holds("neural_ode", _slope(ode.states, NODES), f)
    integral = ode.z0 + _integral(f)
    yield holds("loss", *(ode.loss(s) for s in (z_end, integral, ode.scipy_end())))

    a, a_end = ode.adjoints(NODES), _gradient_at(ode.loss, z_end)
    printed = ode.backward(lambda a, z, t: -ode.f_z(z, t) @ a, a_end)
    corrected = ode.backward(lambda a, z, t: -ode.f_z(z, t).mT @ a, a_end)
    yield Finding("adjoint_ode", [[a, printed]], [a, corrected])
    yield holds("adjoint_end", _limit(ode.adjoints, LAST)[0], a_end)
    integral = _integral((a[:, None] @ ode.f_theta(z))[:, 0])
    yield holds("parameter_gradient", ode.gradient(), integral)


def _proof(generator: Generator) -> Iterator[Finding]:
    ode = _NeuralOde(generator)
    z, z_end, true = ode.states(NODES), ode.states(LAST)[0], ode.gradient()
    running = ode.running(z, NODES, ode.theta)
    yield holds("loss_as_integral", ode.loss(z_end), _integral(running) + ode.loss(ode.z0))
    yield holds("running_loss", _slope(lambda t: ode.loss(ode.states(t)), NODES), running)
    yield from _lagrangian(generator, ode, z, true)
    yield from _multiplier(ode, z, true)


def _lagrangian(
    generator: Generator, ode: _NeuralOde, z: Tensor, true: Tensor
) -> Iterator[Finding]:
    """These lines hold for any multiplier, so it is a random smooth function of time here."""
    centre, swing, phase = _randn(generator, 3, 1, DIM)
    # Rows, so that products are those of the text.
    free = centre + swing * torch.sin(NODES[:, None, None] + phase)
    free_rate = swing * torch.cos(NODES[:, None, None] + phase)
    free_end = centre + swing * torch.sin(END + phase)

    running, f = ode.running(z, NODES, ode.theta), ode.fixed(z, NODES)
    constraint = (free[:, 0] * (_slope(ode.states, NODES) - f)).sum(-1)
    gain = ode.loss(ode.states(LAST)[0]) - ode.loss(ode.z0)
    yield holds("lagrangian", _integral(running) + _integral(constraint), gain)

    f_z, f_theta = ode.f_z(z, NODES), ode.f_theta(z)
    l_z, l_theta = _running_rows(ode, z)
    z_theta, z_theta_end = ode.sensitivities(NODES), ode.sensitivities(LAST)[0]
    z_theta_rate = _slope(ode.sensitivities, NODES)
    first = l_z @ z_theta + l_theta
    second = free @ z_theta_rate - free @ f_z @ z_theta - free @ f_theta
    yield holds("lagrangian_gradient", true, (_integral(first) + _integral(second))[0])

    # The start does not depend on theta, so nothing is left of the boundary term there.
    boundary = (free_end @ z_theta_end)[0]
    right = boundary - _integral(free_rate @ z_theta)[0]
    printed, corrected = _integral(free @ z_theta)[0], _integral(free @ z_theta_rate)[0]
    yield Finding("by_parts", [[printed, right]], [corrected, right])

    bracket = (l_z - free_rate - free @ f_z) @ z_theta
    collected = _integral(l_theta + bracket - free @ f_theta)[0] + boundary
    printed = _integral(l_theta)[0] + boundary
    yield Finding("collected", [[true, printed]], [true, collected])


def _running_rows(ode: _NeuralOde, z: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of l in z and in theta at the nodes, as rows, by autograd."""
    theta = ode.theta.repeat(len(z), 1)
    l_z = _gradient_at(lambda z: ode.running(z, NODES, theta), z)
    l_theta = _gradient_at(lambda theta: ode.running(z, NODES, theta), theta)
    return l_z[:, None], l_theta[:, None]


def _multiplier(ode: _NeuralOde, z: Tensor, true: Tensor) -> Iterator[Finding]:
    """The lines after the multiplier has been chosen."""

    def rate(x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        return ode.running_z(z, t) - x @ ode.f_z(z, t)

    multiplier = ode.backward(rate, torch.zeros(DIM, dtype=torch.float64))
    (_, l_theta), f_theta = _running_rows(ode, z), ode.f_theta(z)
    yield holds("multiplier", true, _integral(l_theta - multiplier[:, None] @ f_theta)[0])
    difference = _gradient_at(ode.loss, z) - multiplier
    yield holds("simplified_gradient", true, _integral(difference[:, None] @ f_theta)[0])
    yield holds("conclusion", ode.adjoints(NODES), difference)


def _algorithm(generator: Generator) -> Iterator[Finding]:
    ode = _NeuralOde(generator)
    z = ode.states(NODES)
    yield holds("forward_pass", ode.scipy_end(), ode.z0 + _integral(ode.fixed(z, NODES)))
    a = ode.adjoints(NODES)
    yield _backward_pass(ode, z, a)
    yield _backward_example()
    integral = _integral((a[:, None] @ ode.f_theta(z))[:, 0])
    yield holds("algorithm_gradient", ode.gradient(), integral)


def _backward_pass(ode: _NeuralOde, z: Tensor, a: Tensor) -> Finding:
    """The printed integral with the true a(t), and with the a(t) that it defines by itself."""
    true = ode.adjoints(ZERO)[0]
    a_end, f_z = _gradient_at(ode.loss, ode.states(LAST)[0]), ode.f_z(z, NODES)

    def from_end(a: Tensor) -> Tensor:
        """The integral from END to 0."""
        return -_integral((a[:, None] @ f_z)[:, 0])

    own = ode.backward(lambda a, z, t: a @ ode.f_z(z, t), a_end)
    readings = [[true, a_end + from_end(x)] for x in (a, own)]
    return Finding("backward_pass", readings, [true, a_end - from_end(a)])


def _backward_example() -> Finding:
    """f = theta z and L = z(T) with theta T = 1: dL/dz(0) is e."""
    theta = 1 / END

    def adjoints(times: Tensor) -> Tensor:
        z, ends = torch.ones(len(times), 1, dtype=torch.float64), torch.full_like(times, END)
        return _gradient_at(lambda z: _flow(lambda z, t: theta * z, z, times, ends), z)

    from_end = -_integral(adjoints(NODES) * theta)
    true = adjoints(ZERO)[0]
    return Finding("backward_example", [[true, 1 + from_end]], [true, 1 - from_end])


def _change(generator: Generator) -> Iterator[Finding]:
    by_inverse, by_forward, true = _transformed(generator)
    yield holds("density_change", true.exp(), by_inverse.exp(), by_forward.exp())
    yield holds("log_density_change", true, by_forward)
    ode = _NeuralOde(generator)
    density = _Density(ode.fixed, _normal(generator))
    t = MIDDLE
    z = ode.states(t)
    partial, total = density.partial(z, t), density.total(ode.z0, t)
    rate = -_trace(ode.f_z(z, t))
    yield Finding("instantaneous", [[partial, rate]], [total, rate])
    yield from _expansions(ode, z, t)
    yield _boxed(generator, ode, z, t)
    yield from _instantaneous_proof(ode, z, t, density.log(z, t), (partial, total))


def _transformed(generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Log densities after an affine map of a normal one, and after sinh of a standard one.

    By the Jacobian of the inverse, by that of the map, and without any: a normal density stays one
    under an affine map, and in one dimension the density is the slope of the distribution.
    """
    A, b, z0 = _randn(generator, DIM, DIM), _randn(generator, DIM), _randn(generator, 1, DIM)
    before = _normal(generator)

    def f(z: Tensor) -> Tensor:
        return z @ A.mT + b

    def f_inverse(z: Tensor) -> Tensor:
        return torch.linalg.solve(A, (z - b).mT).mT

    after = MultivariateNormal(f(before.loc), A @ before.covariance_matrix @ A.mT)
    z1 = f(z0)
    inverse = before.log_prob(z0) + torch.linalg.det(_jacobian_at(f_inverse, z1)).abs().log()
    forward = before.log_prob(z0) - torch.linalg.det(_jacobian_at(f, z0)).abs().log()

    x0 = _randn(generator, 1)
    x1, standard = torch.sinh(x0), Normal(torch.zeros(1).double(), torch.ones(1).double())
    slope = _slope(lambda x: standard.cdf(torch.asinh(x)), x1)
    inverse_1d = standard.log_prob(x0) + _gradient_at(torch.asinh, x1).abs().log()
    forward_1d = standard.log_prob(x0) - _gradient_at(torch.sinh, x0).abs().log()
    return (
        _joined(inverse, inverse_1d),
        _joined(forward, forward_1d),
        _joined(after.log_prob(z1), slope.log()),
    )


def _short_flow(
    ode: _NeuralOde, z: Tensor, t: Tensor, *, inverse: bool = False
) -> tuple[Float[Tensor, "six dim"], Float[Tensor, "six dim dim"]]:
    """T of the proof and its Jacobian at z, or those of its inverse, for the six small epsilons."""
    z = z.expand(len(OFFSETS), DIM).clone().requires_grad_()
    near, far = t.expand(len(OFFSETS)), t + OFFSETS
    end = _flow(ode.fixed, z, far, near) if inverse else _flow(ode.fixed, z, near, far)
    return end.detach(), _jacobian(end, z)


def _expansions(ode: _NeuralOde, z: Tensor, t: Tensor) -> Iterator[Finding]:
    T, T_z = _short_flow(ode, z, t)
    sides = ode.fixed(z, t), _slope(ode.states, t)
    expanded = _joined(_limit_of(T), _slope_of(T))
    yield holds("expansion", expanded, *(_joined(z, side) for side in sides))
    f_z, eye = ode.f_z(z, t), torch.eye(DIM, dtype=torch.float64)
    value, slope = _limit_of(T_z), _slope_of(T_z)
    yield holds("jacobian_expansion", _joined(value, slope), _joined(eye, f_z))
    determinant = _limit_of(torch.linalg.det(T_z))
    yield holds("limits", _joined(value, determinant), _joined(eye, eye[0, 0]))
    yield holds("mixed_limit", slope, f_z)


def _boxed(generator: Generator, ode: _NeuralOde, z: Tensor, t: Tensor) -> Finding:
    """Both limits, and Jacobi's formula for a random matrix that depends on time."""
    _, T_z = _short_flow(ode, z, t)
    parts = _randn(generator, 3, DIM, DIM)

    def A(t: Tensor) -> Tensor:  # noqa: N802 (the tutorial's name)
        t = t[:, None, None]
        return parts[0] + torch.sin(t) * parts[1] + t**2 * parts[2]

    rate = torch.cos(t) * parts[1] + 2 * t * parts[2]
    jacobi = torch.linalg.det(A(t)) * _trace(torch.linalg.inv(A(t)) @ rate)
    slope = _slope(lambda t: torch.linalg.det(A(t)), t)
    left = _joined(_limit_of(torch.linalg.det(T_z)), _slope_of(T_z), slope)
    return holds("boxed", left, _joined(torch.ones_like(jacobi), ode.f_z(z, t), jacobi))


def _instantaneous_proof(
    ode: _NeuralOde, z: Tensor, t: Tensor, log_p: Tensor, rates: tuple[Tensor, Tensor]
) -> Iterator[Finding]:
    """The four lines of the proof, each against the one before.

    ``rates`` are the derivatives of log p in time at a fixed z and along the trajectory.
    """
    _, T_z = _short_flow(ode, z, t)
    _, T_inverse_z = _short_flow(ode, z, t, inverse=True)
    determinant = torch.linalg.det(T_z)
    size, log_size = determinant.abs(), determinant.abs().log()

    quotient = _limit_of((log_p - log_size - log_p) / OFFSETS)[None]
    partial, total = rates
    yield Finding("proof_start", [[partial, quotient]], [total, quotient])
    log_slope, slope = -_slope_of(log_size), -_slope_of(size)
    yield holds("proof_hopital", quotient, log_slope)
    yield holds("proof_chain", log_slope, slope / _limit_of(determinant), slope)
    trace = -_trace(ode.f_z(z, t))

    def line(inverse: Tensor) -> Tensor:
        return -_limit_of(size) * _trace(_limit_of(inverse) @ _slope_of(T_z))

    corrected = [slope, line(torch.linalg.inv(T_z)), trace]
    yield Finding("proof_jacobi", [[slope, line(T_inverse_z), trace]], corrected)


def _flows(generator: Generator) -> Iterator[Finding]:
    by_inverse, by_forward, true = _transformed(generator)
    yield holds("flow_density", true.exp(), by_inverse.exp(), by_forward.exp())
    base, z0 = _normal(generator), _randn(generator, 1, DIM)
    layers = [_Planar(generator) for _ in range(4)]
    yield from _composed(layers, base, z0)
    yield from _planar(layers[0], base, z0)
    yield from _planar_cnf(layers[0], base, z0)


class _Planar:
    """A planar layer ``z + u tanh(w^T z + b)``, invertible since ``|w^T u| < 1``."""

    def __init__(self, generator: Generator) -> None:
        u, self.w = _randn(generator, 2, DIM)
        self.b = _randn(generator, 1)[0]
        self.u = 0.9 * u / max(1.0, float((self.w @ u).abs()))

    def h(self, z: Tensor) -> Tensor:
        """The activation, a number for each state."""
        return torch.tanh(z @ self.w + self.b)

    def rate(self, z: Tensor, t: Tensor) -> Tensor:
        """The field of the continuous flow."""
        return self.u * self.h(z)[..., None]

    def __call__(self, z: Tensor) -> Tensor:
        return z + self.u * self.h(z)[..., None]


def _composed(layers: list[_Planar], base: MultivariateNormal, z0: Tensor) -> Iterator[Finding]:
    states = [z0]
    for layer in layers:
        states.append(layer(states[-1]))
    f1, f2, f3, f4 = layers

    def composed(z: Tensor) -> Tensor:
        return f4(f3(f2(f1(z))))

    yield holds("flow_composition", states[-1], composed(z0))
    start = base.log_prob(z0)
    true = start - torch.linalg.slogdet(_jacobian_at(composed, z0)).logabsdet

    def summed(points: Iterable[Tensor], bars_inside: bool) -> Tensor:
        jacobians = [_jacobian_at(f, z) for f, z in zip(layers, points, strict=True)]
        jacobians = [J.abs() if bars_inside else J for J in jacobians]
        return start - sum(torch.linalg.slogdet(J).logabsdet for J in jacobians)

    before, after = states[:-1], states[1:]
    options = ((after, True), (after, False), (before, True))
    readings = [[true, summed(points, bars_inside)] for points, bars_inside in options]
    yield Finding("flow_sum", readings, [true, summed(before, False)])


def _planar(layer: _Planar, base: MultivariateNormal, z: Tensor) -> Iterator[Finding]:
    """One planar layer; as a map it is a step of size 1 of the continuous flow."""
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    step = solve(lambda t, z: layer.rate(z, t), z, times, method="euler").ys[-1]
    yield holds("planar_layer", step, z + layer.u * layer.h(z)[:, None])
    h_z = _gradient_at(layer.h, z)
    determinant = torch.linalg.det(_jacobian_at(layer, z)).abs()
    eye, short = torch.eye(DIM, dtype=torch.float64), (1 + h_z @ layer.u).abs()
    product = torch.linalg.det(eye + torch.outer(layer.u, h_z[0])).abs()[None]
    yield holds("planar_determinant", determinant, product, short)
    log_p = base.log_prob(z)
    yield holds("planar_density", log_p - determinant.log(), log_p - short.log())


def _planar_cnf(layer: _Planar, base: MultivariateNormal, z0: Tensor) -> Iterator[Finding]:
    def states(times: Tensor) -> Tensor:
        return _flow(layer.rate, z0.expand(len(times), DIM), torch.zeros_like(times), times)

    t = MIDDLE
    z, path = states(t), states(NODES)
    yield holds("planar_cnf", _slope(states, NODES), layer.u * layer.h(path)[:, None])

    density = _Density(layer.rate, base)
    trace = -_trace(_jacobian_at(lambda z: layer.rate(z, t), z))
    short = -_gradient_at(layer.h, z) @ layer.u
    partial, total = density.partial(z, t), density.total(z0, t)
    yield Finding("planar_cnf_rate", [[partial, trace, short]], [total, trace, short])

    start, true = base.log_prob(z0), density.log(states(LAST), LAST)
    # h is a number and its gradient has no trace: the sum of the entries, or the slope h' itself.
    h_z = _gradient_at(layer.h, path)
    slope = h_z @ layer.w / (layer.w @ layer.w)
    readings = [[true, start - _integral(x)] for x in (h_z.sum(-1), slope)]
    yield Finding("planar_cnf_integral", readings, [true, start - _integral(h_z @ layer.u)])


def _augmented(generator: Generator) -> Iterator[Finding]:
    """The two classes do not overlap; a rotation in the added dimension swaps -1 and 1."""
    radii = torch.rand(3, generator=generator, dtype=torch.float64).cumsum(0)
    distance = 2 * torch.rand(1000, generator=generator, dtype=torch.float64)
    inner, outer = distance <= radii[0], (radii[1] <= distance) & (distance <= radii[2])
    both = (inner & outer).double().mean()
    yield holds("concentric", both, torch.zeros_like(both))

    x = _randn(generator, 1)
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    start = torch.cat([x, torch.zeros_like(x)])
    turn = math.pi * torch.tensor([[0, -1], [1, 0]], dtype=torch.float64)
    state = solve(lambda t, z: turn @ z, start, times, **TIGHT).ys
    circle = torch.stack([torch.cos(math.pi * times), torch.sin(math.pi * times)], dim=1)
    yield holds("augmented_ode", state, x * circle)


SECTIONS: dict[str, Callable[[Generator], Iterator[Finding]]] = {
    "residual": _residual,
    "euler": _euler,
    "adjoint": _adjoint,
    "proof": _proof,
    "algorithm": _algorithm,
    "change": _change,
    "flows": _flows,
    "augmented": _augmented,
}


# --- how it is judged ----------------------------------------------------------------------------


def residuals(df: pd.DataFrame) -> pd.DataFrame:
    """The residual of each equation and repetition, columns printed and corrected.

    Of several readings of a printed form the best counts. Worked examples are left out.
    """
    examples = [e.key for e in EQUATIONS if e.role == "example"]
    counted = df.loc[(df["status"] == "ok") & ~df["equation"].isin(examples)]
    best = counted.pivot_table(
        index=["equation", "repetition"], columns="form", values="residual", aggfunc="min"
    )
    return best.reset_index()


def _by_repetition(
    found: pd.DataFrame, values: Sequence[float] | np.ndarray, combine: Callable
) -> list[float]:
    """For each repetition, its equations' values combined to one."""
    values, repetitions = np.asarray(values), found["repetition"].to_numpy()
    return [float(combine(values[repetitions == r])) for r in np.unique(repetitions)]


def _slipping(found: pd.DataFrame) -> np.ndarray:
    return found["printed"].to_numpy() > TOLERANCE


def _share(roles: set[str]) -> Callable[[pd.DataFrame], list[float]]:
    """For each repetition, the share of the equations of these roles that hold as printed."""

    def share(df: pd.DataFrame) -> list[float]:
        found = residuals(df)
        found = found.loc[[BY_KEY[key].role in roles for key in found["equation"]]]
        return _by_repetition(found, ~_slipping(found), np.mean)

    return share


def _worst_corrected(df: pd.DataFrame) -> list[float]:
    found = residuals(df)
    return _by_repetition(found, found["corrected"].to_numpy(), np.max)


def _surprises(df: pd.DataFrame) -> list[float]:
    """For each repetition, how many verdicts are not those that the fact sheet leads to expect."""
    found = residuals(df)
    expected = np.array([bool(BY_KEY[key].kind) for key in found["equation"]])
    return _by_repetition(found, _slipping(found) != expected, np.sum)


def _undecided(df: pd.DataFrame) -> list[float]:
    found = residuals(df)
    return _by_repetition(found, _slipping(found) & (found["printed"].to_numpy() < CLEAR), np.sum)


def _missing(df: pd.DataFrame) -> str:
    """A repetition without all equations would be judged by a part of the tutorial."""
    ok = df.loc[df["status"] == "ok"]
    for repetition in sorted(df["repetition"].unique()):
        found = set(ok.loc[ok["repetition"] == repetition, "equation"])
        if missing := [e.key for e in EQUATIONS if e.key not in found]:
            return f"no rows of {', '.join(missing)} in repetition {repetition}"
    return ""


CRITERIA = [
    Criterion(
        "share of the displayed equations that hold as printed",
        _share({"result", "definition"}),
        Bounds(at_least=1),
        partly=Bounds(at_least=0.5),
        because="the claim is about every equation; below a half the text would mislead more often"
        " than not",
        statistic="min",
        least_seeds=3,
        lacking=_missing,
    ),
    Criterion(
        "share of those that assert, and do not only define, that hold as printed",
        _share({"result"}),
        Bounds(at_least=1),
        partly=Bounds(at_least=0.5),
        because="a definition can hardly be wrong and must not raise the share",
        statistic="min",
        least_seeds=3,
        lacking=_missing,
    ),
    Criterion(
        "largest residual of a corrected equation",
        _worst_corrected,
        Bounds(at_most=TOLERANCE),
        because="the solves are accurate to 1e-12 and the differences to about 1e-10, amplified by"
        " less than 1e3",
        statistic="max",
        least_seeds=3,
        lacking=_missing,
    ),
    Criterion(
        "verdicts that differ from those expected of the fact sheet",
        _surprises,
        Bounds(at_most=0),
        because="the list of slips was fixed before the run and is meant to be complete",
        statistic="max",
        least_seeds=3,
        lacking=_missing,
    ),
    Criterion(
        f"equations with a residual between {TOLERANCE:g} and {CLEAR:g}",
        _undecided,
        Bounds(at_most=0),
        because="a verdict must not hang on the choice of the tolerance",
        statistic="max",
        least_seeds=3,
        lacking=_missing,
    ),
]


# --- what is shown -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """An equation with its worst residuals over the repetitions."""

    equation: Equation
    printed: float
    corrected: float

    @property
    def slips(self) -> bool:
        return self.printed > TOLERANCE


def _lines(df: pd.DataFrame) -> list[_Line]:
    ok = df[df["status"] == "ok"]
    worst: dict[tuple[str, str], float] = {}
    for names, rows in ok.groupby(["equation", "form", "repetition"]):
        key, form, _ = (str(name) for name in names)
        best = float(np.min(rows["residual"]))
        worst[key, form] = max(best, worst.get((key, form), 0.0))
    return [
        _Line(e, worst[e.key, "printed"], worst[e.key, "corrected"])
        for e in EQUATIONS
        if (e.key, "printed") in worst
    ]


def table(df: pd.DataFrame) -> pd.DataFrame:
    """Every equation: place, both forms, worst residuals, verdict and kind of slip."""
    return pd.DataFrame(
        {
            "section": SECTION_NAMES[line.equation.section],
            "equation": line.equation.name,
            "as printed": line.equation.printed,
            "residual": number(line.printed, 2),
            "verdict": "slips" if line.slips else "holds",
            "kind of slip": (line.equation.kind or "not expected") if line.slips else "",
            "corrected": line.equation.corrected,
            "residual, corrected": number(line.corrected, 2),
        }
        for line in _lines(df)
    )


def caveats(df: pd.DataFrame) -> list[str]:
    """Which slips are of notation only, which change what a reader computes, and the example."""
    slips = [line.equation for line in _lines(df) if line.slips and line.equation.role != "example"]
    notation = {"index", "argument order", "partial for total", "integral signs"}
    light = [e.name for e in slips if e.kind in notation]
    heavy = [f"{e.name} ({e.kind or 'not expected'})" for e in slips if e.kind not in notation]
    sentences = []
    if light:
        sentences.append(f"{len(light)} slips are of notation: {', '.join(light)}.")
    if heavy:
        sentences.append(f"{len(heavy)} give wrong numbers: {', '.join(heavy)}.")
    example = df[(df["equation"] == "backward_example") & (df["form"] == "printed")]
    if len(example):
        left, right = example.iloc[0][["left", "right"]]
        sentences.append(
            f"For f = theta z, L = z(T), theta T = 1 the gradient is {left:.3f};"
            f" the printed backward pass gives {right:.3f}."
        )
    return sentences


# Residuals of zero have no logarithm; they are drawn on the left edge, which is labelled 0.
FLOOR = 1e-18
HALVES = {
    "Up to the adjoint": ("residual", "euler", "adjoint", "proof"),
    "From there to the end": ("algorithm", "change", "flows", "augmented"),
}


def figure(df: pd.DataFrame) -> Figure:
    """The residual of every equation as printed and as corrected, by section of the tutorial."""
    lines = _lines(df)
    fig, axes = panels(1, 2, height=5.8)
    if in_column():
        fig.set_figheight(8.8)
    for ax, (title, sections) in zip(axes[0], HALVES.items(), strict=True):
        ax.set_title(title)
        _draw_sections(ax, [(s, [x for x in lines if x.equation.section == s]) for s in sections])
    handles = axes[0, 0].get_legend_handles_labels()[0]
    add_legend(fig, handles, ncols=len(handles))
    label_panels(axes[0])
    return fig


def _draw_sections(ax: Axes, sections: list[tuple[str, list[_Line]]]) -> None:
    y, names, headings = 0.0, {}, []
    for section, lines in sections:
        headings.append(len(names))
        names[y] = SECTION_NAMES[section]
        y += 1
        for line in lines:
            names[y] = line.equation.name
            _draw_line(ax, y, line)
            y += 1
        y += 0.4
    ax.axvline(TOLERANCE, color="0.4", linewidth=0.8, linestyle="--", label="tolerance")
    ax.set_yticks(list(names), list(names.values()), fontsize=6 if in_column() else 7)
    for i in headings:
        ax.get_yticklabels()[i].set_fontweight("bold")
    ax.set_ylim(y - 0.7, -0.7)
    ax.set_xscale("log")
    ax.set_xlim(FLOOR / 8, 1e16)
    ax.set_xticks([FLOOR, 1e-12, 1e-6, 1], ["0", "$10^{-12}$", "$10^{-6}$", "1"])
    ax.minorticks_off()
    ax.set_xlabel("Largest residual (relative)")
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def _draw_line(ax: Axes, y: float, line: _Line) -> None:
    printed, corrected = max(line.printed, FLOOR), max(line.corrected, FLOOR)
    if not line.slips:
        ax.plot(printed, y, "o", color=COLOURS[0], label=_once(ax, "printed, holds"))
        return
    ax.plot([corrected, printed], [y, y], color="0.7", linewidth=1, zorder=1)
    ax.plot(printed, y, "X", color=COLOURS[3], markersize=5, label=_once(ax, "printed, slips"))
    ax.plot(corrected, y, "o", mfc="white", color=COLOURS[0], label=_once(ax, "corrected"))
    ax.annotate(
        line.equation.kind or "not expected",
        (printed, y),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
        color=COLOURS[3],
    )


def _once(ax: Axes, label: str) -> str:
    """The label at its first use, so that a legend has each entry once."""
    return "_" + label if label in ax.get_legend_handles_labels()[1] else label


CLAIM = Claim(
    slug=SLUG,
    title="The tutorial's equations, as printed and as corrected",
    statement="Every displayed equation of the tutorial holds as printed.",
    source="the tutorial of 2020-04-10 that retells Chen et al. 2018 and Dupont et al. 2019",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    cells=cells,
    measure=measure,
    criteria=CRITERIA,
    figure=figure,
    table=table,
    caveats=caveats,
)
