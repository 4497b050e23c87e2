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
