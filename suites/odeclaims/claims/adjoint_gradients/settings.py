"""What the rooms of this claim share: its name, and the tolerances."""

SLUG = "adjoint_gradients"
EVERY = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12)
# Tolerances about 1e-3, at which the decaying problems are solved too: whether one solve loses the
# gradient may be the luck of its last step.
NEAR = tuple(float(f"{10 ** (-3.5 + k / 14):.3g}") for k in range(15))
