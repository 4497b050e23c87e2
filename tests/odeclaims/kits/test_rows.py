"""Which rows the filters keep."""

import numpy as np
import pandas as pd
import pytest

from odeclaims.kits.rows import irreversible, of, ok, repetitions, reversible, valid

ROWS = pd.DataFrame(
    {
        "arm": ["node", "node", "anode", "resnet"],
        "status": ["ok", "max_steps", "ok", "ok"],
        "repetition": [0, 1, 0, 2],
        "reconstruction_error": [0.0099, None, 0.01, None],
    }
)


def test_rows_have_every_value_that_is_asked_for():
    assert list(of(ROWS, arm="node").index) == [0, 1]
    assert list(of(ROWS, arm="node", repetition=1).index) == [1]
    assert list(of(ROWS, arm=["anode", "resnet"], repetition=(0,)).index) == [2]
    assert list(of(ROWS).index) == [0, 1, 2, 3]
    assert of(ROWS, arm="euler").empty


def test_a_failed_row_is_not_ok():
    assert list(ok(ROWS).index) == [0, 2, 3]
    assert list(ok(ROWS, arm="node").index) == [0]


def test_the_limit_itself_fails_and_a_row_without_the_check_does_neither():
    assert list(reversible(ROWS).index) == [0]
    assert list(irreversible(ROWS).index) == [2]


def test_repetitions_are_counted_once():
    assert repetitions(ROWS) == 3


@pytest.mark.parametrize("values", [[True, False, True], [True, np.nan, True], [1.0, 0.0, 1.0]])
def test_only_rows_that_pass_every_check_are_valid(values):
    df = pd.DataFrame({"valid": values, "repetition": [0, 1, 2]})
    assert valid(df)["repetition"].tolist() == [0, 2]
