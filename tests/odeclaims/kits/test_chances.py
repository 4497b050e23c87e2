"""How likely extremes are among many."""

import numpy as np
import pandas as pd
import pytest

from odeclaims.kits.quantities import chances_below_zero, chances_of_scores


def test_a_value_below_zero_is_less_surprising_among_many():
    errors = pd.Series([0.1] * 100)
    values = pd.Series([1.0] * 99 + [-0.3])
    few = chances_below_zero(values[-1:], errors[-1:])
    many = chances_below_zero(values, errors)
    assert few == [pytest.approx(0.00135, rel=1e-2)]
    assert many[-1] == pytest.approx(0.135, rel=1e-2)
    assert set(many[:-1]) == {1.0}


def test_scores_of_right_means_pass_in_nearly_every_case():
    rng = np.random.default_rng(0)
    chances = np.array([chances_of_scores(pd.Series(rng.standard_normal(160))) for _ in range(300)])
    for kind in chances.T:
        assert (kind < 0.05).mean() < 0.09
        assert kind.min() > 1e-4


def test_a_bias_of_all_and_one_far_score_are_seen():
    rng = np.random.default_rng(0)
    scores = pd.Series(rng.standard_normal(160))
    assert chances_of_scores(scores + 0.5)[0] < 1e-3
    far = scores.copy()
    far[0] = 6.0
    assert chances_of_scores(far)[1] < 1e-3
    far[0] = 4.0
    assert chances_of_scores(far)[1] == pytest.approx(160 * 6.33e-5, rel=1e-2)
