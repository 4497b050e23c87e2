"""Any explicit method made reversible, with its order, and stable (McCallum and Foster 2024).

A second state beside the first, tied to it by a coupling below 1, turns every explicit Runge-Kutta
method into one whose steps can be taken back. So the gradient needs no memory for the steps, and is
that of the very steps that were taken. The paper also calls the pair stable: its region of
stability is not empty, as that of reversible Heun is. How large the region is depends on the
coupling. A decay is stable up to a step of about ln(1 / coupling), which is 0.001 at the default of
the released code. Four base methods and six couplings are measured: order, gradient, bytes, edge of
stability, and small nets that have learnt a contracting field.
"""

from odeclaims.claim import Claim, Column, Evidence
from odeclaims.claims.reversible_solvers.settings import COUPLINGS, DEFAULT, HEUN, LAST, SLUG, STEP

LEDGER = [
    Evidence(
        "paper",
        "any explicit solver becomes algebraically reversible, keeps its order, has a region of"
        " stability that is not empty, and gives exact gradients at constant memory",
        "McCallum and Foster 2024 (arXiv 2410.11648)",
        "couplings of 0.99 and 0.999 in its experiments",
    ),
    Evidence(
        "authors' code",
        "mean L1 difference from the gradient of plain midpoint: 5.6e-8 (T=1) to 9.1e-7 (T=5);"
        " by the continuous adjoint 5.08e-5 to 2.66e-4",
        "released results of the regression of x^3 + x",
        "field 1-50-1 with tanh, h = 0.01, coupling 0.99, float64, 10 seeds; two different methods"
        " are compared, so that it cannot be 0",
    ),
    Evidence(
        "authors' code",
        "memory 278 to 286 MB over T = 1 to 5, against 438 to 1060 MB by backpropagation",
        "released results of the same regression",
        "of the whole process",
    ),
    Evidence(
        "authors' code",
        "best loss of a density of moons .888/.890/.890 (midpoint/rk4/dopri5) against .891/.890/"
        ".891 by backpropagation, with 0.56/0.65/0.70 GB against 3.92/7.47/12.79 GB",
        "released results of the continuous normalizing flow",
        "h = 0.01, coupling 0.999, 5,000 updates, 10 runs, standard deviation .017 to .019",
    ),
    Evidence(
        "authors' code",
        "the picture of the region of stability is drawn for a coupling of 0.8; the default is"
        " 0.999, where the region is 200 times as small",
        "experiments/stability/plot.py and the branch of diffrax",
        "it has (1 - coupling) R(ha) where the step gives -(1 - coupling) R(-ha); both agree for"
        " Euler's method alone",
    ),
    Evidence(
        "derived",
        "on y' = a y with a < 0 stable for h |a| up to ln(1 / coupling): 0.001 at 0.999, 0.010 at"
        " 0.99, 0.105 at 0.9, 0.223 at 0.8; with Euler's method up to 1 - coupling",
        "determinant and trace of the step's matrix, computed beforehand",
    ),
    Evidence(
        "derived",
        "y' = -y in steps of 0.1 until T = 20 reaches 1e7 (Euler), 2e4 (midpoint) and 13 (rk4) at"
        " 0.999, 3e3 with reversible Heun, and stays below 1 at 0.9",
        "computed beforehand",
    ),
    Evidence(
        "derived",
        "going back amplifies rounding by coupling^-N: 152 at 0.99 and N = 500, 2e4 at 0.999 and"
        " N = 10,000",
        "each step back divides by the coupling",
        "a small coupling is stable and loses exactness",
    ),
    Evidence(
        "library",
        "users meet blow-ups of reversible Heun on contracting problems; its author calls it fairly"
        " unstable",
        "diffrax issues 317 and 417",
    ),
    Evidence(
        "library",
        "the pairs were not merged into diffrax by February 2026",
        "diffrax pull requests 528 and 593 (closed), 603 and 727 (open)",
    ),
]

