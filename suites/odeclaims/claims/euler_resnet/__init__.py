"""Residual networks keep gradients alive, and they are Euler's method.

That is the first half of "A tutorial on neural ordinary differential equations" by Alek Dimitriev,
2020-04-10, which is "the tutorial" below. Four things are measured: the gradient of a chain of
scalar layers with and without skip connections, Euler's method on the tutorial's example and the
orders of the other methods, a residual network against an Euler solve with step 1, and what happens
as the depth grows.
"""

from odeclaims.claim import Claim, Column, Evidence
from odeclaims.claims.euler_resnet.settings import SLUG

LEDGER = [
    Evidence(
        "tutorial",
        "dy/dw1 = w3 w2 x0 (plain), (1 + w3)(1 + w2) x0 written out (residual)",
        "Dimitriev 2020, section on residual networks",
        "two hidden scalar layers",
    ),
    Evidence(
        "tutorial",
        "h = 1, 3, 15 and h' = 2, 12, 72 at t = 0, 1, 2",
        "Dimitriev 2020, table of solutions",
        "Euler, h' = 5h - 3, h(0) = 1, step 1",
    ),
    Evidence(
        "derived",
        "h(1) = 59.97, h(2) = 8811.19",
        "derived here: h(t) = 3/5 + 2/5 e^{5t}",
        "the exact solution",
    ),
    Evidence(
        "paper",
        "a residual block is a step of Euler's method",
        "Chen et al. 2018, eqs. 1 and 2",
        "the limit of many small steps is an ODE",
    ),
    Evidence(
        "replication",
        "smooth weights: an ODE; independent weights: none at 1/N, an SDE at 1/sqrt(N)",
        "Cohen et al. 2021; Marion et al. 2022; from memory, high confidence",
        "trained and initialised residual networks",
    ),
]

DEVIATIONS = [
    "The tutorial has three layers and no numbers; depths up to 100 and normal weights are chosen"
    " here, as are the networks of the panels on depth.",
    "The adaptive pairs are run with fixed steps, shown and not judged: the high orders among them"
    " reach rounding before the leading term of their error is alone.",
    "The gradient of a residual chain does not vanish, but it may explode; only the former is the"
    " tutorial's claim.",
]

COLUMNS = {
    "part": Column("gradient, table, path, order, equality, limit, field or trajectory"),
    "arm": Column(
        "gradient: plain or residual; order: the method; equality and limit: how the layers'"
        " weights are drawn; trajectory: residual network or ODE network"
    ),
    "scale": Column("gradient: standard deviation of the weights"),
    "problem": Column("order: tutorial (h' = 5h - 3) or logistic (y' = 3y(1 - y))"),
    "step": Column("step of Euler's method or of the method, in units of t"),
    "depth": Column("number of layers, or of steps"),
    "chain": Column("trajectory: its number, from 0"),
    "t": Column("time"),
    "value": Column("h, or the state of a trajectory, or of the field"),
    "slope": Column("table: h'; field: the derivative of the state"),
    "printed": Column("table: h in the tutorial"),
    "printed_slope": Column("table: h' in the tutorial"),
    "exact": Column("the exact solution"),
    "evaluated": Column("trajectory: whether the solver evaluated the field here"),
    "log_gradient": Column("gradient: mean of ln |dy/dw1| over the chains"),
    "expected_slope": Column("gradient: E ln |w| or E ln |1 + w|, per layer"),
    "error": Column(
        "gradient: autograd against the closed form, largest over the chains;"
        " order and limit: against the exact solution, of independent layers with step 1/N against"
        " the input; equality: network against solve; all relative, no unit"
    ),
    "difference": Column("limit: relative distance between depth N and depth 2N"),
}

CLAIM = Claim(
    slug=SLUG,
    title="Residual networks, their gradients and Euler's method",
    statement="Skip connections keep gradients of small weights from vanishing, a residual network"
    " is Euler's method with step 1, and its limit in depth is an ODE.",
    source='Alek Dimitriev 2020, "A tutorial on neural ordinary differential equations", 10 April,'
    " first half; Chen et al. 2018, section 1",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    module=__name__,
    revision=2,
    earlier=[
        "Revision 1 (quick: reproduced) judged medians of five seeds with intervals that cover less"
        " than 95%, and counted a formula and a law of large numbers as evidence. These are checks"
        " of the instrument now, and what is random has twelve seeds.",
    ],
)
