"""Runge-Kutta methods of order 5: of Dormand and Prince, and of Tsitouras."""

import numpy as np

from neural_ode.methods.tableau import ButcherTableau, lower

_DOPRI5_B = np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0])

DOPRI5 = ButcherTableau(
    name="dopri5",
    order=5,
    c=np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1]),
    a=lower(
        [1 / 5],
        [3 / 40, 9 / 40],
        [44 / 45, -56 / 15, 32 / 9],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
    ),
    b=_DOPRI5_B,
    # Fourth-order weights as in Shampine's version of the pair, not those of the 1980 paper.
    b_error=_DOPRI5_B
    - np.array(
        [1951 / 21600, 0, 22642 / 50085, 451 / 720, -12231 / 42400, 649 / 6300, 1 / 60],
    ),
    dense=np.array(
        [
            [1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432],
            [0, 0, 0, 0],
            [0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799],
            [0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072],
            [
                0,
                127303824393 / 49829197408,
                -318862633887 / 49829197408,
                701980252875 / 199316789632,
            ],
            [0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844],
            [0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423],
        ]
    ),
    source="Dormand & Prince, J. Comput. Appl. Math. 6 (1980); Shampine, Math. Comp. 46 (1986)",
)

_TSIT5_B = np.array(
    [
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
        0,
    ]
)


def _product(scale: float, quadratic: tuple[float, float], power: int) -> list[float]:
    """Coefficients of x to x^4 in ``scale x^power (x^2 + quadratic[0] x + quadratic[1])``."""
    coefficients = [0.0] * 5
    coefficients[power : power + 3] = [scale * quadratic[1], scale * quadratic[0], scale]
    return coefficients[1:]


def _tsit5_first() -> list[float]:
    """Coefficients of the first weight, the only one of Tsitouras's with a linear term."""
    factors = np.polymul([1, -1.3299890189751412], [1, -1.4364028541716351, 0.7139816917074209])
    return list(-1.0530884977290216 * factors[::-1])


def _roots(first: float, second: float) -> tuple[float, float]:
    """The quadratic with these two roots, as its linear and its constant coefficient."""
    return -(first + second), first * second


TSIT5 = ButcherTableau(
    name="tsit5",
    order=5,
    c=np.array([0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1]),
    a=lower(
        [0.161],
        [-0.008480655492356989, 0.335480655492357],
        [2.8971530571054935, -6.359448489975075, 4.3622954328695815],
        [5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525],
        [
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.028269050394068383,
        ],
        list(_TSIT5_B[:-1]),
    ),
    b=_TSIT5_B,
    b_error=np.array(
        [
            -0.00178001105222577714,
            -0.0008164344596567469,
            0.007880878010261995,
            -0.1447110071732629,
            0.5823571654525552,
            -0.45808210592918697,
            1 / 66,
        ]
    ),
    dense=np.array(
        [
            _tsit5_first(),
            _product(0.1017, (-2.1966568338249754, 1.2949852507374631), 2),
            _product(2.490627285651252793, (-2.38535645472061657, 1.57803468208092486), 2),
            _product(-16.54810288924490272, _roots(1.21712927295533244, 0.61620406037800089), 2),
            _product(47.37952196281928122, _roots(1.203071208372362603, 0.658047292653547382), 2),
            _product(-34.87065786149660974, _roots(1.2, 0.666666666666666667), 2),
            _product(2.5, _roots(1, 0.6), 2),
        ]
    ),
    source="Tsitouras, Comput. Math. Appl. 62 (2011), the 5(4) pair and its interpolant",
)
