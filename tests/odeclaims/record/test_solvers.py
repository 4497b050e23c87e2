"""Claims on several solvers side by side, from what stands in the folders."""

import pytest

from odeclaims.record.files import CorruptFile, write_json
from odeclaims.record.solvers import compare_solvers, folder_of
from odeclaims.statement import summarise
from tests.odeclaims.record.test_compare import statement
from tests.odeclaims.toy_claims import PROVENANCE

WHOLE = PROVENANCE | {"rows": 3, "data_sha256": "0" * 64}


def write(out, statements, solver="ours", profile="quick", missing=(), **more):
    folder = folder_of(out, solver) / profile / "toy"
    central = [each["outcome"] for each in statements if each["central"]]
    verdict = {
        "claim": "toy",
        "title": "A toy",
        "revision": 1,
        "scale": "reduced",
        "size": "half",
        "summary": summarise(central),
        "statements": statements,
        "checks": [],
        "caveats": [],
    }
    write_json(folder / "verdict.json", verdict)
    made = {"solver": solver, "not_offered": list(missing), **more}
    write_json(folder / "provenance.json", WHOLE | made)


def test_statements_stand_side_by_side(tmp_path):
    ours = [
        statement(1.0, name="same"),
        statement(1.0, name="other"),
        statement(1.0, name="lacks"),
        statement(1.0, name="control", central=False),
        statement(None, name="few", outcome="insufficient"),
        statement(1.0, name="short"),
    ]
    theirs = [
        statement(1.1, name="same"),
        statement(2.0, name="other", outcome="not reproduced"),
        statement(None, name="lacks", outcome="not offered"),
        statement(2.0, name="control", central=False, outcome="not reproduced"),
        statement(None, name="few", outcome="not offered"),
        statement(None, name="short", outcome="insufficient"),
    ]
    write(tmp_path, ours)
    write(tmp_path, theirs, "b", missing=["b does not offer tea"])
    write(tmp_path, ours[:2], "a")
    compared = compare_solvers(tmp_path)
    assert compared.solvers == ["a", "b"]
    assert compared.statements["a"].tolist() == ["reproduced", "reproduced", "", "", "", ""]
    # What our own rows cannot decide is not for want of something, and what they can decide is.
    expected = [*(each["outcome"] for each in theirs[:4]), "insufficient", "not offered"]
    assert compared.statements["b"].tolist() == expected
    assert compared.lacking == {"a": [], "b": ["b does not offer tea"]}
    assert compared.differing("b")["statement"].tolist() == ["other", "control"]
    assert compared.summary("a") == "a: 2 of 2 central statements judged; 2 come out as on ours."
    assert compared.summary("b") == (
        "b: 2 of 5 central statements judged, 2 not offered, 1 insufficient; 1 comes out as on"
        " ours; 1 is decided otherwise: toy (quick) other."
    )


def test_one_profile_alone(tmp_path):
    for profile, outcome in (("quick", "reproduced"), ("paper", "undecided")):
        write(tmp_path, [statement(1.0)], profile=profile)
        write(tmp_path, [statement(1.0, outcome=outcome)], "a", profile)
    assert len(compare_solvers(tmp_path).statements) == 2
    assert compare_solvers(tmp_path, "paper").statements["a"].tolist() == ["undecided"]


def test_folders_without_another_solver(tmp_path):
    write(tmp_path, [statement(1.0)])
    with pytest.raises(FileNotFoundError, match="has no results of another solver"):
        compare_solvers(tmp_path)
    write(tmp_path, [statement(1.0)], "a", "paper")
    with pytest.raises(FileNotFoundError, match="--solver BACKEND"):
        compare_solvers(tmp_path)


def test_a_stopped_run_of_one_solver_hides_no_other(tmp_path):
    write(tmp_path, [statement(1.0)])
    write(tmp_path, [statement(1.0)], "a")
    (tmp_path / "solvers" / "b" / "cells" / "toy").mkdir(parents=True)
    assert compare_solvers(tmp_path).solvers == ["a"]


def test_other_seeds_are_named(tmp_path):
    write(tmp_path, [statement(1.0)])
    write(tmp_path, [statement(1.0)], "a", seeds=[1, 2])
    assert compare_solvers(tmp_path).lacking == {
        "a": ["a and ours measured different seeds of toy (quick)"]
    }


def test_results_of_another_solver_than_the_folder_says(tmp_path):
    write(tmp_path, [statement(1.0)])
    write(tmp_path, [statement(1.0)], "a")
    write(tmp_path, [statement(1.0)], "b")
    path = tmp_path / "solvers" / "a" / "quick" / "toy"
    write_json(path / "provenance.json", WHOLE | {"solver": "ours"})
    with pytest.raises(CorruptFile, match="holds results of the solver ours, expected those of a"):
        compare_solvers(tmp_path)


def test_no_other_solver_has_our_name(tmp_path):
    write(tmp_path, [statement(1.0)])
    (tmp_path / "solvers" / "ours").mkdir(parents=True)
    with pytest.raises(ValueError, match="has the name of our solver"):
        compare_solvers(tmp_path)


def test_a_verdict_without_its_provenance_is_named(tmp_path):
    write(tmp_path, [statement(1.0)])
    write(tmp_path, [statement(1.0)], "a")
    path = tmp_path / "solvers" / "a" / "quick" / "toy" / "provenance.json"
    path.unlink()
    with pytest.raises(CorruptFile, match="is missing beside its verdict"):
        compare_solvers(tmp_path)
