"""What the rooms of this claim share: its name, and what its rows range over."""

SLUG = "adjoint_memory"
FIELDS = ("conv", "mlp")
# The gradient methods.
ARMS = (
    "backprop",
    "adjoint",
    "checkpointed",
    "interpolated",
    "symplectic",
    "reversible",
    "coupled",
)
# Forward and backward passes of which the median time is taken.
TIMED = 3
