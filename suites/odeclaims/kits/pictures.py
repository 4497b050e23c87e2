"""Pictures of densities out of rows, for what shows them: nothing here needs torch."""

import numpy as np
import pandas as pd
from jaxtyping import Float64

from odeclaims.kits.constants import GRID


def picture(rows: pd.DataFrame) -> Float64[np.ndarray, "y x"]:
    """The picture of a density, in thousandths, the lowest line first.

    Args:
        rows: the rows of one picture, as ``flow_models.picture_rows`` makes them.

    Returns:
        Zeros where there are no rows.
    """
    texts = rows.sort_values("line")["densities"]
    lines = [list(map(int, text.split())) for text in texts]
    return np.array(lines or [[0] * GRID] * GRID, dtype=float)
