"""What the rooms of this claim share: its name, the norms, losses and tolerances, and the tasks."""

SLUG = "seminorm_nfe"
# Of the error on the way back: the paper's baseline, torchdiffeq's default, and the one without the
# gradients of the parameters.
NORMS = ("flat", "mixed", "seminorm")
LOSSES = ("mean", "sum")
# Of both ways.
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
# Nets of the pool learnt digits, or points (toys); the others are trained here.
DIGITS, POOLED_POINTS = "digits", "toys"
TASKS = (DIGITS, "moons", "pendulum", "hamiltonian", "spheres")
