"""The claim that docs/extend.md shows works as it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_claim_works_by_adding_one_file(tmp_path):
    """Here the command line runs as a user starts it, and so do its workers."""
    text = (ROOT / "docs" / "extend.md").read_text()
    code = re.search(r"<!-- example claim -->\n```python\n(.*?)```", text, re.DOTALL)
    assert code
    package = tmp_path / "suites"
    subprocess.run(["cp", "-r", str(ROOT / "suites"), str(package)], check=True)
    (package / "odeclaims" / "claims" / "euler_stability.py").write_text(code[1])
    script = (
        f"import sys; sys.path[:0] = [{str(package)!r}, {str(ROOT / 'reference')!r}];"
        "from odeclaims.cli import main; main()"
    )
    for arguments in (["run", "euler_stability"], ["figures", "euler_stability"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{package}:{ROOT / 'reference'}", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "results" / "quick" / "euler_stability"
    assert json.loads((folder / "verdict.json").read_text())["summary"] == "1 of 1 reproduced"
    assert (folder / "figure.png").exists()
