"""Which networks can approximate a function that is high inside and low around it.

"A tutorial on neural ordinary differential equations" by Alek Dimitriev, 2020-04-10, recalls two
theorems: one hidden layer is enough, "as long as it is not linear", and so are deep ReLU networks
of a width of four more than the input's size. No measurement shows that every function can be
approximated, but one function shows what cannot: of a bump over the plane, 1 in the middle and 0 on
the edge of a square, every map whose level sets reach the edge is off by at least a half. So a
linear network is, a deep ReLU network that is no wider than its input, and a flow with a linear
head. Each kind of network is trained on it.
"""

from odeclaims.claim import Claim, Column, Evidence
from odeclaims.claims.universal_approximation.settings import (
    DEPTH,
    FEW_UNITS,
    FINE_GRID,
    GRID,
    INPUTS,
    SLUG,
    UNITS,
)

LEDGER = [
    Evidence(
        "paper",
        "one hidden layer of squashing units approximates any continuous function on a compact set",
        "Hornik et al. 1989",
        "as wide as it needs to be",
    ),
    Evidence(
        "paper",
        "one hidden layer is enough exactly if the activation is not a polynomial",
        "Leshno et al. 1993 (from memory, high confidence)",
        "the tutorial says: as long as it is not linear",
    ),
    Evidence(
        "paper",
        "ReLU networks of width n + 4 approximate any integrable function of n numbers; those of"
        " width n do not, but for functions of measure zero",
        "Lu et al. 2017, theorems 1 and 3",
        "in the L1 sense; as deep as it needs to be",
    ),
    Evidence(
        "paper",
        "the least width is n + 1",
        "Hanin and Sellke 2017, continuous functions (from memory); Park et al. 2021, in the Lp"
        " sense max(n + 1, m) for m outputs",
        "ReLU networks",
    ),
    Evidence(
        "paper",
        "level sets of a network no wider than its input have no bounded part",
        "Johnson 2019 (from memory)",
        "activations that are limits of one-to-one functions, such as the ReLU",
    ),
    Evidence(
        "derived",
        "largest error at least 1/2 where level sets reach the edge, at least 9/32 for a quadratic",
        "derived here, for (1 - |x|^2)^2 inside the unit circle and 0 around it",
        "the chord of a convex function of |x|^2 is off by 9/16 at |x|^2 = 3/4",
    ),
]

DEVIATIONS = [
    "The theorems are about every function; here is one. They say that weights exist; here Adam"
    " looks for them, and a network that it does not find is no evidence against a theorem.",
    "Lu et al. measure the error as an integral. The largest error is judged here, which is harder,"
    " since it has a floor that follows from the shape of level sets.",
]

COLUMNS = {
    "network": Column(
        f"tanh ({UNITS} units in one hidden layer), few_tanh ({FEW_UNITS}), linear and square"
        f" ({UNITS} units with that activation), relu_n4, relu_n1 and relu_n ({DEPTH} hidden layers"
        f" of {INPUTS + 4}, {INPUTS + 1} and {INPUTS} ReLUs)"
    ),
    "iterations": Column("of training, with 256 fresh points of the square each"),
    "kind": Column("result (on a grid) or section (the function along a line through the middle)"),
    "grid": Column(f"result: points along each side of the grid, {GRID} or {FINE_GRID}"),
    "largest_error": Column("result: largest absolute error on the grid"),
    "mean_error": Column("result: mean absolute error on the grid"),
    "unexplained": Column("result: mean squared error on the grid over that of the best constant"),
    "x": Column("section: place on the line"),
    "value": Column("section: output of the network"),
}

CLAIM = Claim(
    slug=SLUG,
    title="One hidden layer, or narrow deep ReLU layers, approximate what linear ones cannot",
    statement="A network of one hidden layer can approximate a function unless it is linear, and so"
    " can a deep ReLU network of width n + 4.",
    source="Hornik et al. 1989; Lu et al. 2017; as told in Dimitriev 2020",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    module=__name__,
    revision=2,
    earlier=[
        "Revision 1 (quick: 3 of 3 central reproduced) counted every network of width n as an"
        " attempt. Four of five had become constants, which any network can be. Now those that have"
        " learnt something count, out of ten times as many.",
    ],
)
