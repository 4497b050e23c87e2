"""What the rooms of this claim share: its name, its models, and where it looks."""

SLUG = "parity"
# The models; the order is that of tables and legends.
ARMS = (
    "node",
    "node_time",
    "anode_1",
    "anode_d",
    "second_order",
    "second_order_rest",
    "data_control",
)
# Those whose map is a flow of the space of the inputs.
FLOWS = ("node", "node_time")
# The sets behind a distance from -x are spheres of these radii.
RADII = (0.25, 0.5, 1.0)
# Tolerances of a solve, rtol and atol: of training, of the flows that are judged, and of those that
# are solved again where a flow does what no flow can; and that of the released training.
TRAINED, CHECKED, AGAIN, LOOSE = 1e-4, 1e-8, 1e-9, 1e-3
# Units of a hidden layer of the NODE. The other models have about as many parameters as it.
WIDTH = 20
# Seeds whose map of the line is kept, and whose trajectories in the plane are.
MAPPED, FOLLOWED = 3, 1
