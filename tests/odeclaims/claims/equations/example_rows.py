"""Rows of an invented run, for the tests of judging and showing."""

from collections.abc import Collection

import pandas as pd

from odeclaims.claims.equations.catalogue import EQUATIONS

EXPECTED_SLIPS = frozenset(equation.key for equation in EQUATIONS if equation.kind)


def rows(slips: Collection[str] = EXPECTED_SLIPS, repetitions: int = 3) -> pd.DataFrame:
    """Rows of a run in which exactly these equations slip."""
    return pd.DataFrame(
        {
            "section": equation.section,
            "equation": equation.key,
            "form": form,
            "reading": 1,
            "left": 1.0,
            "right": 2.0,
            "residual": 0.5 if form == "printed" and equation.key in slips else 1e-12,
            "status": "ok",
            "repetition": repetition,
            "seed": 1,
            "device": "cpu",
        }
        for equation in EQUATIONS
        for form in ("printed", "corrected")
        for repetition in range(repetitions)
    )
