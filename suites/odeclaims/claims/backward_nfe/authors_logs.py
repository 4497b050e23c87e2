"""The counts in the logs behind the published figure."""

# By tolerance the medians over the batches: what is logged as forward, and the backward pass.
# Source: VanniLeonardo/re-augmented-neural-odes (2026, unreviewed), results/chen_fig3c.
AUTHORS_LOGS = {
    1e0: (13, 6),
    1e-1: (14, 6),
    1e-2: (21, 9),
    1e-3: (36, 15),
    1e-4: (60, 26),
    1e-5: (116, 50),
}


def forward_alone(logged: int, previous_nfe_backward: int) -> int:
    """The evaluations of a forward pass, without the others that were logged for it.

    Those are the ones of the backward pass before it, and one of the adjoint outside its solve.
    """
    return logged - previous_nfe_backward - 1
