"""The rows of a small run, that it can be stopped, and the verdict on made-up curves."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from odeclaims.validity import RECONSTRUCTION_LIMIT, STAMP_COLUMNS

from neural_ode.data import MNIST
from neural_ode.networks import OdeClassifier
from odeclaims.claim import Cell, Profile
from odeclaims.claims import nfe_growth as claim
from odeclaims.claims.nfe_growth import CLAIM, TOLERANCES

SMALL = {
    "task": "mnist",
    "channels": 4,
    "images": 8,
    "test_images": 10,
    "batch_size": 4,
    "epochs": 2,
    "evaluated": 2,
    "reference_steps": 8,
}


def digits(count: int) -> MNIST:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 28, 28), generator=generator, dtype=torch.uint8)
    return MNIST(images, torch.arange(count) % 10)


@pytest.fixture(autouse=True, scope="module")
def cheap() -> Iterator[None]:
    """A few digits of noise, and a looser checked tolerance: no test depends on either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claim.mnist, "load", lambda split: digits(20))
        patch.setitem(TOLERANCES, "checked", 1e-5)
        yield


def measured(**settings) -> pd.DataFrame:
    rows = CLAIM.measure(Cell(CLAIM.slug, SMALL, **settings))
    return pd.DataFrame([{**SMALL, "repetition": 0, **row} for row in rows])


@pytest.fixture(scope="module")
def whole(cheap) -> pd.DataFrame:
    """The rows of a run that was not stopped."""
    return measured()


def test_both_tolerances_are_observed_at_every_epoch(whole):
    df = whole
    assert set(df["status"]) == {"ok"}
    assert df["epoch"].tolist() == [0, 0, 1, 1, 2, 2]
    assert df["role"].tolist() == ["loose", "checked"] * 3
    assert df["tolerance"].tolist() == list(TOLERANCES.values()) * 3
    # dopri5: two evaluations before the first step, and six in each.
    assert ((df["nfe_forward"] - 2) % 6 == 0).all()
    loose, checked = (df[df["role"] == role] for role in ("loose", "checked"))
    assert (checked["nfe_forward"].to_numpy() > loose["nfe_forward"].to_numpy()).all()
    assert (checked["reconstruction_error"] < RECONSTRUCTION_LIMIT).all()
    trained = df[df["epoch"] > 0]
    assert trained[["loss", "training_nfe_forward", "training_nfe_backward"]].notna().all(axis=None)
    assert df[df["epoch"] == 0]["loss"].isna().all()
    assert df[["test_error", *STAMP_COLUMNS]].notna().all(axis=None)
    assert set(df.columns) <= set(CLAIM.all_columns)


class Stopped(Exception):
    pass


def test_a_stopped_run_goes_on_to_the_same_rows(whole, tmp_path, monkeypatch):
    looks = []
    observe = claim._observe

    def interrupt(*arguments):
        looks.append(1)
        # The untrained net, the first epoch, the second: its training and its rows are lost.
        if len(looks) == 3:
            raise Stopped
        return observe(*arguments)

    checkpoint = tmp_path / "state"
    monkeypatch.setattr(claim, "_observe", interrupt)
    with pytest.raises(Stopped):
        measured(checkpoint=checkpoint)
    resumed = measured(checkpoint=checkpoint)
    pd.testing.assert_frame_equal(resumed, whole)
    # The untrained net is looked at again, the first epoch is not.
    assert len(looks) == 3 + 2
    # A run stopped between its last epoch and its last row has nothing left to train.
    pd.testing.assert_frame_equal(measured(checkpoint=checkpoint), whole)
    assert len(looks) == 3 + 2 + 1


