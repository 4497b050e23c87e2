"""What the rooms of this claim share: its name, and numbers that measuring uses."""

SLUG = "change_of_variables"
# The tightest tolerance of the solves, at which the integrated trace is judged.
JUDGED = 1e-10
# A grid is fine enough where the integral changes by no more than this once it is refined.
CONVERGED = 5e-4
# Steps of a solve with noise.
STEP_LIMIT = 500
# What a solve at the step limit has spent, at least: six evaluations a step of dopri5.
SPENT = 6 * STEP_LIMIT
# In a batch that is timed. Small batches of small states would time the overhead of a call.
TIMED_POINTS, TIMED_MATRICES = 16, 4
# Beyond this dimension only what is O(D) is timed: its overhead is still large where that of a
# determinant is small.
LARGEST_SQUARE = 2048
