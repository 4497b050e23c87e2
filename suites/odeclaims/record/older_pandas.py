"""What differs between the releases of pandas, in one place: the suite runs on 2.2 and later."""

from typing import Any

import pandas as pd

_RELEASE = tuple(int(part) for part in pd.__version__.split(".")[:2])

# How to read numbers as they were written. From 3.1 on pandas does so by itself, and to ask for it
# is deprecated.
EXACTLY: dict[str, Any] = {} if _RELEASE >= (3, 1) else {"float_precision": "round_trip"}