def test_looking_leaves_the_net_as_it_is():
    model = OdeClassifier(4, generator=torch.Generator().manual_seed(0), rtol=0.1, atol=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    claim._observe(model, digits(2), 4)
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(p.grad is None for p in model.parameters())


def test_a_solve_that_fails_is_a_row(monkeypatch):
    monkeypatch.setattr(claim, "STEP_LIMIT", 10)
    loose, checked = claim._observe(
        OdeClassifier(4, generator=torch.Generator().manual_seed(0)), digits(2), 4
    )
    assert loose["status"] == "ok"
    assert checked == {
        "role": "checked",
        "tolerance": TOLERANCES["checked"],
        "status": "max_steps",
    }


def curve(growth: float, epochs: int = 8) -> list[float]:
    """NFE of the untrained net and after each epoch, rising evenly."""
    return [500, *(200 * growth ** (i / (epochs - 1)) for i in range(epochs))]


def made_up(checked: list[list[float]], loose: list[list[float]] | None = None) -> pd.DataFrame:
    """Rows of nets with these NFE after each epoch, from 0 on, valid at the checked tolerance."""
    rows = [
        {
            **SMALL,
            "epochs": len(nfe) - 1,
            "epoch": epoch,
            "test_error": 0.5 / (1 + epoch),
            "role": role,
            "tolerance": TOLERANCES[role],
            "nfe_forward": value,
            "rejected": 0,
            "reconstruction_error": 1e-5 if role == "checked" else 2e-2,
            "gradient_error": 1e-3 if role == "checked" else 1e-1,
            "reference_error": 1e-4,
            "valid": role == "checked",
            "status": "ok",
            "repetition": seed,
        }
        for role, curves in (("checked", checked), ("loose", loose or checked))
        for seed, nfe in enumerate(curves)
        for epoch, value in enumerate(nfe)
    ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def outcomes(df: pd.DataFrame) -> list[str]:
    """How the criteria of the digits are judged."""
    return [judgement.outcome for judgement in CLAIM.judge(df).judgements[:4]]


POINTS = {
    "points": 3000,
    "batch_size": 64,
    "epochs": 12,
    "evaluated": 64,
    "reference_steps": 128,
}


def toys(
    node: tuple[float, float] = (100, 200),
    anode: tuple[float, float] = (100, 110),
    task: str = "spheres",
    seeds: int = 5,
    invalid: tuple[tuple[int, str, int], ...] = (),
    **size: int,
) -> pd.DataFrame:
    """Rows of seeds with these NFE after the first and the last epoch, and between them.

    Args:
        node, anode: NFE after the first and the last epoch.
        invalid: (seed, arm, epoch) that fail a check.
    """
    size = {**POINTS, **size}
    rows = [
        {
            **size,
            "task": task,
            "arm": arm,
            "augment_dim": claim.ARMS[arm],
            "epoch": epoch,
            "test_error": 0.1,
            "role": role,
            "tolerance": tolerance,
            "nfe_forward": first + (last - first) * (epoch - 1) / (size["epochs"] - 1),
            "rejected": 0,
            "reconstruction_error": 1e-5 if role == "checked" else 2e-2,
            "gradient_error": 1e-3,
            "reference_error": 1e-4,
            "valid": role == "checked" and (seed, arm, epoch) not in invalid,
            "status": "ok",
            "repetition": seed,
        }
        for seed in range(seeds)
        for arm, (first, last) in (("node", node), ("anode", anode))
        for role, tolerance in claim.TOY_TOLERANCES.items()
        for epoch in range(size["epochs"] + 1)
    ]
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))


def whole_outcome(digits: pd.DataFrame, points: pd.DataFrame) -> str:
    return CLAIM.judge(pd.concat([digits, points], ignore_index=True)).outcome


def test_growth_in_every_seed_is_reproduced():
    df = made_up([curve(1.9)] * 5)
    assert outcomes(df) == ["reproduced"] * 4
    values = [judgement.value for judgement in CLAIM.judge(df).judgements[:4]]
    assert values == pytest.approx([1, 1, 1.9, 1])


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        # Four seeds of five are enough, three are not.
        ([curve(1.9)] * 4 + [curve(1.0)], "reproduced"),
        ([curve(1.9)] * 3 + [curve(1.0)] * 2, "not reproduced"),
        # Steady but small; large but at once, and back in between.
        ([curve(1.19)] * 5, "not reproduced"),
        ([[500, 200, 300, 290, 280, 270, 260, 250, 301]] * 5, "not reproduced"),
        # Falling, and never changing.
        ([curve(0.5)] * 5, "not reproduced"),
        ([curve(1.0)] * 5, "not reproduced"),
        # What comes before the first epoch does not count.
        ([[100, *curve(1.0)[1:]]] * 5, "not reproduced"),
    ],
)
def test_the_share_of_seeds_decides(curves, expected):
    df = made_up(curves)
    assert outcomes(df)[0] == expected
    assert whole_outcome(df, toys()) == expected


def test_a_loose_tolerance_can_hide_the_growth_without_deciding():
    df = made_up([curve(1.9)] * 3, loose=[[20.0] * 9] * 3)
    assert outcomes(df) == ["reproduced"] * 3 + ["not reproduced"]
    assert whole_outcome(df, toys()) == "reproduced"


