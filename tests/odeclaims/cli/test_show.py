"""``odeclaims show``: what is known of a claim."""

import json
import re
import shutil

from tests.odeclaims.cli.toy import one_sentence


def test_show_tells_what_is_known_of_a_claim(done):
    code, output, errors = done("show", "toy")
    assert (code, errors) == (0, "")
    largest = f"{done.rows()['x'].max():.1f}"
    for text in ("x is below 97.", "Source: nowhere", "1 of 1 reproduced", largest, "published"):
        assert text in output
    assert re.search(r"repetition +┃ x", output)
    assert "- all of it" in output
    assert "profile quick" in output


def test_show_makes_the_table_where_no_file_has_it_and_reads_the_file_where_it_is(done):
    first = done("show", "toy")[1]
    assert done("tables")[0] == 0
    assert done("show", "toy")[1] == first
    table = done.out / "quick" / "toy" / "table.csv"
    table.write_text("a,b\n\x1b[31m1,[red]2\n")
    output = done("show", "toy")[1]
    assert "\\x1b[31m1" in output
    assert "[red]2" in output
    for broken in (b"\xff", b""):
        table.write_bytes(broken)
        code, _, errors = done("show", "toy")
        assert code == 2
        assert "table.csv is not a table" in one_sentence(errors)


def test_show_names_failed_checks_caveats_and_the_other_profiles(done):
    assert done("tables")[0] == 0
    path = done.out / "quick" / "toy" / "verdict.json"
    verdict = json.loads(path.read_text())
    check = {"name": "whole", "text": "the instrument is whole", "passed": False, "values": 3}
    check |= {"outside": 2, "example": 5.0, "holds_if": "at most 4", "because": "it must be"}
    path.write_text(json.dumps(verdict | {"checks": [check], "caveats": ["mind [b] the gap"]}))
    shutil.copytree(done.out / "quick", done.out / "paper")
    path.write_text(json.dumps(verdict | {"scale": "reduced"}))
    output = done("show", "toy")[1]
    assert "0 of 1 checks of the instrument passed." in output
    assert "the instrument is whole: 2 of 3 values are not at most 4 (it must be)" in output
    assert "- mind [b] the gap" in output
    assert "results at other profiles too: `--profile quick`." in output
    assert "Scale: reduced" in done("show", "toy", "--profile", "quick")[1]


def test_show_of_what_is_not_there(toy):
    for arguments, says in ((["tyo"], "did you mean toy?"), (["toy"], "has no results of toy")):
        code, _, errors = toy("show", *arguments)
        assert code == 2
        assert says in one_sentence(errors)
