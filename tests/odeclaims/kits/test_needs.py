"""What each need says of rows on both sides of its bound."""

from functools import partial

import pandas as pd
import pytest

from odeclaims.kits import needs
from odeclaims.kits.rows import of


def rows(seeds: int = 3, **columns) -> pd.DataFrame:
    """Two rows a seed; the second half belongs to another arm, and has one seed alone."""
    node = pd.DataFrame({"arm": "node", "repetition": [s for s in range(seeds) for _ in (0, 1)]})
    other = pd.DataFrame({"arm": ["resnet"], "repetition": [0]})
    return pd.concat([node, other], ignore_index=True).assign(**columns)


node = partial(of, arm="node")


def test_seeds_are_counted_once_and_among_the_rows_that_are_meant():
    assert needs.seeds(3)(rows()) == needs.seeds(3, node)(rows()) == ""
    assert needs.seeds(4)(rows()) == "3 of at least 4 seeds"
    assert needs.seeds(2, partial(of, arm="resnet"))(rows()) == "1 of at least 2 seeds"
    assert needs.seeds(1, partial(of, arm="euler"))(rows()) == "0 of at least 1 seeds"


def test_every_part_of_a_budget_has_to_be_reached():
    need = needs.budget(epochs=5, images=60_000)
    assert need(rows(epochs=5, images=60_000)) == ""
    assert need(rows(epochs=4, images=60_000)) == (
        "4 epochs of 60000 images, at least 5 of 60000 needed"
    )
    assert need(rows(epochs=9, images=59_999)) == (
        "9 epochs of 59999 images, at least 5 of 60000 needed"
    )


def test_a_budget_is_that_of_the_largest_training_among_the_rows():
    df = rows()
    df["epochs"] = [5.0, *[1.0] * (len(df) - 1)]
    assert needs.budget(epochs=5)(df) == needs.budget(node, epochs=5)(df) == ""
    assert needs.budget(partial(of, arm="resnet"), epochs=5)(df) != ""


def test_no_rows_are_no_training():
    assert needs.budget(epochs=5)(rows(epochs=5).iloc[:0]) != ""


@pytest.mark.parametrize(
    ("passing", "least_share", "least", "met"),
    [
        (5, 1.0, 0, True),
        (4, 1.0, 0, False),
        (4, 0.8, 0, True),
        (3, 0.8, 0, False),
        (4, 0.8, 5, False),
        (5, 0.8, 5, True),
    ],
)
def test_a_share_of_the_seeds_and_so_many_of_them_have_to_pass(passing, least_share, least, met):
    need = needs.share(
        lambda df: df.head(passing),
        node,
        "can be solved back",
        least_share=least_share,
        least=least,
    )
    assert need(rows(5)) == ("" if met else f"{passing} of 5 seeds can be solved back")


def test_a_span_is_the_ratio_of_the_largest_to_the_smallest():
    df = rows(h=[0.1, 0.8, *[0.2] * 5])
    assert needs.span("h", 8, "steps span")(df) == ""
    assert needs.span("h", 9, "steps span")(df) == "steps span a factor of 8, at least 9 needed"
    resnet = partial(of, arm="resnet")
    assert needs.span("h", 2, "they span", resnet)(df) == (
        "they span a factor of 1, at least 2 needed"
    )
    assert needs.span("h", 2, "they span")(df.iloc[:0]) != ""
