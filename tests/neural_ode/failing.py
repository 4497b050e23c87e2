"""Fields that fail, and how the tests read what is raised."""

# Wrong arguments are the subject here.
# pyright: reportArgumentType=false

import re

import pytest
import torch
from torch import nn


def times(*values):
    return torch.tensor(values, dtype=torch.float64)


Y0, TS = times(1, 2), times(0, 0.5, 1)


def decay(t, y):
    return -y


class Decay(nn.Module):
    def forward(self, t, y):
        return -y


def says(error, sentence, call):
    """The call raises this error, and its whole message is this one sentence."""
    with pytest.raises(error, match=re.escape(sentence)) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value
