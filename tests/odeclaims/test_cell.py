"""How a cell is named and seeded, how large a profile is, and what a run lends to a cell."""

import pytest
import torch

from neural_ode import NonFinite
from odeclaims.cell import Cell, Context, Profile, guarded


def test_seeds_depend_on_the_cell_but_not_on_paired_parameters():
    def cell(arm: str, size: int = 1, repetition: int = 0) -> Cell:
        return Cell("c", {"arm": arm, "size": size}, repetition, paired=("arm",))

    assert cell("a").seed == cell("b").seed
    seeds = {cell("a", size, r).seed for size in (1, 2) for r in (0, 1)}
    assert len(seeds) == 4
    assert cell("a").key("code") != cell("b").key("code")
    assert cell("a").key("code") != cell("a").key("other code")


def test_generators_of_a_cell_are_equal_and_fresh():
    cell = Cell("c", {})
    first, second = (torch.rand(3, generator=cell.generator()) for _ in range(2))
    assert torch.equal(first, second)


def test_guarded_turns_failures_into_rows_and_lets_bugs_through():
    def fail() -> dict:
        raise NonFinite("no", 0.5)

    def out_of_memory() -> dict:
        raise torch.OutOfMemoryError("no")

    assert guarded(lambda: {"x": 1}) == {"status": "ok", "x": 1}
    assert guarded(fail) == {"status": "nonfinite"}
    assert guarded(out_of_memory) == {"status": "oom"}
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: {"x": 1 / 0})


def test_the_user_sets_the_repetitions():
    counts = {"smoke": 1, "quick": 3, "paper": 5}
    assert len(Profile("quick").repetitions(**counts)) == 3
    assert len(Profile("quick", seeds=7).repetitions(**counts)) == 7


def test_a_cell_outside_of_a_run_tells_nobody_how_far_it_is():
    Context().tell("batch 1")
