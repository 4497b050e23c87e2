"""What the rooms of this claim share: its name, and the solvers of trainings and tests."""

SLUG = "solver_dependence"
# A net that was trained in N equal steps is tested in N times these by Euler's method, and in N
# by better methods.
FACTORS = (1, 2, 4, 8, 64)
BETTER_METHODS = ("midpoint", "rk4")
# What stands for the flow itself: method and tolerance of a solve in float64. A point of many
# thousands is always at a bend of a ReLU, so that a tighter solve of all takes minutes.
FLOW_METHOD, FLOW_TOLERANCE = "dopri5", 1e-5
# Steps of the coarsest training, and of the finest one of the paper that is reached here.
COARSEST, FINEST = 2, 128
# A net with a smaller accuracy by the solver of its training has not learnt the shells.
LEARNT = 0.9