def test_too_little_evidence_is_insufficient():
    few_seeds, few_epochs = made_up([curve(1.9)] * 2), made_up([curve(1.9, epochs=5)] * 5)
    assert outcomes(few_seeds) == outcomes(few_epochs) == ["insufficient"] * 4
    failed = pd.DataFrame([{**SMALL, "epochs": 8, "status": "underflow", "repetition": 3}])
    df = pd.concat([made_up([curve(1.9)] * 3), failed], ignore_index=True)
    judgement = CLAIM.judge(df).judgements[0]
    assert judgement.outcome == "insufficient"
    assert judgement.lacking.startswith("3 of 4 seeds")


def invalid(df: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """One seed fails the check at the checked tolerance after this epoch."""
    chosen = (df["role"] == "checked") & (df["repetition"] == 0) & (df["epoch"] == epoch)
    df.loc[chosen, "valid"] = False
    df.loc[chosen, "reconstruction_error"] = 1.0
    df.loc[chosen, "nfe_forward"] = 1.0
    return df


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, "reproduced"), (4, "reproduced"), (1, "insufficient"), (8, "insufficient")],
)
def test_a_failed_check_never_speaks(epoch, expected):
    """A gap inside the curve is left out; without its ends there is no curve."""
    assert outcomes(invalid(made_up([curve(1.9)] * 3), epoch))[0] == expected


def test_digits_and_points_are_judged_apart():
    df = pd.concat([made_up([curve(1.9)] * 3), toys((100, 50), (100, 90))], ignore_index=True)
    assert outcomes(df) == ["reproduced"] * 4
    assert toy_outcomes(df) == ["not reproduced"] * 3
    df = pd.concat([made_up([curve(0.5)] * 3), toys()], ignore_index=True)
    assert outcomes(df) == ["not reproduced"] * 4
    assert toy_outcomes(df) == ["reproduced"] * 3


def toy_outcomes(df: pd.DataFrame, task: str = "spheres") -> list[str]:
    judgements = CLAIM.judge(df).judgements
    return [j.outcome for j in judgements if j.criterion.name.startswith(task)]


@pytest.mark.parametrize(
    ("node", "anode", "expected"),
    [
        # Growth of the NODE, its lead, and the NFE of both in the end.
        ((100, 200), (100, 110), ["reproduced"] * 3),
        ((100, 119), (50, 52), ["not reproduced", "not reproduced", "reproduced"]),
        ((100, 119), (50, 50), ["not reproduced", "reproduced", "reproduced"]),
        ((100, 200), (50, 100), ["reproduced", "not reproduced", "reproduced"]),
        ((100, 200), (150, 180), ["reproduced", "reproduced", "not reproduced"]),
    ],
)
def test_each_rule_of_the_two_arms_can_fail_alone(node, anode, expected):
    for task in claim.TOYS:
        assert toy_outcomes(toys(node, anode, task), task) == expected


def test_spheres_decide_and_sines_do_not():
    digits, failing = made_up([curve(1.9)] * 3), ((100, 100), (100, 100))
    sines = toys(*failing, task="sines")
    assert whole_outcome(digits, pd.concat([toys(), sines])) == "reproduced"
    assert whole_outcome(digits, toys(*failing)) == "not reproduced"


@pytest.mark.parametrize(
    ("invalid", "expected"),
    [
        # One seed of five may fail, in either arm and at either end; between them nothing counts.
        ((), "reproduced"),
        (((0, "node", 1),), "reproduced"),
        (((0, "node", 12), (0, "anode", 1)), "reproduced"),
        (((0, "node", 5), (1, "node", 5)), "reproduced"),
        (((0, "node", 12), (1, "anode", 12)), "insufficient"),
    ],
)
def test_only_seeds_that_pass_the_checks_speak(invalid, expected):
    assert toy_outcomes(toys(invalid=invalid)) == [expected] * 3


@pytest.mark.parametrize("lacking", [{"seeds": 4}, {"epochs": 11}, {"points": 2999}])
def test_a_small_budget_of_points_is_insufficient(lacking):
    assert toy_outcomes(toys(**lacking)) == ["insufficient"] * 3


def test_the_caveats_say_what_points_have_taught_and_what_failed():
    text = " ".join(CLAIM.judge(toys(invalid=((0, "node", 1),))).caveats)
    assert "On spheres, after 12 epochs of 3,000 points, the NODE gets 10.0% wrong" in text
    assert "4 of 5 seeds pass the checks at both ends of training, in both arms" in text
    assert "On spheres, 130 of 130 solves at 0.001 fail" in text
    assert "1 of 130 solves at 1e-06 fail a validity check (NODE 1, ANODE 0)" in text
    assert "sines" not in text


