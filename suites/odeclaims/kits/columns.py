"""Descriptions of columns that several claims have."""

from odeclaims.claim import Column
from odeclaims.kits.constants import GRADIENT_LIMIT, RECONSTRUCTION_LIMIT, REFERENCE_LIMIT

STAMP_COLUMNS = {
    "reconstruction_error": Column(
        "relative L2 distance between the start and where 0 -> T -> 0 ends, same solver"
    ),
    "gradient_error": Column("relative L2 error of the gradient against a tight float64 reference"),
    "reference_error": Column(
        "relative L2 distance between the reference and a second, looser one"
    ),
    "valid": Column(
        f"reconstruction below {RECONSTRUCTION_LIMIT:g}, gradient below {GRADIENT_LIMIT:g},"
        f" reference below {REFERENCE_LIMIT:g}"
    ),
}

# Those of a trained ODE-Net of the pool.
ODE_NET_COLUMNS = {
    "recipe": Column(
        "recipe of the net in the pool: table1 (published size) or reduced_ode_net (half the width)"
    ),
    "weights": Column("SHA-256 digest of its published weights; blank where trained here"),
    "channels": Column("channels of the feature maps; 64 in the released example"),
    "images": Column("training images, each seen once an epoch"),
    "batch_size": Column("images in a training batch"),
    "epochs": Column("epochs of its training"),
    "test_images": Column("test images behind the error rate"),
    "evaluated": Column("test digits on which the frozen net is solved, as one batch"),
    "reference_steps": Column(
        "midpoint steps of the gradient's reference; the looser one has half as many"
    ),
}
