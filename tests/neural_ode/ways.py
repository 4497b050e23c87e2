"""Every way to the gradient that the package has, by the name that it has in the tests."""

from typing import Any

from neural_ode import Adjoint
from neural_ode.gradients import GRADIENTS

# Those whose class takes no arguments; one that needs a method which can be undone is apart.
CLASSES = {(name.removesuffix("Adjoint") or name).lower(): c for name, c in GRADIENTS.items()}
UNDOING = {"reversible": CLASSES.pop("reversible")()}
FOR_EVERY_METHOD: dict[str, Any] = {
    **{name: cls() for name, cls in CLASSES.items()},
    "seminorm": Adjoint(norm="seminorm"),
}
