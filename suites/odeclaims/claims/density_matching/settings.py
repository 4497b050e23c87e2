"""What the rooms of this claim share: its name, and numbers that measuring uses."""

SLUG = "density_matching"
# The names of all energies, and the layers K of a planar flow or hidden units M of a CNF.
TARGETS, WIDTHS = ("U1", "U2", "U3", "U4"), (2, 8, 32)
# The published numbers of steps: the CNF's iterations, and the planar flow's steps.
CNF_STEPS, NF_STEPS = 10_000, 500_000
# Once the CNF has learnt and needs some 60 evaluations, an iteration takes as long as some 25 steps
# of a planar flow with compiled energies, for twelve models together and at widths 2 and 8; at
# width 32 it is some 15, so that the planar flow has more time than the CNF there.
EVEN_TIME = 25
# Points that are taken to the base and back.
RETURNED = 500
# The pictures show the square [-EDGE, EDGE]^2.
EDGE = 4.0
