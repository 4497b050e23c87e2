"""How a residual becomes a judgement."""

import pandas as pd
import pytest

from odeclaims.claims.equations import CLAIM
from odeclaims.claims.equations.catalogue import EQUATIONS, SECTION_NAMES
from odeclaims.claims.equations.judge import CLEAR, NOTATION, TOLERANCE
from tests.odeclaims.claims.equations.example_rows import EXPECTED_SLIPS, rows

SLIPS = {e.key: e for e in EQUATIONS if e.kind and e.role != "example"}
HEAVY = {key for key, e in SLIPS.items() if e.kind not in NOTATION}


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    return {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}


def test_the_sections_hold_and_what_slips_does_not():
    verdict = CLAIM.judge(rows())
    expected = dict.fromkeys((f"section_{s}" for s in SECTION_NAMES), "reproduced")
    expected |= dict.fromkeys((f"printed_{key}" for key in SLIPS), "not reproduced")
    assert outcomes(rows()) == expected
    central = {j.statement.name for j in verdict.central}
    assert central == {f"section_{s}" for s in SECTION_NAMES} | {f"printed_{k}" for k in HEAVY}
    assert verdict.summary == (
        f"{len(SECTION_NAMES)} of {len(central)} reproduced, {len(HEAVY)} not reproduced"
    )
    assert verdict.scale == "published size"
    assert verdict.caveats[0] == (
        "Of 52 displayed equations 39 hold as printed; of the 41 that assert and do not only"
        " define, 29 do."
    )


def test_without_slips_everything_holds():
    assert set(outcomes(rows(slips=frozenset())).values()) == {"reproduced"}


@pytest.mark.parametrize("key", ["taylor", "boxed", "adjoint_end"])
def test_a_slip_that_nobody_expected_breaks_its_section_alone(key):
    section = next(e.section for e in EQUATIONS if e.key == key)
    before, after = outcomes(rows()), outcomes(rows(slips=EXPECTED_SLIPS | {key}))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {f"section_{section}"}
    assert after[f"section_{section}"] == "not reproduced"


def test_one_random_problem_is_enough_to_break_an_equation():
    df = rows(slips=frozenset())
    one = (df["equation"] == "adjoint_ode") & (df["form"] == "printed") & (df["repetition"] == 1)
    df.loc[one, "residual"] = 0.5
    assert outcomes(df)["printed_adjoint_ode"] == "not reproduced"


def test_the_best_reading_of_a_printed_form_counts():
    df = rows()
    printed = df[(df["equation"] == "adjoint_ode") & (df["form"] == "printed")]
    better = printed.assign(reading=2, residual=0.0)
    both = pd.concat([df, better], ignore_index=True)
    assert outcomes(both)["printed_adjoint_ode"] == "reproduced"


def test_a_residual_near_the_tolerance_is_invalid():
    df = rows()
    near = (df["equation"] == "taylor") & (df["form"] == "printed")
    for residual, expected in ((5 * TOLERANCE, {"invalid"}), (2 * CLEAR, {"not reproduced"})):
        df.loc[near, "residual"] = residual
        found = outcomes(df)
        assert {found["section_euler"]} == expected
    assert "invalid" not in found.values()


def test_a_corrected_equation_that_fails_speaks_against_the_instrument():
    df = rows()
    df.loc[(df["equation"] == "backward_pass") & (df["form"] == "corrected"), "residual"] = 0.1
    found = outcomes(df)
    assert {found[f"printed_{key}"] for key in SLIPS} == {"invalid"}
    assert found["section_algorithm"] == "not reproduced"
    assert found["section_flows"] == "reproduced"


def test_few_random_problems_are_insufficient():
    assert set(outcomes(rows(repetitions=2)).values()) == {"insufficient"}


def test_a_missing_equation_is_insufficient_evidence():
    df = rows()
    judged = CLAIM.judge(df[df["equation"] != "boxed"]).judgements
    assert {j.outcome for j in judged} == {"insufficient"}
    assert judged[0].lacking == "no rows of boxed in repetition 0"


def test_a_failed_section_is_insufficient_evidence():
    df = rows()
    failed = pd.DataFrame([{"section": "proof", "status": "timeout", "repetition": 3}])
    both = pd.concat([df, failed], ignore_index=True)
    assert set(outcomes(both).values()) == {"insufficient"}
