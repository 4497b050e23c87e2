from typing import Any

import pytest

from odeclaims.record.compare import compare, describe_change
from odeclaims.record.files import CorruptFile, write_json, write_text


def criterion(value, spread=None, outcome="reproduced", name="ratio", asked="<= 1"):
    return {
        "name": name,
        "decides": True,
        "outcome": outcome,
        "value": value,
        "interval_95": spread,
        "values": 1,
        "statistic": "median",
        "reproduced_if": asked,
        "partly_if": None,
        "because": "a test",
        "lacking": "" if value is not None else "2 of at least 5 seeds",
    }


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (criterion(1.0, [0.9, 1.1]), criterion(1.05, [1.0, 1.2]), ""),
        (criterion(1.0, [0.9, 1.1]), criterion(1.3, [1.2, 1.4]), "beyond its interval"),
        # The second interval holds the first number, though not the other way round.
        (criterion(1.0, [0.9, 1.1]), criterion(1.3, [0.8, 1.4]), ""),
        (criterion(1.0), criterion(1.3, [1.2, 1.4]), "beyond its interval"),
        (criterion(1.0), criterion(1.0001), ""),
        (criterion(1.0), criterion(1.1), "differs, no interval"),
        (criterion(1.0), criterion(1.0, asked="<= 2"), "asked for <= 1, then <= 2"),
        (
            criterion(1.0, [0.9, 1.1]),
            criterion(1.05, [1.0, 1.2], "not reproduced"),
            "reproduced became not reproduced",
        ),
        (
            criterion(None, outcome="insufficient"),
            criterion(1.0),
            "insufficient became reproduced",
        ),
    ],
)
def test_what_is_said_of_a_criterion(one, other, said):
    assert describe_change(one, other) == said


def verdict(slug, outcome, **how: Any):
    judged = criterion(how.pop("value", 1.0), outcome=outcome, **how)
    parts = {"claim": slug, "title": "A toy", "outcome": outcome}
    return parts | {"criteria": [judged], "caveats": []}


def folder(path, outcomes, profile="quick"):
    for slug, outcome in outcomes.items():
        write_json(path / profile / slug / "verdict.json", verdict(slug, outcome))
    return path


def test_two_folders(tmp_path):
    before = folder(tmp_path / "a", {"one": "reproduced", "two": "partly", "three": "partly"})
    after = folder(tmp_path / "b", {"one": "partly", "two": "partly", "four": "partly"})
    found = compare(before, after)
    assert found.changed
    assert found.verdicts.set_index("claim")["changed"].to_dict() == {
        "one (quick)": True,
        "two (quick)": False,
    }
    assert list(found.numbers["moved"]) == ["reproduced became partly", ""]
    assert found.alone == [
        f"three (quick) is in {before} alone",
        f"four (quick) is in {after} alone",
    ]


def test_a_folder_and_itself_do_not_differ(tmp_path):
    same = folder(tmp_path / "a", {"one": "reproduced"})
    found = compare(same, same)
    assert not found.changed
    assert (found.numbers["moved"] == "").all()
    assert found.alone == []


def test_two_profiles_of_a_folder(tmp_path):
    out = folder(tmp_path, {"one": "reproduced"})
    folder(tmp_path, {"one": "partly"}, profile="paper")
    found = compare(out / "quick", out / "paper")
    assert list(found.verdicts["claim"]) == ["one"]
    assert found.changed


def test_a_criterion_that_one_alone_has_is_named(tmp_path):
    before, after = (folder(tmp_path / name, {"one": "partly"}) for name in "ab")
    write_json(after / "quick" / "one" / "verdict.json", verdict("one", "partly", name="another"))
    found = compare(before, after).numbers.set_index("criterion")["moved"]
    assert found.to_dict() == {"ratio": "in one alone", "another": "in one alone"}


def test_nothing_to_compare_is_an_error_of_one_sentence(tmp_path):
    full = folder(tmp_path / "a", {"one": "partly"})
    with pytest.raises(FileNotFoundError, match=r"holds no verdict\.json"):
        compare(full, tmp_path / "missing")
    other = folder(tmp_path / "b", {"two": "partly"})
    with pytest.raises(ValueError, match="no claim in common"):
        compare(full, other)
    write_text(other / "quick" / "two" / "verdict.json", "{")
    with pytest.raises(CorruptFile, match="is not JSON"):
        compare(full, other)
