"""Files of results that are JSON but say nothing true: mutated at random, none is used unseen."""

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from odeclaims.record.files import CorruptFile, read_json
from odeclaims.record.results import provenance_digest
from odeclaims.record.schema import read_provenance, read_verdict
from odeclaims.rules import OUTCOMES

RESULTS = Path(__file__).parents[3] / "results" / "quick" / "crossing_1d"
READERS = {"verdict.json": read_verdict, "provenance.json": read_provenance}
MUTATIONS = 2000
HOSTILE = ["\x1b[2J", "[/red]", "}\n@misc{", "a\u202eb", "", "x" * 20_000, "\x00"]

ODD = [None, True, 0, -1, 2**70, 0.5, math.nan, math.inf, *HOSTILE, [], [3], {}, {"a": [None]}]


def places(content: Any, path: tuple = ()) -> list[tuple]:
    """The paths to every value inside a JSON value, its own included."""
    inside = content.items() if isinstance(content, dict) else ()
    inside = enumerate(content) if isinstance(content, list) else inside
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


def mutate(original: Any, rng: random.Random) -> Any:
    """The original with one to three of its values replaced, deleted or joined by another."""
    content = copy.deepcopy(original)
    for _ in range(rng.randint(1, 3)):
        place = rng.choice(places(content))
        odd = copy.deepcopy(rng.choice(ODD))
        if not place:
            return odd
        holder = content
        for key in place[:-1]:
            holder = holder[key]
        how = rng.choice(["replace", "delete", "add"])
        if how == "replace":
            holder[place[-1]] = odd
        elif how == "delete":
            del holder[place[-1]]
        elif isinstance(holder, dict):
            holder[rng.choice(["", "outcome", "values", "\x1b"])] = odd
        else:
            holder.append(odd)
    return content


def leaves(content: Any) -> list[Any]:
    if isinstance(content, dict):
        return [leaf for pair in content.items() for part in pair for leaf in leaves(part)]
    if isinstance(content, list):
        return [leaf for part in content for leaf in leaves(part)]
    return [content]


def problem_of(name: str, path: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        return READERS[name](path), ""
    except CorruptFile as error:
        return None, str(error)


@pytest.mark.slow(reason="thousands of changed files are read")
@pytest.mark.parametrize("name", READERS)
def test_no_mutation_is_used_unseen(name, tmp_path):
    original = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    path, rng, refused = tmp_path / name, random.Random(0), 0
    for _ in range(MUTATIONS):
        path.write_text(json.dumps(mutate(original, rng)), encoding="utf-8")
        content, problem = problem_of(name, path)
        assert problem.isprintable()
        assert len(problem) < 2000
        refused += content is None
        for leaf in leaves(content):
            assert not isinstance(leaf, str) or leaf.isprintable()
            assert not isinstance(leaf, float) or math.isfinite(leaf)
        if content and name == "verdict.json":
            assert all(each["outcome"] in OUTCOMES for each in content["statements"])
    # Some mutations change nothing that matters, such as the order of seeds; most are refused.
    assert refused > 0.7 * MUTATIONS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("1" * 5000, "is not JSON"),
        ("[3]", "holds list"),
        ("{}", "claim: Field required"),
        ("\ufeff{}", "is not JSON"),
    ],
)
def test_what_is_not_a_verdict_is_one_sentence(tmp_path, text, says):
    path = tmp_path / "verdict.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CorruptFile, match=says):
        read_verdict(path)


def test_bytes_that_are_not_utf8_are_one_sentence(tmp_path):
    path = tmp_path / "verdict.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(CorruptFile, match="is not JSON"):
        read_json(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("summary", ["reproduced"]),
        ("scale", "huge"),
        ("revision", 0),
        ("statements", "all"),
        ("statements", [3]),
        ("checks", [{"passed": True}]),
        ("caveats", ["\x1b[31mred"]),
        ("title", 7),
    ],
)
def test_a_field_of_a_verdict_is_named(tmp_path, field, value):
    content = json.loads((RESULTS / "verdict.json").read_text(encoding="utf-8"))
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(content | {field: value}), encoding="utf-8")
    with pytest.raises(CorruptFile, match=f"is not a verdict: {field}"):
        read_verdict(path)


def test_a_number_beyond_all_floats_is_refused(tmp_path):
    text = (RESULTS / "verdict.json").read_text(encoding="utf-8")
    path = tmp_path / "verdict.json"
    first = json.loads(text)["statements"][0]["value"]
    path.write_text(text.replace(f'"value": {first!r}', '"value": 1e400', 1), encoding="utf-8")
    with pytest.raises(CorruptFile, match="value"):
        read_verdict(path)


@pytest.mark.parametrize("field", ["commit", "rows", "cpu", "started", "seeds", "packages"])
def test_the_digest_of_a_provenance_holds_every_field(field):
    content = json.loads((RESULTS / "provenance.json").read_text(encoding="utf-8"))
    assert provenance_digest(content) == provenance_digest({**content, "sha256": "any"})
    assert provenance_digest(content) != provenance_digest({**content, field: "other"})
