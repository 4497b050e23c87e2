"""This project's solver with its whole step compiled."""

import os
import shutil

from odeclaims.backends.base import is_installed
from odeclaims.backends.ours import Ours


class OursCompiled(Ours):
    """``neural_ode.solve(..., compile=True)``: field, stages and error estimate in one graph."""

    name = "ours_compiled"
    gradients = ("adjoint", "seminorm")
    compiles = True

    def missing(self, device: str = "cpu") -> list[str]:
        """The device's compiler if it is missing; without one the solver would run eagerly."""
        if device != "cpu":
            return [] if is_installed("triton") else ["triton"]
        compilers = (os.environ.get("CXX", "g++"), "clang++")
        return [] if any(map(shutil.which, compilers)) else ["a C++ compiler"]
