"""The commands of the pool of trained networks."""

import pytest

from odeclaims.cli import trained


def test_a_network_that_is_named_twice_counts_once():
    names = ["table1-mlp-1", "table1-mlp-0", "table1-mlp-1"]
    assert [each.name for each in trained._choose(names)] == names[:2]


@pytest.mark.parametrize(
    ("clean", "says"),
    [(True, "aaaaaaaaaa"), (None, "aaaaaaaaaa"), (False, "aaaaaaaaaa with changes")],
)
def test_a_commit_with_changes_is_not_named_alone(clean, says):
    """The first networks do not say whether there were any."""
    assert trained._commits({"commits": ["a" * 40], "clean_tree": clean}) == says
