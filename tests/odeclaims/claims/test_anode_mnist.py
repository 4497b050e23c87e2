"""The rows of small nets, that a run can be stopped, and the verdict on made-up accuracies."""

from collections.abc import Iterator

import pandas as pd
import pytest
import torch
from odeclaims.validity import STAMP_COLUMNS

from neural_ode.data import MNIST
from odeclaims.claim import Cell, Profile
from odeclaims.claims import anode_mnist as claim
from odeclaims.claims.anode_mnist import ALL_IMAGES, ARMS, CLAIM, PUBLISHED_EPOCHS, TOLERANCES

SMALL = {
    "images": 8,
    "test_images": 10,
    "batch_size": 4,
    "epochs": 2,
    "evaluated": 2,
    "reference_steps": 64,
}


def digits(count: int) -> MNIST:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 28, 28), generator=generator, dtype=torch.uint8)
    return MNIST(images, torch.arange(count) % 10)


@pytest.fixture(autouse=True, scope="module")
def noise() -> Iterator[None]:
    """A few digits of noise in the place of MNIST."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claim.mnist, "load", lambda split: digits(20))
        yield


def measured(arm: str = "anode", time_dependent: bool = False, **settings) -> pd.DataFrame:
    params = {
        "arm": arm,
        "filters": 3,
        "augment_dim": ARMS[arm].augment_dim,
        "time_dependent": time_dependent,
        **SMALL,
    }
    rows = CLAIM.measure(Cell(CLAIM.slug, params, **settings))
    df = pd.DataFrame([{**params, "repetition": 0, "status": "ok", **row} for row in rows])
    assert set(df.columns) <= set(CLAIM.all_columns)
    return df


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("time_dependent", [False, True])
def test_a_net_is_trained_and_looked_at_at_both_tolerances(arm, time_dependent):
    df = measured(arm, time_dependent)
    training, results = (df[df["kind"] == kind] for kind in ("training", "result"))
    assert training["epoch"].tolist() == [1, 2]
    assert training["test_accuracy"].between(0, 1).all()
    columns = ["loss", "training_nfe_forward", "training_nfe_backward"]
    assert training[columns].notna().all(axis=None)
    assert results["tolerance"].tolist() == list(TOLERANCES.values())
    assert results[["nfe_forward", *STAMP_COLUMNS]].notna().all(axis=None)
    loose, checked = results["nfe_forward"]
    assert loose < checked
    assert results["reconstruction_error"].iloc[1] < results["reconstruction_error"].iloc[0]
    assert results["gradient_error"].iloc[1] < 1e-2


class Stopped(Exception):
    pass


def test_a_stopped_run_goes_on_to_the_same_rows(tmp_path, monkeypatch):
    whole = measured()
    checkpoint, frozen = tmp_path / "state", claim._frozen

    def interrupt(*arguments):
        raise Stopped

    monkeypatch.setattr(claim, "_frozen", interrupt)
    with pytest.raises(Stopped):
        measured(checkpoint=checkpoint)
    monkeypatch.setattr(claim, "_frozen", frozen)
    pd.testing.assert_frame_equal(measured(checkpoint=checkpoint), whole)


def test_a_solve_that_fails_is_a_row(monkeypatch):
    monkeypatch.setitem(TOLERANCES, "checked", 1e-14)
    monkeypatch.setattr(claim, "STEP_LIMIT", 10)
    loose, checked = measured().query("kind == 'result'")["status"]
    assert (loose, checked) == ("ok", "max_steps")


def test_every_profile_but_smoke_has_the_published_nets():
    expected = {
        ("node", False): 84_395,
        ("anode", False): 84_816,
        ("node", True): 85_316,
        ("anode", True): 85_462,
    }
    for name in ("quick", "hour", "paper"):
        cells = list(CLAIM.cells(Profile(name)))
        assert {(c.params["filters"], c.params["augment_dim"]) for c in cells} == {(92, 0), (64, 5)}
        assert {(c.params["arm"], c.params["time_dependent"]) for c in cells} == set(expected)
        assert not any(cell.alone for cell in cells)
    for (arm, time_dependent), count in expected.items():
        net = ARMS[arm]
        model = claim.ImageOdeModel(
            net.filters, augment_dim=net.augment_dim, time_dependent=time_dependent
        )
        assert sum(p.numel() for p in model.parameters()) == count


def test_paper_is_the_published_budget_and_arms_see_the_same_batches():
    paper = list(CLAIM.cells(Profile("paper")))
    published = {"images": 60_000, "test_images": 10_000, "batch_size": 256, "epochs": 20}
    assert all(published.items() <= cell.params.items() for cell in paper)
    assert {cell.repetition for cell in paper} == set(range(5))
    assert len({cell.seed for cell in paper}) == 5


PUBLISHED = {"node": (95.9, 96.4, 96.9), "anode": (98.1, 98.2, 98.3)}
FIELDS = ((False, "time-independent"), (True, "time-dependent"))


def made_up(
    accuracies: dict[str, tuple[float, ...]] = PUBLISHED,
    nfe: tuple[int, int] = (190, 100),
    invalid: tuple[tuple[str, int], ...] = (),
    variants: tuple[bool, ...] = (False, True),
    epochs: int = PUBLISHED_EPOCHS,
    images: int = ALL_IMAGES,
) -> pd.DataFrame:
    """Rows of nets with these accuracies in percent, a seed each.

    Args:
        accuracies: after the last epoch; the one before was a point lower.
        nfe: checked, of NODE and ANODE.
        invalid: (arm, seed) whose checked flow fails a check.
        variants: which are not left out.
        epochs, images: the budget.
    """
    rows = []
    for time_dependent in variants:
        for arm, evaluations in zip(ARMS, nfe, strict=True):
            for seed, accuracy in enumerate(accuracies[arm]):
                common = {
                    **SMALL,
                    "arm": arm,
                    "filters": ARMS[arm].filters,
                    "augment_dim": ARMS[arm].augment_dim,
                    "time_dependent": time_dependent,
                    "epochs": epochs,
                    "images": images,
                    "parameters": 84_395,
                    "repetition": seed,
                    "status": "ok",
                }
                rows += [
                    {
                        **common,
                        "kind": "training",
                        "epoch": epochs - before,
                        "loss": 0.1,
                        "test_accuracy": (accuracy - before) / 100,
                        "training_nfe_forward": 30.0,
                        "training_nfe_backward": 40.0,
                    }
                    for before in (1, 0)
                ]
                rows += [
                    {
                        **common,
                        "kind": "result",
                        "role": role,
                        "tolerance": tolerance,
                        "nfe_forward": evaluations if role == "checked" else 30,
                        "valid": role == "checked" and (arm, seed) not in invalid,
                    }
                    for role, tolerance in TOLERANCES.items()
                ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    """Separation, distances of NODE and ANODE, and NFE; without and then with time."""
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements]


def test_the_published_table_is_reproduced():
    verdict = CLAIM.judge(made_up())
    assert [j.outcome for j in verdict.judgements] == ["reproduced"] * 8
    values = [judgement.value for judgement in verdict.judgements[:4]]
    assert values == pytest.approx([1.8 / 0.6, 0, 0, 1.9])
    assert verdict.outcome == "reproduced"


@pytest.mark.parametrize(
    ("change", "index", "outcome", "verdict"),
    [
        # The order alone; no order at all; the order, but far from the published means.
        ({"anode": (96.5, 97.6, 98.3)}, 0, "partly", "partly"),
        ({"anode": (95.8, 96.3, 96.8)}, 0, "not reproduced", "not reproduced"),
        ({"node": (94.1, 94.2, 94.3)}, 1, "partly", "partly"),
        ({"anode": (99.6, 99.7, 99.8)}, 2, "partly", "partly"),
    ],
)
def test_accuracies_decide(change, index, outcome, verdict):
    df = made_up(PUBLISHED | change)
    assert outcomes(df)[index] == outcomes(df)[4 + index] == outcome
    assert CLAIM.judge(df).outcome == verdict


def test_evaluations_and_the_time_dependent_variant_do_not_decide():
    df = made_up(nfe=(110, 100))
    assert outcomes(df) == (["reproduced"] * 3 + ["not reproduced"]) * 2
    assert CLAIM.judge(df).outcome == "reproduced"
    swapped = {"node": PUBLISHED["anode"], "anode": PUBLISHED["node"]}
    mixed = pd.concat([made_up(variants=(False,)), made_up(swapped, variants=(True,))])
    assert outcomes(mixed)[4] == "not reproduced"
    assert CLAIM.judge(mixed).outcome == "reproduced"


def test_evaluations_of_a_flow_that_fails_its_checks_do_not_speak():
    df = made_up(nfe=(50, 100), invalid=(("node", 0), ("anode", 1), ("node", 2)))
    assert outcomes(df)[3] == "insufficient"


@pytest.mark.parametrize(
    "df",
    [
        made_up(epochs=4),
        made_up(images=59_999),
        made_up({arm: values[:2] for arm, values in PUBLISHED.items()}),
        made_up(PUBLISHED | {"node": (96.4,)}),
    ],
)
def test_a_small_budget_is_no_evidence(df):
    assert set(outcomes(df)) == {"insufficient"}


def test_the_budget_is_a_caveat():
    small = CLAIM.judge(made_up(epochs=4, images=100, invalid=(("node", 0),))).caveats
    assert small[0].startswith("Trained for 4 epochs of 100 images in batches of 4, not for 20 of")
    assert "0 of 12 trained flows pass the validity checks at 0.001." in small
    assert "10 of 12 trained flows pass the validity checks at 1e-06." in small
    assert not any("Trained for" in caveat for caveat in CLAIM.judge(made_up()).caveats)


def test_published_rows_and_ours_stand_in_one_table():
    table = CLAIM.table(made_up())
    assert table["net"].tolist() == ["NODE"] * 3 + ["ANODE"] * 3
    assert table["test accuracy (%)"].tolist()[:2] == ["96.4 +- 0.5", "96.4 +- 0.50"]
    assert table["field"].tolist()[1:3] == [name for _, name in FIELDS]
    assert table["NFE at 1e-06"].tolist() == ["", "190", "190", "", "100", "100"]
    assert table["valid at 1e-03"].tolist()[1] == "0 of 3"


def test_the_figure_has_a_line_for_every_seed_and_mean():
    accuracy, evaluations, frozen = CLAIM.figure(made_up()).axes
    assert len(accuracy.lines) == len(evaluations.lines) == 4 * (3 + 1)
    assert len(frozen.lines) == 4 * 3 * len(TOLERANCES)
