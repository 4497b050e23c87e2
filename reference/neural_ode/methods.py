"""Every method by its name: the Runge-Kutta tableaux, reversible Heun, and SciPy's Adams."""

from dataclasses import dataclass

from neural_ode.reversible import REVERSIBLE_HEUN
from neural_ode.tableau import METHODS, ButcherTableau


@dataclass(frozen=True)
class Adams:
    """The implicit Adams method of VODE, through SciPy; see ``multistep``."""

    name: str = "adams"
    adaptive: bool = True


ADAMS = Adams()
Method = ButcherTableau | Adams
_NAMED: dict[str, Method] = {**METHODS, REVERSIBLE_HEUN.name: REVERSIBLE_HEUN, ADAMS.name: ADAMS}


def find_method(method: str | Method) -> Method:
    """The method of that name; a tableau of one's own passes through.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if isinstance(method, Method):
        return method
    if method not in _NAMED:
        raise ValueError(f"unknown method {method!r}; expected one of {', '.join(_NAMED)}")
    return _NAMED[method]
