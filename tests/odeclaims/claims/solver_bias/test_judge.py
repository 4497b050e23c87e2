"""The judgements of invented errors and eigenvalues."""

import pytest

from odeclaims.claims.solver_bias import CLAIM
from odeclaims.claims.solver_bias.judge import NAMES, refined, slopes
from tests.odeclaims.claims.solver_bias.examples import STEPS, make_rows

CENTRAL = (
    "linear_fits_end_at_roots",
    "rk4_antidamped",
    "euler_order",
    "euler_predicted",
    "midpoint_order",
    "midpoint_predicted",
)
OF_NETS = (*CENTRAL[2:], "euler_fails_refinement", "midpoint_fails_refinement")


def outcomes(**changed) -> dict[str, str]:
    verdict = CLAIM.judge(make_rows(**changed))
    return {each.statement.name: each.outcome for each in verdict.judgements}


def test_what_was_published_is_reproduced():
    verdict = CLAIM.judge(make_rows())
    assert verdict.summary == "6 of 6 reproduced"
    assert tuple(each.statement.name for each in verdict.central) == CENTRAL
    assert {each.outcome for each in verdict.judgements} == {"reproduced"}
    assert verdict.scale == "reduced"
    assert verdict.caveats == (
        "Of 12 fits through rk4 of -0.1 + 2i at a step of 1, 6 are anti-damped and 6 turn"
        " backwards. The shares depend on where fits start: entries of the step size times the"
        " matrix are standard normal.",
    )


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"unsolved": 5}, {"linear_fits_end_at_roots"}),
        ({"which": (2, 3)}, {"rk4_antidamped"}),
        ({"which": (0, 2)}, {"rk4_turns_back"}),
        ({"orders": {"euler": 0.5, "midpoint": 2}}, {"euler_order"}),
        ({"orders": {"euler": 1, "midpoint": 2.4}}, {"midpoint_order"}),
        ({"predicted": 0.2}, {"euler_predicted", "midpoint_predicted"}),
        ({"rise": 1.0}, {"euler_fails_refinement", "midpoint_fails_refinement"}),
        ({"power": 0.5}, {"euler_loses_energy"}),
    ],
)
def test_what_is_otherwise_is_not_reproduced(changed, names):
    found = {name for name, each in outcomes(**changed).items() if each == "not reproduced"}
    assert found == names


def test_fits_that_stopped_elsewhere_count_against_the_roots_and_are_told():
    verdict = CLAIM.judge(make_rows(unsolved=1))
    assert verdict.summary == "6 of 6 reproduced"
    assert "6 of 72 linear fits stopped" in verdict.caveats[0]
    assert outcomes(unsolved=2)["linear_fits_end_at_roots"] == "undecided"
    assert outcomes(unsolved=12)["linear_fits_end_at_roots"] == "not reproduced"


def test_a_solution_away_from_every_root_is_a_fault_of_the_instrument():
    verdict = CLAIM.judge(make_rows(off=2e-6))
    assert [check.check.name for check in verdict.checks if not check.passed] == [
        "solutions_are_roots"
    ]
    assert outcomes(off=2e-6)["linear_fits_end_at_roots"] == "invalid"


def test_seven_seeds_nets_that_are_not_trained_and_toys_are_insufficient():
    for changed in ({"seeds": 7}, {"residual": 0.2}):
        found = outcomes(**changed)
        assert {found[name] for name in OF_NETS} == {"insufficient"}
        assert found["linear_fits_end_at_roots"] == "reproduced"
    toy = outcomes(pairs=50)
    assert {toy[name] for name in OF_NETS} == {"insufficient"}


def test_some_nets_that_are_not_trained_are_left_out_and_told():
    df = make_rows()
    poor = (df["kind"] == "field") & (df["step"] == 0.04) & (df["method"] == "euler")
    df.loc[poor & (df["repetition"] < 6), ["residual", "error_true"]] = 1.0
    verdict = CLAIM.judge(df)
    assert verdict.summary == "6 of 6 reproduced"
    assert "6 of 56 nets have a residual above 0.1 of the bias" in " ".join(verdict.caveats)


def test_one_of_five_cells_may_be_farther_from_what_is_predicted():
    steps = {**STEPS, "euler": (0.01, *STEPS["euler"])}
    for far, expected in (((0.16,), "reproduced"), ((0.08, 0.16), "not reproduced")):
        df = make_rows(steps=steps)
        rows = (df["kind"] == "field") & (df["method"] == "euler") & df["step"].isin(far)
        df.loc[rows, "error_predicted"] = df.loc[rows, "error_true"]
        found = {each.statement.name: each.outcome for each in CLAIM.judge(df).judgements}
        assert found["euler_predicted"] == expected


def test_slopes_and_ratios_are_those_of_each_seed():
    df = make_rows()
    for method, order in (("euler", 1), ("midpoint", 2)):
        assert slopes(df, method).to_list() == pytest.approx([order] * 8)
        assert set(refined(df, method)["ratio"].round(9)) == {40}


def test_rk4_is_told_and_not_judged():
    steps = {**STEPS, "rk4": (0.12, 0.16, 0.24)}
    verdict = CLAIM.judge(make_rows(steps=steps))
    assert (
        verdict.caveats[-1] == "Through rk4 the error of a net rises with a slope of 4.00 (median)."
    )
    assert set(NAMES) == set(steps)


@pytest.mark.parametrize(("column", "value"), [("seed", 99), ("energy_drift", 1e-6)])
def test_other_pairs_or_a_flow_that_is_off_invalidate_the_nets(column, value):
    df = make_rows()
    df.loc[df.index[0], column] = value
    found = {each.statement.name: each.outcome for each in CLAIM.judge(df).judgements}
    assert {found[name] for name in OF_NETS} == {"invalid"}
    assert found["linear_fits_end_at_roots"] == "reproduced"
