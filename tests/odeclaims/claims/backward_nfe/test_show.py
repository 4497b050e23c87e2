"""The table of made-up rows."""

from odeclaims.claims.backward_nfe.show import table
from tests.odeclaims.claims.backward_nfe.examples import made_up


def test_the_table_has_the_logs_with_their_correction_and_medians():
    rows = table(made_up(0.8))
    log = rows[rows["net"] == "authors' logs"].iloc[0]
    shown = ["NFE forward", "NFE backward", "backward / forward", "logged forward"]
    assert list(log[shown]) == ["6", "6", "1.00", "13"]
    ours = rows[(rows["net"] == "trained") & (rows["solver"] == "adams")]
    assert list(ours["tolerance"])[-1] == "1e-02 to 1e-05"
    assert set(ours["backward / forward"]) == {"0.800"}
    assert set(ours["valid"]) == {"8 of 8", "32 of 32"}
