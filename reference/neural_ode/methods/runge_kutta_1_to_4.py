"""Runge-Kutta methods of the orders 1 to 4."""

import numpy as np

from neural_ode.methods.tableau import ButcherTableau, hermite, lower

_QUADRATIC_HEUN = np.array([[1, -1 / 2], [0, 1 / 2]])

EULER = ButcherTableau(
    name="euler",
    order=1,
    c=np.zeros(1),
    a=np.zeros((1, 1)),
    b=np.ones(1),
    dense=np.ones((1, 1)),
    source="Euler, Institutionum calculi integralis 1 (1768), sec. 650",
)

MIDPOINT = ButcherTableau(
    name="midpoint",
    order=2,
    c=np.array([0, 1 / 2]),
    a=lower([1 / 2]),
    b=np.array([0.0, 1]),
    dense=np.array([[1.0, -1], [0, 1]]),
    source="Runge, Math. Ann. 46 (1895); Hairer, Norsett & Wanner, Solving ODEs I, table II.1.1",
)

HEUN = ButcherTableau(
    name="heun",
    order=2,
    c=np.array([0.0, 1]),
    a=lower([1]),
    b=np.array([1 / 2, 1 / 2]),
    dense=_QUADRATIC_HEUN,
    source="Heun, Z. Math. Phys. 45 (1900): the explicit trapezoidal rule",
)

RK4 = ButcherTableau(
    name="rk4",
    order=4,
    c=np.array([0, 1 / 3, 2 / 3, 1]),
    a=lower([1 / 3], [-1 / 3, 1], [1, -1, 1]),
    b=np.array([1, 3, 3, 1]) / 8,
    # The only cubic b(x) that meets the four conditions of order 3 at every x.
    dense=np.array([[1, -15 / 8, 1], [0, 15 / 8, -3 / 2], [0, 3 / 8, 0], [0, -3 / 8, 1 / 2]]),
    source="Kutta, Z. Math. Phys. 46 (1901): the 3/8 rule",
)

RK4_CLASSIC = ButcherTableau(
    name="rk4_classic",
    order=4,
    c=np.array([0, 1 / 2, 1 / 2, 1]),
    a=lower([1 / 2], [0, 1 / 2], [0, 0, 1]),
    b=np.array([1, 2, 2, 1]) / 6,
    dense=np.array([[1, -3 / 2, 2 / 3], [0, 1, -2 / 3], [0, 1, -2 / 3], [0, -1 / 2, 2 / 3]]),
    source="Kutta, Z. Math. Phys. 46 (1901); dense output: Hairer et al., Solving ODEs I, II.6",
)

_BOSH3_B = np.array([2 / 9, 1 / 3, 4 / 9, 0])

BOSH3 = ButcherTableau(
    name="bosh3",
    order=3,
    c=np.array([0, 1 / 2, 3 / 4, 1]),
    a=lower([1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]),
    b=_BOSH3_B,
    b_error=_BOSH3_B - np.array([7 / 24, 1 / 4, 1 / 3, 1 / 8]),
    dense=hermite(_BOSH3_B, {0: 0.0, 3: 1.0}, stages=4),
    source="Bogacki & Shampine, Appl. Math. Lett. 2 (1989); cubic Hermite dense output",
)

ADAPTIVE_HEUN = ButcherTableau(
    name="adaptive_heun",
    order=2,
    c=np.array([0.0, 1]),
    a=lower([1]),
    b=np.array([1 / 2, 1 / 2]),
    b_error=np.array([-1 / 2, 1 / 2]),
    dense=_QUADRATIC_HEUN,
    source="Heun (1900) with Euler embedded: the 2(1) pair",
)
