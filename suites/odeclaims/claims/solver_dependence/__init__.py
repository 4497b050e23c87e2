"""Trained with too coarse a step, a Neural ODE is a ResNet (Ott et al. 2021).

A net whose flow is solved by a few steps of Euler's method learns to use the errors of these steps:
its trajectories may cross, which those of a flow never do. Solved more finely the same net is wrong
about half of the points. By the accuracy in training nobody notices. From some number of steps on
the net is one of the flow. Nets are trained by each number of steps, and tested by the same solver,
by finer steps, by better methods, and by the flow itself.

This is what "A tutorial on neural ordinary differential equations" by Alek Dimitriev, 2020-04-10,
means where it says that discretization errors allow for jumps, taken seriously.
"""

from odeclaims.claim import Claim, Column, Evidence
from odeclaims.claims.solver_dependence.settings import (
    BETTER_METHODS,
    FACTORS,
    FLOW_METHOD,
    FLOW_TOLERANCE,
    LEARNT,
    SLUG,
)

LEDGER = [
    Evidence(
        "paper",
        "a grid search puts the least number of evaluations of a net that does not depend on its"
        " solver at 65 to 129, with an accuracy of 98.7 +- 1.0%",
        "Ott et al. 2021, Table 1, Sphere2",
        "Euler's method; 5 seeds, of which only runs that trained are averaged",
    ),
    Evidence(
        "paper",
        "an algorithm that adapts the step in training ends at 100.5 evaluations and 98.9 +- 0.6%",
        "Ott et al. 2021, Table 1, Sphere2",
        "every 50 updates the accuracy of a batch is compared with that by the midpoint method",
    ),
    Evidence(
        "paper",
        "trained in 2 steps: accuracy about 0.97 in 2, 0.74 in 1, 0.47 to 0.49 from 4 on; trained"
        " in 256: about 0.55 in 1, 0.97 from 64 on",
        "Ott et al. 2021, Fig. 1, read off the picture",
        "two of four points belong to either class, so that a half is chance",
    ),
    Evidence(
        "paper",
        "accuracy by the solver of the training shows no trend over the step",
        "Ott et al. 2021, sec. 3",
    ),
    Evidence(
        "authors' code",
        "the released script for other solvers sets the step of the test to 1 / (h factor), which"
        " is one Euler step for h = 1/64; its test accuracy ends at 0.9766",
        "boschresearch/numerics_independent_neural_odes",
        "the last batch of 104 points is divided by 128",
    ),
]

DEVIATIONS = [
    "The nets of all seeds are one batch, which no number depends on. Weights come from Kaiming's"
    " normal distribution, biases are zero, and gradients are those of the computed steps, as"
    " released.",
    "Tests are by Euler's method in"
    f" {', '.join(str(f) for f in FACTORS if f > 1)} times the steps, by"
    f" {' and '.join(BETTER_METHODS)} in as many, and by {FLOW_METHOD} at {FLOW_TOLERANCE:g} in"
    " float64. The paper's figure has fewer.",
    f"Nets with an accuracy below {LEARNT:g} by the solver of their training are left out, since"
    " they have not learnt the shells. A statement needs most of its nets to have learnt them.",
    "The profile quick has 3,000 updates at ten times the published learning rate. A net that"
    " depends on its solver shows in it; one that does not takes the published training.",
    "The profile hour has the published training. It leaves out rk4, and dopri5 at 0.001.",
    "The MLP with two hidden layers of 32 units is not in the paper.",
]

COLUMNS = {
    "net": Column("field of the net: conv (as published, 3201 parameters) or mlp"),
    "method": Column("method of the solves in training: euler, rk4 or dopri5"),
    "steps": Column("equal steps of those solves; blank for dopri5"),
    "tolerance": Column("rtol and atol of dopri5"),
    "repetitions": Column("seeds, which are trained as one batch"),
    "updates": Column("updates of the weights, with 128 points each"),
    "learning_rate": Column("that of Adam"),
    "test_points": Column("fresh points behind an accuracy"),
    "kind": Column("training (the loss in the course of it) or test"),
    "update": Column("training: finished updates"),
    "role": Column(
        "test: by the solver of the training, by a finer one, or by the flow"
        f" ({FLOW_METHOD} at {FLOW_TOLERANCE:g})"
    ),
    "test_method": Column("test: method of a solver that is not that of the training"),
    "test_steps": Column("test: its equal steps; blank where they adapt"),
    "accuracy": Column("test: share of the points whose class is right"),
    "loss": Column("cross-entropy, nats: of the batches since the last record, or of the test"),
    "margin": Column(
        "test: median over the points of the logit of the right class less that of the other"
    ),
}

CLAIM = Claim(
    slug=SLUG,
    title="Trained with too coarse a step, a Neural ODE is a ResNet",
    statement="The accuracy of a net that was trained at a coarse step falls when it is solved more"
    " finely; below a critical step it does not.",
    source="Ott et al. 2021, sec. 2.4 to 3.1, Fig. 1 and Table 1",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    module=__name__,
)
