"""What the rooms of this claim share: its name, and numbers that are in its rows."""

import math

SLUG = "annulus_generalisation"
# The published tolerance, and the one at which the flows of the claim `annulus` are checked.
TOLERANCES = {"loose": 1e-3, "checked": 1e-7}
AUGMENT_DIMS = (0, 1, 2, 5)
# NODE and the ANODE of the replication.
COMPARED = (0, 5)
# In radians; the middle one is that of the replication.
WEDGES = {"pi/10": math.pi / 10, "pi/5": math.pi / 5, "2pi/5": 2 * math.pi / 5}
CITED = "pi/5"
# Radii of the dense grids, in disc and ring each.
RINGS = 16
