"""What the rooms of this claim share: its name, and numbers that measuring uses."""

SLUG = "density_matching"
# The names of all energies, and the layers K of a planar flow or hidden units M of a CNF.
TARGETS, WIDTHS = ("U1", "U2", "U3", "U4"), (2, 8, 32)
# The published numbers of steps: the CNF's iterations, and the planar flow's steps.
CNF_STEPS, NF_STEPS = 10_000, 500_000
# So many steps of a planar flow take as long as an iteration of the CNF, by width, with compiled
# energies and twelve models together, over the whole of the published iterations: the CNF needs
# some 60 evaluations once it has learnt. In a short training it needs fewer.
EVEN_TIME, EVEN_TIME_EARLY = {2: 55, 8: 27, 32: 15}, {2: 17, 8: 14}
# Two trainings had equal time where neither took longer than the other by more than this.
SAME_TIME = 0.1
# Points that are taken to the base and back.
RETURNED = 500
# The pictures show the square [-EDGE, EDGE]^2.
EDGE = 4.0
