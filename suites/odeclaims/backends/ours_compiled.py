"""This project's solver with its whole step compiled."""

import os
import shutil

from neural_ode.older_torch import NEEDED_TO_COMPILE, compiles
from odeclaims.backends.base import is_installed
from odeclaims.backends.ours import Ours


class OursCompiled(Ours):
    """``neural_ode.solve(..., compile=True)``: field, stages and error estimate in one graph."""

    name = "ours_compiled"
    gradients = ("adjoint", "seminorm")
    compiles = True

    def missing(self, device: str = "cpu") -> list[str]:
        """What compiles, if it is missing: a new enough torch, and the device's compiler."""
        torch = [] if compiles() else [NEEDED_TO_COMPILE]
        if device != "cpu":
            return torch + ([] if is_installed("triton") else ["triton"])
        compilers = (os.environ.get("CXX", "g++"), "clang++")
        return torch + ([] if any(map(shutil.which, compilers)) else ["a C++ compiler"])
