"""The figure and the table, from invented rows."""

import pytest

from odeclaims.claims.latent_ode_spirals import CLAIM
from odeclaims.claims.latent_ode_spirals.settings import COUNTS
from tests.odeclaims.claims.latent_ode_spirals.examples import ERRORS, make_rows


def test_the_figure_draws_every_model():
    *windows, error, latent, loss = CLAIM.figure(make_rows(seeds=3)).axes
    # Curve, window, prediction and observed points of two windows.
    assert [len(ax.lines) for ax in windows] == [8, 8, 8]
    # A mark for each seed, and the published ones of two models.
    assert len(error.lines) == len(COUNTS) * (3 * len(ERRORS) + 2)
    assert len(latent.lines) == 4
    assert len(loss.lines) == len(ERRORS) - 1


def test_the_table_has_a_line_for_each_model_and_number_of_points():
    lines = CLAIM.table(make_rows())
    assert len(lines) == len(COUNTS) * len(ERRORS)
    line = lines[(lines["model"] == "RNN") & (lines["points"] == 30)].iloc[0]
    assert (line["RMSE"], line["published"]) == ("0.394", "0.3937")
    assert line["late gain, %"] == "0.40"
    look = lines[lines["model"].str.startswith("lookup")].iloc[0]
    assert (look["late gain, %"], look["parameters"], look["published"]) == ("", "", "")


@pytest.mark.parametrize("kind", ["result", "loss", "point"])
def test_each_kind_of_rows_is_drawn_and_tabulated_alone(kind):
    df = make_rows(seeds=2, counts=(30,))
    df = df[df["kind"] == kind]
    assert len(CLAIM.figure(df).axes) == 6
    assert len(CLAIM.table(df)) == (len(ERRORS) if kind == "result" else 0)
