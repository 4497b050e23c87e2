"""The commands of the pool of trained networks."""

import pytest
import typer

from neural_ode import StepLimit
from odeclaims.cli import trained
from odeclaims.trained import training
from odeclaims.trained.publish import Standing


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


def test_a_solve_that_fails_in_a_replay_is_one_sentence(monkeypatch, capsys):
    def fail(*arguments):
        raise StepLimit("too many steps", 0.5)

    monkeypatch.setattr(training, "replay", fail)
    (net,) = trained._choose(["table1-mlp-0"])
    with pytest.raises(typer.Exit):
        trained._replay([Standing(net, "published", {"first_losses": [2.3]})])
    said = capsys.readouterr().out
    assert "table1-mlp-0: a solve of the repeated training fails: too many steps" in said
    assert "1 training repeated, 1 with a problem." in said
