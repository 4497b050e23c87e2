"""What compiled steps of a field are kept under."""

from dataclasses import dataclass, field

import pytest
import torch

from neural_ode.field import identity, keep_autocast


@dataclass
class Unhashable:
    """As a dataclass that compares its values is by itself."""

    rate: float

    def __call__(self, t, y):
        return self.rate * y

    def method(self, t, y):
        return self(t, y)


@dataclass(frozen=True)
class Named:
    """Equal to another of its name, whatever its rate."""

    name: str
    rate: float = field(compare=False)

    def __call__(self, t, y):
        return self.rate * y


@pytest.mark.parametrize("on", [False, True])
def test_a_field_is_known_by_itself_and_not_by_its_value(on):
    with torch.autocast("cpu", torch.bfloat16, enabled=on):
        one, other = (keep_autocast(f, "cpu") for f in (Named("a", 1.0), Named("a", -1.0)))
        assert identity(one) != identity(other)
        plain = Unhashable(1.0)
        assert hash(identity(keep_autocast(plain, "cpu"))) is not None
        again = [identity(keep_autocast(plain.method, "cpu")) for _ in range(2)]
        assert again[0] == again[1]
