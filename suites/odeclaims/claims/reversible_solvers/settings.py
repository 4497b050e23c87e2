"""What the rooms of this claim share: its name, its methods and couplings, and where it looks."""

SLUG = "reversible_solvers"
# The base methods, with their orders.
ORDERS = {"euler": 1, "midpoint": 2, "rk4": 4, "dopri5": 5}
BASES = tuple(ORDERS)
# An older reversible method, of second order, which has no coupling.
HEUN = "reversible_heun"
# The paper calls the coupling lambda. Its released code takes the fifth where none is named.
COUPLINGS = (0.5, 0.8, 0.9, 0.99, 0.999, 1.0)
DEFAULT = 0.999
# The decay y' = -y, and the trained nets: the last time, and the step in time units.
LAST, STEP = 20.0, 0.1
# The trained nets are solved with these couplings.
OF_NETS = (0.8, 0.9, 0.99, 0.999)
