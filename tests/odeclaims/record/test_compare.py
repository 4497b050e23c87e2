from typing import Any

import numpy as np
import pytest

from odeclaims.record.compare import compare, compare_statement
from odeclaims.record.files import CorruptFile, write_json, write_text
from odeclaims.rules import Better, Bounds
from odeclaims.statement import summarise


def statement(value, interval=None, outcome="reproduced", name="ratio", asked="mean <= 1", **more):
    return {
        "name": name,
        "text": "The ratio is small",
        "kind": "better",
        "central": True,
        "outcome": outcome,
        "value": value,
        "interval": interval,
        "level": 0.95 if interval else None,
        "values": 8,
        "words": "",
        "p": None,
        "seeds_needed": None,
        "holds_if": asked,
        "because": "a test",
        "lacking": "" if value is not None else "2 of at least 5 seeds",
    } | more


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (statement(1.0, [0.9, 1.1]), statement(1.05, [1.0, 1.2]), ("agrees", "")),
        # Neither interval holds the other number, and yet two runs differ so by chance.
        (statement(1.0, [0.9, 1.1]), statement(1.13, [1.03, 1.23]), ("agrees", "")),
        (
            statement(1.0, [0.9, 1.1]),
            statement(1.3, [1.2, 1.4]),
            ("differs", "beyond the prediction interval"),
        ),
        (
            statement(1.0),
            statement(1.3, [1.2, 1.4]),
            ("differs", "beyond the prediction interval"),
        ),
        (statement(1.0), statement(1.0001), ("agrees", "")),
        # A range over settings is no interval over seeds.
        (
            statement(1.0, [0.5, 1.0], level=None),
            statement(0.9, [0.4, 0.9], level=None),
            ("agrees", ""),
        ),
        (
            statement(1.0),
            statement(1.0, asked="mean <= 2"),
            ("not compared", "asked for mean <= 1, then mean <= 2"),
        ),
        (
            statement(1.0, [0.9, 1.1]),
            statement(1.05, [1.0, 1.2], "not reproduced"),
            ("differs", "reproduced became not reproduced"),
        ),
        (
            statement(1.0, [0.9, 1.1]),
            statement(1.0, [0.5, 1.5], "undecided"),
            ("not compared", "reproduced became undecided"),
        ),
        (
            statement(None, outcome="insufficient"),
            statement(1.0),
            ("not compared", "insufficient became reproduced"),
        ),
    ],
)
def test_what_is_said_of_a_statement(one, other, found):
    assert compare_statement(one, other) == found


def verdict(slug, outcome, **how: Any):
    judged = statement(how.pop("value", 1.0), outcome=outcome, **how)
    return {
        "claim": slug,
        "title": "A toy",
        "revision": 1,
        "scale": "reduced",
        "size": "half",
        "summary": summarise([outcome]),
        "statements": [judged],
        "checks": [],
        "caveats": [],
    }


def folder(path, outcomes, profile="quick"):
    for slug, outcome in outcomes.items():
        write_json(path / profile / slug / "verdict.json", verdict(slug, outcome))
    return path


YES, NO, OPEN = "reproduced", "not reproduced", "undecided"


def test_two_folders(tmp_path):
    before = folder(tmp_path / "a", {"one": YES, "two": NO, "three": NO, "five": YES})
    after = folder(tmp_path / "b", {"one": NO, "two": NO, "four": NO, "five": OPEN})
    found = compare(before, after)
    assert dict(zip(found.statements["claim"], found.statements["state"], strict=True)) == {
        "five (quick)": "not compared",
        "one (quick)": "differs",
        "two (quick)": "agrees",
    }
    assert found.summary == (
        "1 of 3 outcomes are the same, changed: five (quick) ratio (reproduced became undecided),"
        " one (quick) ratio (reproduced became not reproduced); 1 of 2 statements agree; 1 differs:"
        " one (quick) ratio; 1 not judged in both"
    )
    assert found.alone == [
        f"three (quick) is in {before} alone",
        f"four (quick) is in {after} alone",
    ]


def test_a_folder_and_itself_do_not_differ(tmp_path):
    same = folder(tmp_path / "a", {"one": YES})
    found = compare(same, same)
    assert found.summary == "1 of 1 outcomes are the same; 1 of 1 statements agree"
    assert len(found.differing) == 0
    assert found.alone == []


def test_two_profiles_of_a_folder(tmp_path):
    out = folder(tmp_path, {"one": YES})
    folder(tmp_path, {"one": NO}, profile="paper")
    found = compare(out / "quick", out / "paper")
    assert list(found.statements["claim"]) == ["one"]
    assert len(found.differing) == 1


def test_a_statement_that_one_alone_has_is_named(tmp_path):
    before, after = (folder(tmp_path / name, {"one": NO}) for name in "ab")
    write_json(after / "quick" / "one" / "verdict.json", verdict("one", NO, name="another"))
    found = compare(before, after).statements.set_index("statement")["says"]
    assert found.to_dict() == {"ratio": "in one alone", "another": "in one alone"}


def test_outcomes_are_the_same_where_no_number_could_be_compared(tmp_path):
    """What neither run could decide has the same outcome in both."""
    before, after = (folder(tmp_path / name, {"one": OPEN, "two": YES}) for name in "ab")
    for out in (before, after):
        lacking = verdict("one", "insufficient", value=None)
        write_json(out / "quick" / "one" / "verdict.json", lacking)
    assert compare(before, after).summary == (
        "2 of 2 outcomes are the same; 1 of 1 statements agree; 1 not judged in both"
    )


def test_what_was_asked_otherwise_has_no_outcome_to_share(tmp_path):
    before, after = (folder(tmp_path / name, {"one": YES, "two": YES}) for name in "ab")
    changed = verdict("one", NO, asked="mean <= 2")
    write_json(after / "quick" / "one" / "verdict.json", changed)
    assert compare(before, after).summary.startswith("1 of 1 outcomes are the same;")


def test_nothing_to_compare_is_an_error_of_one_sentence(tmp_path):
    full = folder(tmp_path / "a", {"one": NO})
    with pytest.raises(FileNotFoundError, match=r"holds no verdict\.json"):
        compare(full, tmp_path / "missing")
    other = folder(tmp_path / "b", {"two": NO})
    with pytest.raises(ValueError, match="no claim in common"):
        compare(full, other)
    write_text(other / "quick" / "two" / "verdict.json", "{")
    with pytest.raises(CorruptFile, match="is not JSON"):
        compare(full, other)


def test_two_equal_runs_seldom_differ():
    """By simulation: of equal runs compared by overlap of intervals a sixth would differ."""
    rng = np.random.default_rng(0)
    rule, differ = Better(Bounds(at_least=-9)), 0
    for _ in range(200):
        pair = [rule.decide(rng.normal(0, 1, 10)) for _ in range(2)]
        one, other = (statement(d.value, list(d.interval or ())) for d in pair)
        differ += compare_statement(one, other)[0] == "differs"
    assert differ <= 0.05 * 200 + 9
