"""What the rooms of this claim share: its name, its models, and the shape of its data."""

SLUG = "latent_ode_spirals"
# The models; the order is that of tables and legends. latent_ode_2 has the field of the released
# example, with two hidden layers.
ARMS = ("latent_ode", "latent_ode_2", "rnn", "rnn_dt", "gru_dt", "lookup")
LATENT = ("latent_ode", "latent_ode_2")
# Points of each curve, points of a window, points beyond it, and the first and the last start.
GRID, WINDOW, BEYOND = 500, 100, 100
FIRST, LAST = 100, 299
# The last point of a curve that some window of the training holds.
LAST_SEEN = LAST + WINDOW - 1
# Observed points of a window, as published, and the standard deviation of the noise that decides.
COUNTS, NOISE = (30, 50, 100), 0.1
# Tolerances of a solve, rtol and atol: of training and of what is judged, and of the check.
TRAINED, CHECKED = 1e-5, 1e-9
# Parts of a training whose mean losses are kept.
PARTS = 10
# Test windows of the first seed that are drawn, half of them clockwise.
DRAWN = 4
