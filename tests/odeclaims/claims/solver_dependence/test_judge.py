"""The judgements of invented accuracies."""

import pandas as pd
import pytest

from odeclaims.claims.solver_dependence import CLAIM
from odeclaims.claims.solver_dependence.judge import critical_steps, trained
from tests.odeclaims.claims.solver_dependence.examples import POWERS, make_rows

CONV = ("coarse_conv_drops", "fine_conv_keeps", "critical_steps_conv", "training_hides_it_conv")


def outcomes(df: pd.DataFrame) -> dict[str, str]:
    found = {j.statement.name: j.outcome for j in CLAIM.judge(df).judgements}
    return {name: outcome for name, outcome in found.items() if name in CONV}


def test_the_published_picture_is_reproduced():
    verdict = CLAIM.judge(make_rows())
    assert verdict.summary == "3 of 3 reproduced"
    assert verdict.scale == "published size"
    assert outcomes(make_rows()) == dict.fromkeys(CONV, "reproduced")


def test_the_mlp_is_judged_by_itself_and_is_not_central():
    both = pd.concat([make_rows(), make_rows(net="mlp", steps=(2, 128), large=0.1)])
    judgements = {j.statement.name: j for j in CLAIM.judge(both).judgements}
    assert judgements["coarse_mlp_drops"].outcome == "not reproduced"
    assert judgements["fine_mlp_keeps"].outcome == "reproduced"
    assert "critical_steps_mlp" not in judgements
    assert not any(j.statement.central for name, j in judgements.items() if "mlp" in name)


@pytest.mark.parametrize(
    ("changed", "statement"),
    [
        ({"large": 0.15}, "coarse_conv_drops"),
        ({"small": 0.05}, "fine_conv_keeps"),
        ({"critical": 8}, "critical_steps_conv"),
        ({"critical": 512, "small": 0.0}, "fine_conv_keeps"),
    ],
)
def test_what_is_otherwise_is_not_reproduced(changed, statement):
    assert outcomes(make_rows(**changed))[statement] == "not reproduced"


def test_a_drop_is_the_largest_over_the_more_accurate_solvers():
    rows = trained(make_rows(critical=64, large=0.4), "conv")
    by_steps = rows.groupby("steps")["drop"].median()
    assert by_steps[32] == pytest.approx(0.4)
    assert by_steps[64] == pytest.approx(0)


@pytest.mark.parametrize(("critical", "expected"), [(1, 1), (32, 32), (128, 128), (1000, 256)])
def test_the_critical_number_is_the_first_from_which_on_nothing_drops(critical, expected):
    assert set(critical_steps(make_rows(critical), "conv")) == {expected}


def test_a_late_drop_counts_although_an_earlier_net_had_none():
    df = make_rows(critical=1)
    late = (df["steps"] == 64) & (df["role"] == "flow")
    df.loc[late, "accuracy"] -= 0.3
    assert set(critical_steps(df, "conv")) == {128}


def test_a_trend_of_the_training_accuracy_is_seen():
    df = make_rows()
    fine = (df["steps"] == POWERS[-1]) & (df["role"] == "training")
    df.loc[fine, "accuracy"] -= 0.06
    assert outcomes(df)["training_hides_it_conv"] == "not reproduced"


def test_coarse_profiles_few_seeds_and_nets_that_did_not_learn_are_insufficient():
    coarse = outcomes(make_rows(steps=(2, 16), updates=3000))
    assert coarse["coarse_conv_drops"] == "reproduced"
    assert coarse["fine_conv_keeps"] == coarse["critical_steps_conv"] == "insufficient"
    assert set(outcomes(make_rows(seeds=6)).values()) == {"insufficient"}
    assert set(outcomes(make_rows(seeds=8, unlearnt=(0, 1))).values()) == {"insufficient"}
    one = outcomes(make_rows(seeds=8, unlearnt=(0,)))
    assert one["coarse_conv_drops"] == "reproduced"


def test_seeds_that_differ_between_trainings_invalidate_everything():
    df = make_rows()
    df.loc[df["steps"] == 2, "seed"] = 99
    assert set(outcomes(df).values()) == {"invalid"}


def test_the_caveats_name_the_budget_what_failed_and_adaptive_nets():
    adaptive = make_rows(steps=(2,)).assign(method="dopri5", steps=None, tolerance=0.1)
    df = pd.concat([make_rows(unlearnt=(0,), seeds=8), adaptive], ignore_index=True)
    text = " ".join(CLAIM.judge(df).caveats)
    assert "10,000 updates at a learning rate of 0.0001" in text
    assert "8 of 72 nets have an accuracy below 0.9" in text
    assert "trained by dopri5 at 0.1 loses 40.0 points" in text