DEVIATIONS = [
    "The paper's trainings, a regression, a flow of moons and characters by a CDE, are not"
    " repeated. Its gradients are compared with those of plain midpoint; here with backpropagation"
    " through the same steps, which alone can be exact.",
    "The order is that of a random net in the plane until a time of 2, in steps from 1/4 to 1/16,"
    " where errors are far above rounding. A net counts where all bases show their own orders.",
    "Gradients are those of a random net in the plane until a time of 1, so that more steps are"
    " smaller ones. The profile quick has all base methods at the default coupling, and the"
    " midpoint method alone at the others and for 10,000 steps.",
    "Bytes are those that autograd holds. Beside them the solver keeps the time and the size of"
    " each step as Python numbers, which do grow with the number of steps.",
    "The edge of stability is where the spectral radius of the implemented step passes 1, on a grid"
    " of steps that is refined. At a coupling of 0.5 the midpoint method touches the limit at a"
    " step of 1 and does not pass it, so that those from 0.8 on are compared with closed forms.",
    "Contracting nets learn x' = -x + (tanh x2, -tanh x1) from pairs of states by backpropagation,"
    " and not through a pair. They contract inside the box of their data, and a solution that has"
    " left it is no longer held.",
    "A pair costs two steps of its base, with which it is compared in the same steps.",
]

COLUMNS = {
    "part": Column("what is measured: order, gradient, edge, decay (of y' = -y) or net"),
    "arm": Column(f"coupled (a pair), plain (its base method alone) or {HEUN}"),
    "method": Column(f"base method (euler, midpoint, rk4, dopri5, in fixed steps) or {HEUN}"),
    "coupling": Column(
        f"coupling of the pair, lambda in the paper: {', '.join(f'{c:g}' for c in COUPLINGS)};"
        f" {DEFAULT:g} is the default; blank for the other arms"
    ),
    "couplings": Column(f"order: so many of the couplings, from {DEFAULT:g} on"),
    "dtype": Column("gradient: float64 or float32"),
    "steps": Column("order: steps until a time of 2; gradient: steps until a time of 1"),
    "width": Column("net: units of each of its two hidden layers"),
    "pairs": Column("net: states that it learns from, each with that 0.5 units of time later"),
    "updates": Column("net: updates of Adam, each with all pairs"),
    "step": Column("order: size of a step, time units"),
    "gradient_error": Column(
        "relative L2 error against backpropagation through the same steps; blank where it is not"
        " finite"
    ),
    "held_bytes": Column("gradient: bytes that autograd holds between the passes"),
    "held_bytes_backprop": Column("gradient: the same by backpropagation through the same steps"),
    "edge": Column(
        "edge: step times |a| up to which y' = a y with a < 0 does not grow; 0 where it grows at"
        " 0.00001"
    ),
    "trace_error": Column(
        "edge: largest error of the trace of a step, over the larger of 1 and the trace"
    ),
    "determinant_error": Column(
        "edge: the same of the determinant, over the square of the largest entry"
    ),
    "time": Column("decay, net: time; net: in steps of " + f"{STEP:g} until {LAST:g}"),
    "size": Column("decay: absolute value of the solution from 1"),
    "error": Column(
        "order: L2 error of the state at the end; net: mean distance from the tightly solved"
        " trajectories of the same net, the largest until the time"
    ),
    "fit_error": Column(
        "net: root mean square of what it misses on fresh pairs, over that of what a state moves by"
    ),
    "contraction": Column(
        "net: least rate in the box of its data at which solutions approach each other, 1/time"
    ),
}

CLAIM = Claim(
    slug=SLUG,
    title="Any explicit method becomes reversible, and stays stable",
    statement="A coupled pair of states makes any explicit method reversible, with exact gradients"
    " at constant memory, the order of the method, and numerical stability.",
    source="McCallum and Foster 2024",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    module=__name__,
)
