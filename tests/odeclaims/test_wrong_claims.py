"""What the parts of a claim say where they are put together wrongly: one sentence each."""

# Wrong types are the subject.
# pyright: reportArgumentType=false

import sys
from types import ModuleType

import pandas as pd
import pytest
import torch

from odeclaims import claims
from odeclaims.cell import Cell, Profile, guarded
from odeclaims.claim import Bounds, Claim, Column, Criterion
from tests.odeclaims.toy_claims import make_claim, make_module

pytestmark = pytest.mark.usefixtures("unchecked")

ROWS = pd.DataFrame({"x": [1.0], "status": "ok"})
COLUMNS = {"x": Column("a number")}


def toy(**rooms) -> Claim:
    return make_claim(columns=COLUMNS, **rooms)


def of_module(module: str) -> Claim:
    return Claim("toy", "A toy", "x.", "nowhere", (), (), COLUMNS, module)


def criterion(**changes) -> Criterion:
    settings = {"name": "x", "values": lambda df: df["x"], "reproduced": Bounds(), "because": "."}
    return Criterion(**settings | changes)


CASES = [
    (lambda: Profile("x"), "there is no profile 'x'; expected smoke or quick or hour or paper"),
    (lambda: Profile("Quick"), "there is no profile 'Quick'; did you mean quick"),
    (lambda: Profile(None), "there is no profile None; expected smoke or"),
    (lambda: Profile("quick", 0), "seeds is 0, expected at least 1"),
    (lambda: Profile("quick", 2.5), "seeds is 2.5, expected a whole number"),
    (
        lambda: Profile("quick", device=torch.device("cpu")),
        r"device is device\(.*, expected the na",
    ),
    (lambda: Cell("toy", {"x": torch.zeros(2)}), r"a cell of toy has parameters that cannot name"),
    (lambda: Cell("toy", {1: 2, "x": 3}), "a cell of toy has parameters that cannot name it"),
    (lambda: Cell("toy", None), "a cell of toy has parameters that cannot name it"),
    (lambda: Cell("toy", {}, -1), "repetition is -1, expected at least 0"),
    (lambda: Cell("toy", {}, "1"), "repetition is '1', expected a whole number"),
    (lambda: Cell("toy", {}, device=None), "device is None, expected the name of a torch device"),
    (lambda: guarded(lambda: None), "observe returned NoneType, expected a row: a dictionary"),
    (lambda: guarded(lambda: [{"x": 1}]), "observe returned list, expected a row: a dictionary"),
    (lambda: Bounds(2, 1), "no value is at least 2 and at most 1"),
    (lambda: Bounds(float("nan")), "no value is at least nan and at most inf"),
    (lambda: criterion(statistic="mean"), "'x' judges the 'mean', expected median or min or max"),
    (lambda: criterion(values=[1]), "'x' has values that are no function of rows"),
    (lambda: criterion(reproduced=(0, 1)), r"'x' has the range \(0, 1\), expected Bounds"),
    (lambda: criterion(partly=0.5), "'x' has the range 0.5, expected Bounds"),
    (lambda: make_claim(columns={"seed": Column("")}), r"redefines the common columns \['seed'\]"),
    (
        lambda: of_module("no_such").cells(Profile("quick")),
        "claim toy needs the module no_such, wh",
    ),
    (lambda: of_module("no_such").description, "claim toy needs the module no_such, which cannot"),
    (lambda: of_module("odeclaims.kits").criteria, "needs the module odeclaims.kits.judge, which"),
    (
        lambda: of_module(make_module()).cells(Profile("quick")),
        "claim toy needs cells in toy_claim",
    ),
    (lambda: of_module(make_module()).measure, "claim toy needs measure in toy_claim"),
    (lambda: of_module(make_module()).criteria, "claim toy needs CRITERIA in toy_claim"),
    (lambda: of_module(make_module()).figure, "claim toy needs figure in toy_claim"),
    (lambda: of_module(make_module()).table, "claim toy needs table in toy_claim"),
    (lambda: toy(cells=lambda p: None).cells(Profile("quick")), "gives NoneType, no cells"),
    (lambda: toy(cells=lambda p: [1]).cells(Profile("quick")), "gives 1, expected a Cell"),
    (lambda: toy(CRITERIA=criterion()).criteria, "CRITERIA of claim toy is no sequence of Criteri"),
    (lambda: toy(CRITERIA=["x"]).criteria, "CRITERIA of claim toy is no sequence of Criterion"),
    (lambda: toy(CRITERIA=[]).criteria, "claim toy has no criterion that decides"),
    (lambda: toy().judge(ROWS.drop(columns="status")), "of claim toy have no column 'status'"),
]


@pytest.mark.parametrize(("make", "words"), CASES, ids=[words for _, words in CASES])
def test_what_is_wrong_is_one_sentence(make, words):
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, r"^claims/odd\.py defines no CLAIM$"),
        ({"CLAIM": "odd"}, r"^claims/odd\.py defines a CLAIM that is str, no Claim$"),
        ({"CLAIM": toy()}, r"^claims/odd\.py holds 'toy', expected its own name$"),
    ],
)
def test_a_file_without_its_claim_is_named(monkeypatch, tmp_path, content, words):
    (tmp_path / "odd.py").touch()
    module = ModuleType("odeclaims.claims.odd")
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(claims, "__path__", [str(tmp_path)])
    with pytest.raises(ValueError, match=words):
        claims.find_claims()


def test_a_file_that_cannot_be_imported_is_named(monkeypatch, tmp_path):
    (tmp_path / "odd.py").write_text("import no_such")
    monkeypatch.setattr(claims, "__path__", [str(tmp_path)])
    with pytest.raises(ValueError, match=r"^claims/odd\.py cannot be imported: .*no_such"):
        claims.find_claims()
