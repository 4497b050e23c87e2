"""What the rooms of this claim share: its name, and what its rows range over."""

SLUG = "identity_residual"
# Initialisations of a plain network beside the residual one.
ARMS = ("residual", "plain", "plain_he")
PLAIN = ("plain", "plain_he")
TARGETS = ("identity", "near_identity", "near_zero")
# Blocks of two layers in the shallow and in the deep network.
SHALLOW, DEEP = 2, 8
# How far the targets are from the identity and from the zero map, beside an input of size one.
DISTANCE = 0.5
