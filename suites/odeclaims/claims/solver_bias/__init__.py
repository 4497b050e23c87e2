"""What is learnt is the solver's modified equation, not the true field (Zhu et al. 2022).

A net that is fitted to the flow of a field through a solver of order p with steps of size h does
not become that field. It becomes the one whose computed step is the flow, the *inverse modified
equation*, which differs from the true field by a term of order h^p that can be written down. For
Euler's method it is (flow - identity) / h. So energy that is kept is learnt as lost, and a damped
oscillation may be learnt as a growing one that fits all data. Linear fields are fitted from many
starts, and a pendulum by nets; closed forms decide.
"""

from odeclaims.claim import Claim, Column, Evidence
from odeclaims.claims.solver_bias.settings import FACTORS, HORIZON, RATES, SLUG, SOLVED

LEDGER = [
    Evidence(
        "paper",
        "training returns a close approximation of the inverse modified equation and not of the"
        " true field; the distance to the true field is bounded by the error of the solver and the"
        " loss; methods that are not symplectic fail to learn conservation laws",
        "Zhu et al. 2022, abstract (arXiv 2206.07335)",
    ),
    Evidence(
        "authors' code",
        "pendulum, 10,000 pairs, steps of 0.02 to 0.16 through Euler's and the explicit midpoint"
        " method; 3 layers of 128 tanh, 300,000 updates of Adam in float32, 5 seeds",
        "Aiqing-Zhu/IMDE",
        "the error is the mean over the points of the largest component's",
    ),
    Evidence(
        "paper",
        "a damped oscillation may be identified as anti-damped and turning backwards although it"
        " fits the data; smaller steps or explicit methods of higher order do not remedy it in"
        " general",
        "Lu and Tsai 2025, abstract (arXiv 2507.14491)",
    ),
    Evidence(
        "paper",
        "a model has learnt something continuous only if its error does not rise when its steps"
        " are refined; nets trained by Euler's method often fail this test, and those by rk4 pass",
        "Krishnapriyan et al. 2023 (arXiv 2202.08494)",
    ),
    Evidence(
        "derived",
        "mean size of the first term of the bias at steps of 0.02, 0.04, 0.08, 0.16: 0.155, 0.31,"
        " 0.62, 1.24 by Euler's method and 0.0030, 0.0118, 0.0472, 0.189 by midpoint",
        "computed beforehand from the formulae",
        "the published pendulum and domain",
    ),
    Evidence(
        "derived",
        "fits of y' = (-0.1 + 2i) y through rk4 at a step of 1 can end at 0.105+1.927i,"
        " 0.002-2.787i, -1.561+2.024i or -2.546-1.164i",
        "roots of the stability polynomial, computed beforehand",
    ),
]

DEVIATIONS = [
    "Nets are trained by Adam and then by L-BFGS in float64, since an optimisation error above the"
    " bias hides it.",
    "At the profile quick a net has two layers of 32 units and 400 pairs. Its inputs and outputs"
    " are scaled to the sizes of the domain and of the field.",
    "Steps through midpoint are between 0.04 and 0.1: below, the bias is too near to what training"
    " leaves; above, the first term that is not written out is more than a tenth of the bias.",
    "Pairs are one step apart. Pairs of several steps, the other systems of the paper, and noise"
    " are not measured, nor are implicit methods.",
    "A linear field is fitted as a matrix of four numbers, from random starts.",
]

COLUMNS = {
    "problem": Column("pendulum (p' = -10 sin q, q' = p, fitted by a net) or linear"),
    "method": Column("method of the one step that is fitted: euler, midpoint or rk4"),
    "step": Column("its size h, time units"),
    "width": Column("pendulum: units of a hidden layer"),
    "depth": Column("pendulum: hidden layers"),
    "pairs": Column(
        "pendulum: states, uniform for |p| <= 3.8 and |q| <= 1.2, with the flow from each"
    ),
    "adam_updates": Column("pendulum: updates of Adam, which come first"),
    "updates": Column("pendulum: most updates of L-BFGS"),
    "rate_real": Column(
        "linear: real part of the eigenvalue of the true field, 1/time:"
        f" {' or '.join(f'{real:g}' for real, _ in RATES)}"
    ),
    "rate_imaginary": Column(
        f"linear: its imaginary part, 1/time: {' or '.join(f'{imag:g}' for _, imag in RATES)}"
    ),
    "starts": Column("linear: fits from random starts"),
    "kind": Column("field (a net as a field), solve (a net that is solved) or fit (of a matrix)"),
    "start": Column("fit: number of the start"),
    "residual": Column(
        "field: root mean square over pairs and components of what a step misses, over h; fit: the"
        f" largest entry by which the matrix of a step misses the flow; above {SOLVED:g} it is no"
        " solution"
    ),
    "learnt_real": Column("fit: real part of the learnt eigenvalue, 1/time"),
    "learnt_imaginary": Column(
        "fit: its imaginary part, 1/time; negative where it turns backwards"
    ),
    "energy_drift": Column(
        "field: largest change of the energy from a state to its pair, rad^2/time^2"
    ),
    "leading": Column(
        "field: size of the first term of the bias, (flow - step through the true field) / h; mean"
        " over fresh states of the largest component, as all errors are"
    ),
    "error_true": Column("field: error to the true field, rad/time or rad/time^2"),
    "error_predicted": Column(
        "field: error to the inverse modified equation; blank where it is not written out"
    ),
    "power": Column("field: mean rate at which it changes the energy, rad^2/time^3; truly 0"),
    "factor": Column(
        f"solve: step over that in training, {', '.join(f'{factor:g}' for factor in FACTORS)}"
    ),
    "solve_error": Column(
        f"solve: error of the states after {HORIZON} steps of the training, from those whose orbits"
        " stay in the domain"
    ),
    "solve_error_true": Column("solve: the same of the true field in these steps"),
}

CLAIM = Claim(
    slug=SLUG,
    title="What is learnt is the solver's modified equation",
    statement="A field that is fitted through a solver of order p with step h is off by O(h^p), in"
    " a direction that is known beforehand.",
    source="Zhu et al. 2022; Lu and Tsai 2025; Krishnapriyan et al. 2023",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    module=__name__,
    revision=2,
    earlier=[
        "Revision 1 (quick: reproduced) said that every linear fit is a root, and judged those fits"
        " alone that end at a solution. These are roots by algebra, so that the rule could not"
        " fail; 39 of 360 fits had stopped elsewhere. Now all fits count, and that solutions are"
        " roots is a check of the instrument.",
    ],
)
