"""The instantaneous change of variables: a log-density falls by the integrated trace.

Along a flow d log p(z(t)) / dt = -tr(df/dz). For random, untrained fields the integrated trace is
compared with the logarithm of the determinant of the flow's Jacobian, which is computed without any
trace, and the densities are integrated over the plane, which has to give one. Further parts measure
the formulas that the tutorial prints in place of the theorem, what a trace and a determinant cost,
and the errors of Hutchinson's estimate of the trace.

The tutorial is "A tutorial on neural ordinary differential equations" by Alek Dimitriev,
2020-04-10.
"""

from odeclaims.claim import Claim, Column, Evidence
from odeclaims.claims.change_of_variables.settings import (
    LARGEST_SQUARE,
    SLUG,
    TIMED_MATRICES,
    TIMED_POINTS,
)
from odeclaims.kits.columns import STAMP_COLUMNS

LEDGER = [
    Evidence(
        "paper",
        "d log p(z(t)) / dt = -tr(df/dz); a trace is cheaper than a determinant, O(D) against"
        " O(D^3)",
        "Chen et al. 2018, sec. 4, theorem 1 and appendix A",
        "f Lipschitz in z; written as a partial derivative; eq. 10 has lost the minus",
    ),
    Evidence(
        "tutorial",
        "partial_t log p = -tr(df/dz); log p(z_T) = log p(z_0) - int tr(dh/dz) dt for dz/dt = u h",
        "A tutorial on neural ordinary differential equations, Alek Dimitriev, 2020-04-10, section"
        " on change of variables",
        "the derivative is the total one; u is lost under the integral, where h is a number",
    ),
    Evidence(
        "derived",
        "int tr dt = log |det J| to 1e-7 in float64 at tolerance 1e-10; tr(A) T for f = A z;"
        " densities integrate to 1 within 1e-3",
        "derived here: only the errors of the solves remain; det exp(A T) = exp(tr(A) T)",
    ),
    Evidence(
        "FFJORD",
        "an unbiased estimate of the trace by one VJP, its noise fixed for the duration of a solve",
        "Grathwohl et al. 2019, sec. 3.1",
    ),
    Evidence(
        "replication",
        "evaluations grow to thousands; the noise of the trace was not fixed during a solve",
        "torchdiffeq, issue 120",
        "FFJORD on MNIST, four CNFs",
    ),
]

DEVIATIONS = [
    "The fields are random and untrained. Their initial weights are multiplied by a gain, chosen so"
    " that the log-determinants are of size one, and not by any error.",
    "The paper's O(D) is the trace of a Jacobian at hand, or of a planar layer in closed form. By"
    " autograd the exact trace takes D vector-Jacobian products, each of which is O(D) itself.",
    "The determinant's time leaves out the D vector-Jacobian products that its Jacobian takes."
    f" It and the exact trace are timed up to dimension {LARGEST_SQUARE}, what is O(D) beyond it.",
    "An exponent is taken over the dimensions at which a call takes eight times as long as at the"
    " smallest one or longer, where it is nearly all overhead.",
    "The noise is renewed in random fields of a few dimensions, not in training on MNIST. Of the"
    " validity stamp these solves have the reconstruction alone, since no gradient is taken.",
    "The printed integral has the trace of a vector, which is read as the sum of its entries and as"
    " the slope h' alone.",
]

COLUMNS = {
    "part": Column(
        "determinant (trace against log-determinant), mass (integral of the density), printed (the"
        " tutorial's formulas), cost, estimate (Hutchinson's) or noise (fixed or renewed)"
    ),
    "field": Column(
        "linear (A z), planar (weights from a hypernetwork), constant (planar, constant weights),"
        " concatsquash, or unit (one planar unit with constant weights)"
    ),
    "dim": Column("dimension of the state"),
    "tolerance": Column("rtol and atol of the solve"),
    "error": Column(
        "determinant: largest difference over the points between integrated trace and log |det J|;"
        " printed: largest residual of the formula; nats"
    ),
    "size": Column("determinant, printed: largest magnitude of the side without a trace, nats"),
    "closed_error": Column("determinant, linear: distance of the integrated trace from tr(A) T"),
    "reference_error": Column(
        "determinant: largest change of log |det J| when its solve is a hundred times looser;"
        " printed: largest change of the residual from differences of order 6 to those of order 8"
    ),
    "most_intervals": Column("mass, printed: intervals on a side of the finest grid allowed"),
    "intervals": Column("mass, printed: intervals on a side of this grid"),
    "spacing": Column(
        "mass: distance of the lines of the grid, in standard deviations along the principal axes"
    ),
    "mass": Column("mass, printed: integral of the density over the grid"),
    "mass_change": Column("mass, printed: its distance from that on the grid before"),
    "reading": Column(
        "printed: the derivative of log p at a fixed point (partial_printed), with -f . grad log p"
        " (partial_corrected), along a trajectory (total); the planar integral without u by the"
        " entries or the slope of dh/dz (integral_entries, integral_slope), with u"
        " (integral_corrected)"
    ),
    "quantity": Column(
        "cost: determinant, exact, estimate or closed; estimate: trace at one point or log_density"
        " of one point"
    ),
    "vjps": Column("cost: vector-Jacobian products"),
    "time_s": Column(
        f"cost: shortest of several times, seconds a point, in batches of {TIMED_POINTS}"
        f" ({TIMED_MATRICES} for the determinant)",
        varies=True,
    ),
    "noise": Column("estimate: rademacher or gaussian"),
    "draws": Column("estimate: independent estimates of the trace; an eighth for a log-density"),
    "mean_error": Column("estimate: mean of the estimates minus the exact value"),
    "standard_error": Column("estimate: standard error of that mean"),
    "variance": Column("estimate: variance of the estimates"),
    "theory_variance": Column("estimate, trace: the variance that the Jacobian implies"),
    "arm": Column("noise: exact (trace), fixed (noise for the solve) or renewed (at each call)"),
    "nfe_forward": Column("field evaluations of the solve"),
    "reconstruction_error": STAMP_COLUMNS["reconstruction_error"],
}

CLAIM = Claim(
    slug=SLUG,
    title="A log-density falls by the integrated trace",
    statement="Along a flow d log p/dt = -tr(df/dz), so that an integrated trace, O(D), takes the"
    " place of a log-determinant, O(D^3).",
    source="Chen et al. 2018, sec. 4, theorem 1",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    module=__name__,
    revision=2,
    earlier=[
        "Revision 1 (quick and hour: reproduced) took exponents over three dimensions of which some"
        " were mostly overhead, compared the largest of 160 errors with 4 standard errors, which is"
        " once in a hundred by chance, and counted checks of the instrument as evidence.",
    ],
)
