"""What the rooms of this claim share: its name, and numbers that are in its rows."""

import math

SLUG = "annulus_generalisation"
# The published tolerance, and the one at which the flows of the claim `annulus` are checked.
TOLERANCES = {"loose": 1e-3, "checked": 1e-7}
AUGMENT_DIMS = (0, 1, 5)
# NODE and the ANODE of the replication.
COMPARED = (0, 5)
# In radians; these are the widths of the replication, whose numbers are those of the middle one.
WEDGES = {"pi/8": math.pi / 8, "pi/5": math.pi / 5, "pi/3": math.pi / 3}
CITED = "pi/5"
# Radii of the dense grids, in disc and ring each.
RINGS = 16
# The repetitions whose decisions are kept, so that the figure can choose among them.
DRAWN = 10
