"""One step size for a whole batch: harmless (Chen et al. 2018), or several times the work.

A solver that treats a batch as one state takes the same steps for every sample. Where each sample
needs small steps at another time, the joint solve needs small steps always. Chen et al. warn that
it may take up to K times the evaluations for K samples, and see no substantial increase in
practice. The authors of torchode, whose solver has a step size for each sample, find up to four
times. Both may be right: trained nets move all samples alike, and oscillators in random phases do
not. Batches of both are solved jointly, with steps of each sample, and sample by sample.
"""

from odeclaims.claim import Claim, Column, Evidence
from odeclaims.claims.batch_nfe.settings import MUS, NET_SAMPLES, SAMPLES, SLUG, TOLERANCES

LEDGER = [
    Evidence(
        "paper",
        "a joint solve of K samples may need up to K times the evaluations of separate ones; in"
        " practice there is no substantial increase",
        "Chen et al. 2018, sec. 6",
        "no numbers",
    ),
    Evidence(
        "paper",
        "other solvers take up to 4 times as many steps through the interaction within a batch",
        "Lienen and Guennemann 2022, abstract (arXiv 2210.12375)",
        "Van der Pol's oscillator",
    ),
    Evidence(
        "documentation",
        "the interaction is negligible for well-behaved models",
        "torchode's pages",
    ),
    Evidence(
        "derived",
        "1.19 at mu = 2, 4.29 at mu = 10 and 3.97 at mu = 25 with the root mean square; 1.62, 6.23"
        " and 5.67 with the maximum",
        "computed beforehand with another dopri5",
        "64 random phases, one period, tolerance 1e-5",
    ),
]

DEVIATIONS = [
    "Counts are those of the forward solve. The way back of an adjoint is a larger state of the"
    " same batch, and is not measured.",
    "The nets are those of the pool: ODE-Nets of half the published width on test digits, and the"
    " NODE and ANODE on concentric spheres. Torchode's nets are not published.",
    "The first samples of a batch are solved alone (column singles), and their mean stands for the"
    " batch.",
    "Fields are evaluated in float64, so that no rounding sizes a step.",
]

COLUMNS = {
    "task": Column("vdp (Van der Pol's oscillator over one period) or net (over [0, 1])"),
    "mu": Column(f"vdp: stiffness, {', '.join(f'{mu:g}' for mu in MUS)}"),
    "recipe": Column("net: recipe of the pool"),
    "net": Column("net: which of its nets"),
    "weights": Column("net: SHA-256 digest of its published weights; blank where trained here"),
    "trained": Column("net: whether it is that after its training, or that before"),
    "draws": Column("batches that are drawn"),
    "largest": Column("samples in the largest batch"),
    "singles": Column("at most so many samples of a batch are solved alone"),
    "role": Column("loose or checked: at which tolerance"),
    "tolerance": Column(
        "rtol and atol: "
        + "; ".join(
            f"{task} {', '.join(f'{tol:g}' for tol in roles.values())}"
            for task, roles in TOLERANCES.items()
        )
    ),
    "norm": Column("norm of the error of a step over the whole state: rms or max"),
    "samples": Column(
        f"samples in the batch: {', '.join(map(str, SAMPLES))} for vdp,"
        f" {', '.join(map(str, NET_SAMPLES))} for net"
    ),
    "draw": Column("number of the batch"),
    "nfe_joint": Column("field evaluations of the joint solve by dopri5"),
    "nfe_single": Column("mean field evaluations of the samples that are solved alone"),
    "nfe_hardest": Column("the most of one of them"),
    "nfe_own": Column("field evaluations of the batch where each sample has its own steps"),
    "ratio": Column("nfe_joint over nfe_single"),
    "ratio_own": Column("nfe_own over nfe_single"),
    "error_joint": Column("largest relative L2 error of one of these samples in the joint solve"),
    "error_own": Column("largest relative L2 error of one of them with steps of its own"),
    "error_single": Column("largest relative L2 error of one of them solved alone"),
}

CLAIM = Claim(
    slug=SLUG,
    title="One step size for a batch",
    statement="A batch that is solved as one state takes hardly more evaluations than its samples"
    " alone, or up to four times as many.",
    source="Chen et al. 2018, sec. 6; Lienen and Guennemann 2022",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    module=__name__,
    revision=4,
    earlier=[
        "Revision 1 (quick: invalid) had the same rules, and solved nets at 1e-5. Four rows in 388"
        " ended up to 1.2% beside the flow there, and the check allows 1%.",
        "Revision 2 (quick: 3 of 3 central reproduced) had no arm in which each sample of a batch"
        " has its own steps, since the solver had none.",
        "Revision 3 (quick: 3 of 3 central reproduced) counted the batches over all nets together,"
        " so that each net of digits had a single one. Now a net counts that has three or more.",
    ],
)
