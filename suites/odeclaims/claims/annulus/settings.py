"""What the rooms of this claim share: its name, and numbers that are in its rows."""

import math

SLUG = "annulus"
# The published tolerance, and one at which the frozen flows are solved again to check them. On a
# line the points end pressed together, and solving back to their starts needs a tenth of it.
TOLERANCES = {1: {"loose": 1e-3, "checked": 1e-8}, 2: {"loose": 1e-3, "checked": 1e-7}}
# Radii of the dense grid in the plane, in ball and shell each.
RINGS = 8
# Starts whose order is watched on a line, at these many times.
STARTS, TIMES = 41, 21
# The circle is refined until no step from one of its points to the next turns by more than this,
# or changes the output by more.
LARGEST_TURN, LARGEST_STEP = math.pi / 8, 0.02
