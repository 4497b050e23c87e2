"""Runge-Kutta methods that torchdiffeq has too, under the names by which its users ask for them."""

from dataclasses import replace

import numpy as np

from neural_ode.methods.runge_kutta_1_to_4 import HEUN
from neural_ode.methods.tableau import ButcherTableau, lower

HEUN2 = replace(HEUN, name="heun2")

HEUN3 = ButcherTableau(
    name="heun3",
    order=3,
    c=np.array([0, 1 / 3, 2 / 3]),
    a=lower([1 / 3], [0, 2 / 3]),
    b=np.array([1 / 4, 0, 3 / 4]),
    dense=np.array([[1, -3 / 4], [0, 0], [0, 3 / 4]]),
    source="Heun, Z. Math. Phys. 45 (1900); Hairer, Norsett & Wanner, Solving ODEs I, table II.1.1",
)

FEHLBERG2 = ButcherTableau(
    name="fehlberg2",
    order=2,
    c=np.array([0, 1 / 2, 1]),
    a=lower([1 / 2], [1 / 256, 255 / 256]),
    b=np.array([1, 510, 1]) / 512,
    b_error=np.array([-1, 0, 1]) / 512,
    dense=np.array([[512, -511], [0, 510], [0, 1]]) / 512,
    source="Fehlberg, NASA TR R-315 (1969), the pair RK1(2); carried forward is the second order",
)
