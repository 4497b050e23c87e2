"""Butcher tableaux: a Runge-Kutta method is its coefficients and where they come from.

A step from ``(t, y)`` of size ``h`` evaluates the stages ``k_i = f(t + c_i h, y + h sum_j a_ij
k_j)`` and returns ``y + h sum_i b_i k_i``. The dense output at ``t + x h``, ``0 <= x <= 1``, is
``y + h sum_i b_i(x) k_i`` with ``b_i(x) = sum_p dense[i, p] x^(p+1)``; it loses none of the order
of the method, so output times never shorten a step.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class ButcherTableau:
    """The coefficients of one explicit Runge-Kutta method.

    Attributes:
        name: the name by which ``solve(method=...)`` finds it.
        order: the order of the solution that is carried forward.
        c: nodes of the stages, shape [stages].
        a: strictly lower triangular stage weights, shape [stages, stages].
        b: weights of the solution, shape [stages].
        dense: polynomial weights of the dense output, shape [stages + extra stages, degree].
        source: the publication that the coefficients come from.
        b_error: weights of the error estimate (``b`` minus the embedded weights), shape [stages];
            ``None`` for a method without one, which is then a fixed-grid method.
        dense_c: nodes of stages that only the dense output needs, shape [extra stages].
        dense_a: their weights, shape [extra stages, stages + extra stages].

    Raises:
        ValueError: if the shapes do not fit each other or ``a`` is not strictly lower triangular.
    """

    name: str
    order: int
    c: Float[np.ndarray, " stages"]
    a: Float[np.ndarray, "stages stages"]
    b: Float[np.ndarray, " stages"]
    dense: Float[np.ndarray, "all_stages degree"]
    source: str
    b_error: Float[np.ndarray, " stages"] | None = None
    dense_c: Float[np.ndarray, " extra"] | None = None
    dense_a: Float[np.ndarray, "extra all_stages"] | None = None

    def __post_init__(self):
        stages, extra = len(self.c), 0 if self.dense_c is None else len(self.dense_c)
        if self.a.shape != (stages, stages) or self.b.shape != (stages,):
            raise ValueError(f"{self.name}: a and b do not fit the {stages} nodes in c")
        if np.triu(self.a).any():
            raise ValueError(f"{self.name}: a is not strictly lower triangular, so not explicit")
        if self.dense.shape[0] != stages + extra:
            raise ValueError(f"{self.name}: dense needs {stages + extra} rows, one a stage")

    @property
    def stages(self) -> int:
        """The number of stages of a step, the reused one of a FSAL method included."""
        return len(self.c)

    @property
    def adaptive(self) -> bool:
        """Whether the method carries an error estimate."""
        return self.b_error is not None

    @cached_property
    def fsal(self) -> bool:
        """Whether the last stage is the derivative at the new point (first same as last)."""
        return bool(self.c[-1] == 1) and np.array_equal(self.a[-1], self.b)

    @property
    def nfe_per_step(self) -> int:
        """Field evaluations that one accepted step costs when its first stage is at hand.

        A method that is not FSAL still needs the derivative at the new point for its next step.
        """
        return self.stages - 1 if self.fsal else self.stages


def _lower(*rows: list[float]) -> Float[np.ndarray, "stages stages"]:
    """A square strictly lower triangular matrix whose second and later rows are ``rows``."""
    a = np.zeros((len(rows) + 1, len(rows) + 1))
    for i, row in enumerate(rows, start=1):
        a[i, : len(row)] = row
    return a


def _hermite(
    b: Float[np.ndarray, " stages"], knots: dict[int, float], stages: int
) -> Float[np.ndarray, "all_stages degree"]:
    """Dense weights of the polynomial through both ends of a step with given slopes inside it.

    ``knots`` maps the index of a stage to the place x in the step at which that stage is the slope
    of the solution. The polynomial has degree ``len(knots) + 1``.
    """
    degree = len(knots) + 1
    powers = np.arange(1, degree + 1)
    conditions = np.vstack(
        [np.ones(degree), *(powers * x ** (powers - 1.0) for x in knots.values())]
    )
    values = np.zeros((degree, stages))
    values[0, : len(b)] = b
    values[np.arange(1, degree), list(knots)] = 1
    return np.linalg.solve(conditions, values).T


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
    a=_lower([1 / 2]),
    b=np.array([0.0, 1]),
    dense=np.array([[1.0, -1], [0, 1]]),
    source="Runge, Math. Ann. 46 (1895); Hairer, Norsett & Wanner, Solving ODEs I, table II.1.1",
)

HEUN = ButcherTableau(
    name="heun",
    order=2,
    c=np.array([0.0, 1]),
    a=_lower([1]),
    b=np.array([1 / 2, 1 / 2]),
    dense=_QUADRATIC_HEUN,
    source="Heun, Z. Math. Phys. 45 (1900): the explicit trapezoidal rule",
)

RK4 = ButcherTableau(
    name="rk4",
    order=4,
    c=np.array([0, 1 / 3, 2 / 3, 1]),
    a=_lower([1 / 3], [-1 / 3, 1], [1, -1, 1]),
    b=np.array([1, 3, 3, 1]) / 8,
    # The only cubic b(x) that meets the four conditions of order 3 at every x.
    dense=np.array([[1, -15 / 8, 1], [0, 15 / 8, -3 / 2], [0, 3 / 8, 0], [0, -3 / 8, 1 / 2]]),
    source="Kutta, Z. Math. Phys. 46 (1901): the 3/8 rule",
)

RK4_CLASSIC = ButcherTableau(
    name="rk4_classic",
    order=4,
    c=np.array([0, 1 / 2, 1 / 2, 1]),
    a=_lower([1 / 2], [0, 1 / 2], [0, 0, 1]),
    b=np.array([1, 2, 2, 1]) / 6,
    dense=np.array([[1, -3 / 2, 2 / 3], [0, 1, -2 / 3], [0, 1, -2 / 3], [0, -1 / 2, 2 / 3]]),
    source="Kutta, Z. Math. Phys. 46 (1901); dense output: Hairer et al., Solving ODEs I, II.6",
)

ADAPTIVE_HEUN = ButcherTableau(
    name="adaptive_heun",
    order=2,
    c=np.array([0.0, 1]),
    a=_lower([1]),
    b=np.array([1 / 2, 1 / 2]),
    b_error=np.array([-1 / 2, 1 / 2]),
    dense=_QUADRATIC_HEUN,
    source="Heun (1900) with Euler embedded: the 2(1) pair",
)

_BOSH3_B = np.array([2 / 9, 1 / 3, 4 / 9, 0])

BOSH3 = ButcherTableau(
    name="bosh3",
    order=3,
    c=np.array([0, 1 / 2, 3 / 4, 1]),
    a=_lower([1 / 2], [0, 3 / 4], [2 / 9, 1 / 3, 4 / 9]),
    b=_BOSH3_B,
    b_error=_BOSH3_B - np.array([7 / 24, 1 / 4, 1 / 3, 1 / 8]),
    dense=_hermite(_BOSH3_B, {0: 0.0, 3: 1.0}, stages=4),
    source="Bogacki & Shampine, Appl. Math. Lett. 2 (1989); cubic Hermite dense output",
)

_DOPRI5_B = np.array([35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0])

DOPRI5 = ButcherTableau(
    name="dopri5",
    order=5,
    c=np.array([0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1]),
    a=_lower(
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
    a=_lower(
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

_DOPRI8_B = np.array(
    [
        14005451 / 335480064,
        0,
        0,
        0,
        0,
        -59238493 / 1068277825,
        181606767 / 758867731,
        561292985 / 797845732,
        -1041891430 / 1371343529,
        760417239 / 1151165299,
        118820643 / 751138087,
        -528747749 / 2220607170,
        1 / 4,
        0,
    ]
)

_DOPRI8_B_EMBEDDED = np.array(
    [
        13451932 / 455176623,
        0,
        0,
        0,
        0,
        -808719846 / 976000145,
        1757004468 / 5645159321,
        656045339 / 265891186,
        -3867574721 / 1518517206,
        465885868 / 322736535,
        53011238 / 667516719,
        2 / 45,
        0,
        0,
    ]
)

# Four more stages, on values that meet the order conditions up to order 6, so that the polynomial
# through their slopes has a local error of h^8 and the outputs keep order 8. Over the fourteen
# stages of the step those conditions can be met at 1/2 -+ sqrt(7)/14 alone, and with the two new
# stages at every place; 1/8 and 7/8 nearly minimise the error of the output. Of the weights that
# meet the conditions these are the smallest in the least-squares sense, over the stages named.
_DOPRI8_EXTRA_C = np.array([1 / 2 - np.sqrt(7) / 14, 1 / 2 + np.sqrt(7) / 14, 1 / 8, 7 / 8])

_DOPRI8_EXTRA_A = np.zeros((4, 18))
_DOPRI8_EXTRA_A[:2, [0, *range(5, 14)]] = [
    [
        0.04436300176729809,
        0.05039663353126106,
        0.22117962232689536,
        0.00532474678764203,
        -0.00902019004428959,
        -0.002527639425704137,
        0.0026033187287455017,
        0.0058043101891763,
        0.005488995178207563,
        -0.01259503554384584,
    ],
    [
        0.04374194900100974,
        0.1606423829828968,
        0.2252311951813038,
        0.10234537893381634,
        0.07116447521455337,
        0.08439998332493802,
        0.0029206075498747486,
        -0.03379436953400562,
        0.004429475857406759,
        0.027901157992819586,
    ],
]
_DOPRI8_EXTRA_A[2:, [0, *range(5, 16)]] = [
    [
        0.052008959297906214,
        0.00609159150524027,
        0.10078129643189482,
        0.006712888898892937,
        0.0018786499412583458,
        -0.02750330110162253,
        -0.010361088685745907,
        0.021768942171745975,
        -0.016718524399628464,
        0.00010234764137961854,
        -0.04103756223837526,
        0.03127580053705403,
    ],
    [
        0.054342621423880307,
        0.1333258851627327,
        0.17026378515325233,
        0.011732875384531874,
        -0.01164431070910211,
        0.1270563955303502,
        0.05022182772364061,
        -0.08600043787272961,
        0.08494194857839345,
        -0.006377350787758691,
        0.1374116988185743,
        0.20972506159423496,
    ],
]

DOPRI8 = ButcherTableau(
    name="dopri8",
    order=8,
    c=np.array(
        [
            0,
            1 / 18,
            1 / 12,
            1 / 8,
            5 / 16,
            3 / 8,
            59 / 400,
            93 / 200,
            5490023248 / 9719169821,
            13 / 20,
            1201146811 / 1299019798,
            1,
            1,
            1,
        ]
    ),
    a=_lower(
        [1 / 18],
        [1 / 48, 1 / 16],
        [1 / 32, 0, 3 / 32],
        [5 / 16, 0, -75 / 64, 75 / 64],
        [3 / 80, 0, 0, 3 / 16, 3 / 20],
        [
            29443841 / 614563906,
            0,
            0,
            77736538 / 692538347,
            -28693883 / 1125000000,
            23124283 / 1800000000,
        ],
        [
            16016141 / 946692911,
            0,
            0,
            61564180 / 158732637,
            22789713 / 633445777,
            545815736 / 2771057229,
            -180193667 / 1043307555,
        ],
        [
            39632708 / 573591083,
            0,
            0,
            -433636366 / 683701615,
            -421739975 / 2616292301,
            100302831 / 723423059,
            790204164 / 839813087,
            800635310 / 3783071287,
        ],
        [
            246121993 / 1340847787,
            0,
            0,
            -37695042795 / 15268766246,
            -309121744 / 1061227803,
            -12992083 / 490766935,
            6005943493 / 2108947869,
            393006217 / 1396673457,
            123872331 / 1001029789,
        ],
        [
            -1028468189 / 846180014,
            0,
            0,
            8478235783 / 508512852,
            1311729495 / 1432422823,
            -10304129995 / 1701304382,
            -48777925059 / 3047939560,
            15336726248 / 1032824649,
            -45442868181 / 3398467696,
            3065993473 / 597172653,
        ],
        [
            185892177 / 718116043,
            0,
            0,
            -3185094517 / 667107341,
            -477755414 / 1098053517,
            -703635378 / 230739211,
            5731566787 / 1027545527,
            5232866602 / 850066563,
            -4093664535 / 808688257,
            3962137247 / 1805957418,
            65686358 / 487910083,
        ],
        [
            403863854 / 491063109,
            0,
            0,
            -5068492393 / 434740067,
            -411421997 / 543043805,
            652783627 / 914296604,
            11173962825 / 925320556,
            -13158990841 / 6184727034,
            3936647629 / 1978049680,
            -160528059 / 685178525,
            248638103 / 1413531060,
        ],
        list(_DOPRI8_B[:-1]),
    ),
    b=_DOPRI8_B,
    b_error=_DOPRI8_B - _DOPRI8_B_EMBEDDED,
    dense=_hermite(_DOPRI8_B, {0: 0.0, 13: 1.0, **dict(enumerate(_DOPRI8_EXTRA_C, 14))}, stages=18),
    dense_c=_DOPRI8_EXTRA_C,
    dense_a=_DOPRI8_EXTRA_A,
    source=(
        "Prince & Dormand, J. Comput. Appl. Math. 7 (1981): RK8(7)13M; dense output bootstrapped as"
        " in Enright et al., ACM Trans. Math. Softw. 12 (1986), with stages derived here"
    ),
)

METHODS: dict[str, ButcherTableau] = {
    tableau.name: tableau
    for tableau in (
        EULER,
        MIDPOINT,
        HEUN,
        RK4,
        RK4_CLASSIC,
        BOSH3,
        ADAPTIVE_HEUN,
        DOPRI5,
        TSIT5,
        DOPRI8,
    )
}
