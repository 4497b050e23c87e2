"""What the rooms of this claim share: its name, what is fitted, and where a net is tested."""

SLUG = "solver_bias"
# Eigenvalues of the linear fields: undamped, and damped as in the abstract of Lu and Tsai.
RATES = ((0.0, 1.0), (-0.1, 2.0))
# Sizes of the steps that a trained net is solved in, over that of its training.
FACTORS = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
# The nets of one seed are solved over so many steps of their training.
HORIZON = 4
# A linear fit with a larger residual has stopped elsewhere than at a solution.
SOLVED = 1e-9
