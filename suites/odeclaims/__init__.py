"""The claims of the Neural ODE papers, as experiments that anyone can run."""

__version__ = "0.2.0"
