"""Numbers that measuring, judging and showing share. Nothing is imported here."""

# The validity stamp. The first two limits are those of the replication that the ledgers cite; a
# reference may be uncertain by half of what it judges, since the gradient through a ReLU converges
# slowly.
RECONSTRUCTION_LIMIT = 1e-2
GRADIENT_LIMIT = 1e-2
REFERENCE_LIMIT = 5e-3

# The radii of the ball and of the shell around it in ``neural_ode.data.concentric_spheres``.
INNER_RADIUS, OUTER_RADII = 0.5, (1.0, 1.5)

# Lines of the picture of a density, and places in a line.
GRID = 64
