"""The commands of the pool of trained networks."""

from odeclaims.cli import trained


def test_a_network_that_is_named_twice_counts_once():
    names = ["table1-mlp-1", "table1-mlp-0", "table1-mlp-1"]
    assert [each.name for each in trained._choose(names)] == names[:2]
