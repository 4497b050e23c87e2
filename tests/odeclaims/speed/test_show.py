"""Tables and figures as files, from rows alone."""

import shutil
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from odeclaims.speed import show
from odeclaims.speed.rows import read_rows
from odeclaims.speed.show import main, write
from tests.odeclaims.speed.common import make_toy

ROOT = Path(__file__).parents[3]


def test_tables_and_figures_from_a_small_frame(tmp_path):
    make_toy().to_csv(tmp_path / "data.csv", index=False)
    names = [path.name for path in write(tmp_path)]
    assert names[-2:] == ["forward.png", "forward.pdf"]
    assert (tmp_path / "forward.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "forward.pdf").read_bytes().startswith(b"%PDF")
    ratios = (tmp_path / "ratios.md").read_text()
    assert "| ours      | none       | 2.00 (2.00 to 2.00) | 1.00 (1.00 to 1.00) |" in ratios
    summary = (tmp_path / "summary.md").read_text()
    assert "## mlp_forward: MLP 2-32-32-2, batch 64: all overhead, tolerance 0.001" in summary
    assert "`reference_error`" in summary


def test_a_run_without_the_baseline_has_no_ratios(tmp_path):
    toy = make_toy()
    toy[toy["backend"] == "ours"].to_csv(tmp_path / "data.csv", index=False)
    write(tmp_path)
    assert "torchdiffeq was not timed" in (tmp_path / "ratios.md").read_text()


def test_rows_of_another_kind_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["speed", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "`tox run -e speed` makes it" in capsys.readouterr().err
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="its columns differ from the suite's in a, b, "):
        read_rows(tmp_path)


@pytest.mark.parametrize("folder", ["speed", "speed-cuda"])
def test_the_committed_tables_follow_from_the_committed_rows(folder, tmp_path, monkeypatch):
    # Only the tables are held against what is committed.
    monkeypatch.setattr(show, "work_precision", lambda df, differentiated: Figure())
    monkeypatch.setattr(show, "save", lambda *_: [])
    committed = ROOT / "results" / folder
    shutil.copy(committed / "data.csv", tmp_path)
    tables = [path for path in write(tmp_path) if path.suffix in (".csv", ".md")]
    assert len(tables) == 4
    assert all(path.read_bytes() == (committed / path.name).read_bytes() for path in tables)
