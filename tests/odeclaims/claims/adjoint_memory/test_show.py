from pathlib import Path

import pandas as pd

from odeclaims.claims.adjoint_memory.settings import ARMS
from odeclaims.claims.adjoint_memory.show import LOOKS, table

ROOT = Path(__file__).parents[4]


def test_every_arm_has_a_look():
    assert set(LOOKS) == set(ARMS)


def test_the_table_has_a_line_for_each_arm_of_each_sweep():
    rows = pd.read_csv(ROOT / "results" / "quick" / "adjoint_memory" / "data.csv")
    lines = table(rows).to_dict("records")
    assert len(lines) == (2 + 3) * len(ARMS)

    def adjoint(over: str) -> dict:
        wanted = ("mlp", over, "adjoint")
        return next(x for x in lines if (x["field"], x["over"], x["gradient"]) == wanted)

    assert adjoint("NFE (fixed)")["slope"] == "0"
    assert "to" not in adjoint("NFE (fixed)")["peak held (MiB)"], "one number: it does not change"
    assert "to" in adjoint("outputs")["peak held (MiB)"]