SMALL_POINTS = {
    **POINTS,
    "points": 48,
    "batch_size": 16,
    "epochs": 2,
    "evaluated": 8,
    "reference_steps": 64,
}


@pytest.mark.parametrize("task", claim.TOYS)
@pytest.mark.parametrize("arm", claim.ARMS)
def test_points_are_observed_at_every_epoch(task, arm):
    params = {"task": task, "arm": arm, "augment_dim": claim.ARMS[arm], **SMALL_POINTS}
    df = pd.DataFrame([{**params, **row} for row in CLAIM.measure(Cell(CLAIM.slug, params))])
    assert set(df["status"]) == {"ok"}
    assert df["epoch"].tolist() == [0, 0, 1, 1, 2, 2]
    assert df["tolerance"].tolist() == list(claim.TOY_TOLERANCES.values()) * 3
    assert df["test_error"].between(0, 1).all()
    trained = df[df["epoch"] > 0]
    assert trained[["loss", "training_nfe_forward"]].notna().all(axis=None)
    checked = df[df["role"] == "checked"]
    assert checked["valid"].all()
    assert (checked["nfe_forward"].to_numpy() > df[df["role"] == "loose"]["nfe_forward"]).all()
    assert set(df.columns) <= set(CLAIM.all_columns)


def test_a_failed_training_keeps_what_came_before(monkeypatch):
    params = {"task": "spheres", "arm": "node", "augment_dim": 0, **SMALL_POINTS}
    monkeypatch.setitem(claim.TOY_TOLERANCES, "loose", 1e-9)
    monkeypatch.setattr("odeclaims.toys.STEP_LIMIT", 1)
    assert CLAIM.measure(Cell(CLAIM.slug, params)) == [{"status": "max_steps"}]


def test_arms_share_their_points():
    cells = [c for c in CLAIM.cells(Profile("quick")) if c.params["task"] != "mnist"]
    assert len(cells) == 5 * len(claim.TOYS) * len(claim.ARMS)
    assert len({cell.seed for cell in cells}) == 5 * len(claim.TOYS)
    assert all(cell.params["epochs"] >= claim.LEAST_TOY_EPOCHS for cell in cells)


def test_the_caveats_name_the_epochs_that_fail():
    text = " ".join(CLAIM.judge(invalid(made_up([curve(1.9)] * 3), 4)).caveats)
    assert "At tolerance 0.001 the reconstruction fails its check in 27 of 27 solves" in text
    assert "(epochs 0 to 8)" in text
    assert "At tolerance 1e-05 the reconstruction fails its check in 1 of 27 solves" in text
    assert "(epochs 4)" in text
    assert "reference" not in text
    assert claim._ranges(pd.Series([5.0, 1.0, 0.0, 2.0, 2.0])) == "0 to 2, 5"


def test_figure_and_table_show_every_curve_and_the_limit():
    digits = made_up([curve(1.9), curve(1.5), curve(1.0)])
    df = pd.concat([digits, toys(), toys(task="sines")], ignore_index=True)
    evaluations, reconstruction, _, spheres, sines, _ = CLAIM.figure(df).axes
    assert len(spheres.lines) == len(sines.lines)
    limits = [
        np.asarray(line.get_ydata())[0]
        for line in reconstruction.lines
        if line.get_linestyle() == ":"
    ]
    assert limits == [RECONSTRUCTION_LIMIT]
    thin = [line for line in evaluations.lines if line.get_linewidth() < 1]
    assert len(thin) == 3 * len(TOLERANCES)
    table = CLAIM.table(df)
    assert len(table) == 3 * len(TOLERANCES) + 2 * 2 * len(claim.TOY_TOLERANCES)
    node = table[(table["task"] == "sines") & (table["model"] == "NODE")]
    assert node["last / first"].tolist() == ["2.00", "2.00"]
    checked = table[(table["task"] == "mnist") & (table["tolerance"] == "1e-05")]
    assert checked["last / first"].astype(float).tolist() == pytest.approx([1.9, 1.5, 1.0])
    assert checked["valid"].tolist() == ["9 of 9"] * 3


def test_the_seed_alone_sets_the_repetitions_apart():
    found = [c for c in CLAIM.cells(Profile("quick")) if c.params["task"] == "mnist"]
    assert len({cell.seed for cell in found}) == len(found) >= claim.LEAST_SEEDS
    assert len({tuple(cell.params.items()) for cell in found}) == 1
    assert not any(cell.alone for cell in found)
    assert all(cell.params["epochs"] >= claim.LEAST_EPOCHS for cell in found)
    assert math.isfinite(found[0].timeout_s)
