"""The claim, the method and the gradient that docs/extend.md shows work by adding one file."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extend.md").read_text()


@pytest.mark.slow(reason="the command line is started twice, and its worker")
def test_a_claim_works_by_adding_one_file(tmp_path):
    """Here the command line runs as a user starts it, and so does its worker."""
    code = re.search(r"<!-- example claim -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert code
    package = tmp_path / "suites"
    subprocess.run(["cp", "-r", str(ROOT / "suites"), str(package)], check=True)
    (package / "odeclaims" / "claims" / "euler_stability.py").write_text(code[1])
    script = (
        f"import sys; sys.path[:0] = [{str(package)!r}, {str(ROOT / 'reference')!r}];"
        "from odeclaims.cli import main; main()"
    )
    for arguments in (["run", "euler_stability", "--jobs", "1"], ["figures", "euler_stability"]):
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


@pytest.mark.slow(reason="a process imports torch")
def test_a_method_and_a_gradient_work_by_adding_one_file_each(tmp_path):
    """The method's file has another import than the script on the page, as the page says."""
    method = re.search(r"```python\n(import numpy as np\n.*?\nRALSTON = .*?)```", PAGE, re.DOTALL)
    gradient = re.search(r"<!-- example gradient -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    instead = "from neural_ode.methods.tableau import ButcherTableau\n"
    assert method
    assert gradient
    assert f"```python\n{instead}```" in PAGE
    package = tmp_path / "neural_ode"
    shutil.copytree(ROOT / "reference" / "neural_ode", package)
    code = method[1].replace("from neural_ode import ButcherTableau\n", instead)
    (package / "methods" / "ralston.py").write_text(code)
    (package / "gradients" / "recomputed.py").write_text(gradient[1])
    script = """
import torch
from neural_ode import solve
from neural_ode.gradients import Recomputed
y0, ts = torch.ones(1, requires_grad=True), torch.tensor([0.0, 1.0])
solution = solve(lambda t, y: -y * y, y0, ts, method="ralston", gradient=Recomputed())
solution.ys[-1].sum().backward()
assert abs(float(y0.grad) - 0.25) < 1e-3
assert solution.stats.nfe_backward == solution.stats.nfe_forward > 0
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
