"""The adjoint's memory is constant in depth (Chen et al. 2018, Table 1, memory column).

The model is held fixed, and only its number of function evaluations is raised, by more steps or by
a tighter tolerance. A sweep over the layers of a ResNet, as some replications make, tests another
axis. A second sweep raises the number of output times instead. There the adjoint is not constant,
since the state at every output is stored, which users met who could not replicate the claim. Three
other gradient methods stand beside the two arms of the claim, for a reader who has to choose one:
error against memory against time.
"""

from odeclaims.claim import Claim, Column, Evidence
from odeclaims.claims.adjoint_memory.settings import SLUG, TIMED
from odeclaims.kits.columns import STAMP_COLUMNS

LEDGER = [
    Evidence(
        "paper",
        "O(1) against O(L~) for RK-Net and O(L) for ResNet",
        "Chen et al. 2018, Table 1",
        "MNIST, L~ the number of evaluations; an order, no bytes are printed",
    ),
    Evidence(
        "replication",
        "adjoint 442 MB, +0.0007 MB per NFE; backprop 689 to 3185 MB, +31.8 MB per NFE",
        "VanniLeonardo/re-augmented-neural-odes (2026, unreviewed)",
        "conv ODE-Net on CUDA, NFE 14 to 92",
    ),
    Evidence(
        "users",
        "could not replicate O(1)",
        "torchdiffeq issue 259",
        "1000 output times; the stored outputs are the likely cause",
    ),
]

DEVIATIONS = [
    "The paper prints an order; bytes are measured here on a conv field over real MNIST images and"
    " on a small MLP, neither trained, since memory does not depend on the weights.",
    "Fixed steps of rk4 set the NFE in the headline sweep, so that both arms do the same work; a"
    " sweep over dopri5's tolerance stands beside it. The reversible arm has a solver of its own,"
    " reversible Heun, with four steps for one of rk4, which is the same work again. The coupled"
    " arm takes the steps of the others with a second state, which is twice their work.",
    "Bytes are those that autograd holds, parameters apart; the allocator's peak, which also counts"
    " stage buffers, temporaries and gradients, is a column of its own. The sweep over steps begins"
    " at two: a single step holds less, since there is no next one to hold its buffers beside.",
    "The sweep over tolerance is judged on the conv field alone. The small MLP is so smooth that no"
    " tolerance makes it take many evaluations.",
]

COLUMNS = {
    "field": Column("conv (64 x 6 x 6 feature maps of MNIST digits) or mlp (64-64-64, tanh)"),
    "gradient": Column(
        "gradient method: backprop (through the solver), adjoint (default norm), checkpointed,"
        " interpolated, symplectic, reversible (with reversible_heun as solver) or coupled (with"
        " the method of the others and a second state)"
    ),
    "sweep": Column(
        "what raises the cost: steps (rk4; four of reversible_heun for one), tolerance (dopri5) or"
        " outputs (dopri5)"
    ),
    "level": Column("number of steps of rk4, tolerance, or number of output times"),
    "nfe_forward": Column("field evaluations of the forward solve"),
    "nfe_backward": Column("field evaluations on the way back, empty for backprop"),
    "held_bytes": Column("bytes held for the backward pass when the forward pass is done"),
    "peak_saved_bytes": Column("most bytes held for a backward pass at any moment"),
    "peak_allocated_bytes": Column(
        "the allocator's peak over forward and backward, beyond what was there before", varies=True
    ),
    "time_s": Column(
        f"seconds of a forward and a backward pass on one thread, median of {TIMED}", varies=True
    ),
    **STAMP_COLUMNS,
}

CLAIM = Claim(
    slug=SLUG,
    title="The adjoint's memory is constant in depth",
    statement="Training with the adjoint needs O(1) memory in the number of function evaluations.",
    source="Chen et al. 2018, Table 1 and sec. 2",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    module=__name__,
    revision=2,
    earlier=[
        "Revision 1 (quick: reproduced) asked the worst of two fields for a slope in the sweep over"
        " fixed steps, from one step on, and did not judge the sweep over an adaptive solver's"
        " tolerance, which is the one of the paper. Each slope is a statement now, with the"
        " interval of its regression.",
    ],
)
