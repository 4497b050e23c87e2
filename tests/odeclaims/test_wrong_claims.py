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
from odeclaims.claim import Claim, Column
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Check, Statement
from tests.odeclaims.toy_claims import SMALL, make_claim, make_module, x_of

pytestmark = pytest.mark.usefixtures("unchecked")

ROWS = pd.DataFrame({"x": [1.0], "status": "ok"})
COLUMNS = {"x": Column("a number")}


def toy(**rooms) -> Claim:
    return make_claim(columns=COLUMNS, **rooms)


def of_module(module: str) -> Claim:
    return Claim("toy", "A toy", "x.", "nowhere", (), (), COLUMNS, module)


def statement(**changes) -> Statement:
    settings = {"name": "x", "text": "x", "quantity": x_of, "rule": Exact(Bounds()), "because": "."}
    return Statement(**settings | {"central": True} | changes)


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
    (lambda: statement(name="X is"), "statement 'X is' needs a name in lower case, as node_cannot"),
    (lambda: statement(quantity=[1]), "statement x has a quantity that is not a function of rows"),
    (lambda: statement(quantity=lambda df: df["x"]), "statement x has a lambda as its quantity"),
    (lambda: statement(rule=Bounds()), r"statement x has the rule Bounds\(.*, expected a rule"),
    (lambda: Check("X", "x", x_of, Bounds(), "."), "the check 'X' needs a name in lower case"),
    (
        lambda: make_claim(columns={"seed": Column("")}),
        r"redefines the common columns \['seed'\]: leave them out .* Cell\(..., repetition=n\)",
    ),
    (
        lambda: of_module("no_such").cells(Profile("quick")),
        "claim toy needs the module no_such, wh",
    ),
    (lambda: of_module("no_such").description, "claim toy needs the module no_such, which cannot"),
    (
        lambda: of_module("odeclaims.kits").statements,
        "needs the module odeclaims.kits.judge, which",
    ),
    (
        lambda: of_module(make_module()).cells(Profile("quick")),
        "claim toy needs cells in toy_claim",
    ),
    (lambda: of_module(make_module()).measure, "claim toy needs measure in toy_claim"),
    (lambda: of_module(make_module()).statements, "claim toy needs STATEMENTS in toy_claim"),
    (lambda: of_module(make_module()).size, "claim toy needs SIZE in toy_claim"),
    (lambda: of_module(make_module()).figure, "claim toy needs figure in toy_claim"),
    (lambda: of_module(make_module()).table, "claim toy needs table in toy_claim"),
    (lambda: toy(cells=lambda p: None).cells(Profile("quick")), "gives NoneType, no cells"),
    (lambda: toy(cells=lambda p: [1]).cells(Profile("quick")), "gives 1, expected a Cell"),
    (lambda: toy(STATEMENTS=SMALL).statements, "STATEMENTS of claim toy is not a sequence of"),
    (
        lambda: toy(STATEMENTS=["x"]).statements,
        "STATEMENTS of claim toy is not a sequence of Statement",
    ),
    (lambda: toy(STATEMENTS=[]).statements, "claim toy has no central statement"),
    (lambda: toy(STATEMENTS=[statement(central=False)]).statements, "toy has no central statement"),
    (lambda: toy(STATEMENTS=[SMALL, SMALL]).statements, "two statements or checks named small"),
    (
        lambda: toy(STATEMENTS=[statement(rests_on=["y"])]).statements,
        "the statement x of claim toy rests on the check y, which there is not",
    ),
    (lambda: toy(CHECKS=["x"]).checks, "CHECKS of claim toy is not a sequence of Check"),
    (lambda: toy(SIZE=1.0).size, "SIZE of claim toy is 1.0, expected a Size"),
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
