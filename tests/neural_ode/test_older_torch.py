"""What an older torch lacks is said in a sentence, or done in another way."""

import re

import pytest
import torch
from torch.torch_version import TorchVersion

from neural_ode import older_torch, solve


def test_an_older_torch_solves_and_says_what_compiling_needs(monkeypatch):
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.12.1+cpu"))
    y0, ts = torch.ones(1), torch.tensor([0.0, 1.0])
    solve(lambda t, y: -y, y0, ts)
    sentence = (
        "compile=True needs torch>=2.13, and this is torch 2.12.1+cpu: install a newer one, or"
        " leave compile out"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        solve(lambda t, y: -y, y0, ts, compile=True)


@pytest.mark.parametrize(
    ("version", "compiles"),
    [("2.6.0", False), ("2.12.1", False), ("2.13.0+cpu", True), ("2.14.1+cu130", True)],
)
def test_which_torch_compiles(monkeypatch, version, compiles):
    monkeypatch.setattr(torch, "__version__", TorchVersion(version))
    assert older_torch.compiles() == compiles


def test_export_is_told_from_compiling_by_what_torch_2_6_has():
    class Tells(torch.nn.Module):
        def forward(self, x):
            seen.append((older_torch._is_exporting(), older_torch.is_exporting()))
            return x + 1

    seen = []
    Tells()(torch.ones(1))
    torch.export.export(Tells(), (torch.ones(1),), strict=False)
    assert seen[0] == (False, False)
    assert seen[-1] == (True, True)
