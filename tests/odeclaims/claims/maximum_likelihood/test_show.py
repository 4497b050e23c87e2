"""The figure, its pictures and the table of small runs."""

import pandas as pd
import pytest
import torch

from odeclaims.claims.maximum_likelihood import CLAIM, measure
from odeclaims.claims.maximum_likelihood.judge import NAMES, caveats
from odeclaims.claims.maximum_likelihood.settings import DATA, SHARES, WINDOWS
from odeclaims.claims.maximum_likelihood.show import PICTURES, SHOWN, WAYS, read_picture
from odeclaims.kits.constants import GRID
from odeclaims.kits.flow_models import centres
from odeclaims.kits.rows import of
from odeclaims.trained.recipes.likelihood_flows import flow_of, freeze


def test_the_way_of_the_cnf_is_that_of_its_densities(frame):
    """Each picture is a density: it adds up to one, and its samples have its mean."""
    for data, (left, right, lower, upper) in WINDOWS.items():
        area = (right - left) * (upper - lower) / GRID**2
        own = frame[frame["data"] == data]
        for share in SHARES:
            picture = read_picture(own, "cnf", share) / 1000
            assert float(picture.sum()) * area == pytest.approx(1, abs=0.02)
        assert len(of(own, kind="sample", arm="cnf", share=1.0)) == 10


@pytest.mark.slow(reason="densities are solved for on a fine grid")
@pytest.mark.parametrize("arm", WAYS)
def test_samples_have_the_density_that_is_solved_for(arm):
    """Means of samples against those of the picture of the density, along the way."""
    model = flow_of(arm, [torch.Generator().manual_seed(i) for i in range(2)])
    frozen = freeze(arm, model, [0, 1])
    rows = pd.DataFrame(measure._pictures(frozen, 4000)).assign(arm=arm)
    for data in DATA:
        own = rows[rows["data"] == data]
        places = centres(*WINDOWS[data]).reshape(GRID, GRID, 2).numpy()
        left, right, lower, upper = WINDOWS[data]
        for share in SHARES:
            picture = read_picture(own, arm, share)
            samples = of(own, kind="sample", arm=arm, share=share)
            # A planar flow that was not trained leads out of the picture.
            inside = samples["x"].between(left, right) & samples["y"].between(lower, upper)
            assert inside.mean() > 0.9
            samples = samples[inside]
            for i, name in enumerate("xy"):
                mean = float((picture * places[..., i]).sum() / picture.sum())
                error = float(samples[name].std()) / len(samples) ** 0.5
                assert samples[name].mean() == pytest.approx(mean, abs=4 * error + 0.005)


def test_figure_and_table_show_every_arm(frame):
    figure = CLAIM.figure(frame)
    pictures = len(WAYS) * len(PICTURES) * len(DATA) * len(SHOWN)
    assert len(figure.axes) == pictures + len(DATA) + 2
    assert all(ax.has_data() for ax in figure.axes)
    table = CLAIM.table(frame)
    assert table["model"].tolist() == list(NAMES.values()) * len(DATA)
    assert len(caveats(frame)) == len(NAMES) + 1


def test_pictures_that_were_not_measured_stay_empty(frame):
    early = frame["arm"].eq("nf_long") & frame["share"].lt(1)
    figure = CLAIM.figure(frame[~early])
    empty = sum(not ax.has_data() for ax in figure.axes)
    assert empty == len(PICTURES) * len(DATA) * (len(SHARES) - 1)
