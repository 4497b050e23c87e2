"""A latent ODE extrapolates irregularly observed spirals better than an RNN (Chen et al. 2018).

A recurrent encoder reads the observed points of a window backwards in time and gives a distribution
of the latent state at its start. An ODE in the latent space, and a decoder, give the series at any
time. The paper compares what this model and an RNN predict on 100 points beyond a window, from 30,
50 or 100 observed points of it. Its data are not published. Here they are those of the released
example. An RNN without times cannot know how far a point is from the next one, so one that is told
is trained too, and a lookup that knows both curves shows what could be reached.
"""

from odeclaims.claim import Claim, Column, Evidence
from odeclaims.claims.latent_ode_spirals.settings import (
    CHECKED,
    DRAWN,
    LAST,
    LAST_SEEN,
    SLUG,
    TRAINED,
)

LEDGER = [
    Evidence(
        "paper",
        "RMSE on 100 points beyond 30, 50 and 100 observed ones: RNN .3937, .3202, .1813; latent"
        " ODE .1642, .1502, .1346; ratios .417, .469, .742",
        "Chen et al. 2018, table 2",
        "1,000 spirals, half clockwise, 100 equal times; one run each, no deviation",
    ),
    Evidence(
        "paper",
        "two RNNs were trained, one of which also sees the time to the next point; which of them"
        " the table has is not said, nor how much noise the data have",
        "Chen et al. 2018, sec. 5.1",
        "encoder and RNN of 25 units, 4 latent dimensions, field and decoder with one hidden layer"
        " of 20",
    ),
    Evidence(
        "released example",
        "noise .3, curves with r = .3 * 50/(6 pi + 1 - t) and .3 t on 500 times, windows of 100"
        " points that start at 100 to 399, all points observed; no test set and no RNN",
        "latent_ode.py of torchdiffeq",
        "field with two hidden layers of 20 ELU (604 parameters), Adam .01, 2,000 updates of all"
        " 1,000 spirals",
    ),
    Evidence(
        "released example",
        "the variance of the noise and the true dynamics are not in the paper, and were chosen",
        "torchdiffeq, pull request 5",
    ),
    Evidence(
        "replication",
        "RMSE of about .3 in the window and .4 beyond it; near the published ones with less or no"
        " noise",
        "torchdiffeq, issue 117, open",
        "released example as it is",
    ),
    Evidence(
        "replication",
        "extrapolation is unstable, very good at times and very bad at others",
        "torchdiffeq, issue 117, second report",
        "released example",
    ),
    Evidence(
        "derived",
        "against noisy points no model has an RMSE below the noise, so that .13 to .16 needs points"
        " without noise as targets, or less noise than .3",
        "computed beforehand",
    ),
    Evidence(
        "derived",
        f"a window that starts after {LAST} has no 100 further points on its curve; all windows"
        f" are parts of two curves; those that start by {LAST} hold no point after {LAST_SEEN},"
        " and their last further point is 498",
        "computed beforehand",
        "the radius of the clockwise curve is .93 at the first start and 14 at the last point",
    ),
]

DEVIATIONS = [
    "The data of the paper are not published. The curves are those of the released example, with"
    f" noise of 0.1. Windows start by {LAST}. The profile paper also has noise of 0.3 and none.",
    "The curves reach a radius of 14 and lie around (-5, 0) and (5, 0), so errors cannot be"
    " compared with published ones by their size, and ratios are.",
    "RMSE is that of a coordinate, on 500 fresh windows of the same curves with noise and observed"
    " points of their own. The curve is the target; noisy points are reported beside it.",
    "The encoder of the latent ODE sees the time between points, as its algorithm in the paper has"
    " times among its inputs. The released encoder does not, for its points are equally spaced.",
    "An RNN predicts one point from its prediction of the one before. One that sees no times makes"
    " one step for each point beyond, though it has learnt steps of 3.3 points on average from 30"
    " of 100. The paper does not say how its RNN went on.",
    "Predictions of the latent ODE are from the mean of the posterior. The deviation of every"
    " likelihood is that of the noise, and 0.1 where there is none.",
    "The profiles quick and hour train in batches of 100 spirals. The released example takes all"
    " 1,000 in every update, as paper does. Of small batches there are 3,000 at quick and 5,000 at"
    " hour, of large ones 2,000.",
    "The rate of Adam falls from the released 0.01 to zero along a squared cosine. At a constant"
    " rate the loss of a latent ODE falls like a power of the updates, so that it never comes to an"
    " end. Trials with other seeds gained 1.2 to 1.8% in the last tenth along a cosine, and at"
    " most 0.5% along its square, by which the rate is smaller in the end.",
    "A falling rate ends any training. Every model is therefore trained with half of the updates"
    " too, from the same weights, and a comparison has to have the same sign after it.",
    f"Training solves by dopri5 at {TRAINED:g} and differentiates its steps. What is judged is"
    f" solved at {CHECKED:g} in float64.",
    "The seeds of a model train as one batch. They share the steps of the solver, whose error norm"
    " is that of the seed with the largest error.",
    "The profile quick has 30 observed points alone. The GRU and the field with two layers are in"
    " the profile paper alone.",
    "The rules of revision 1 were written after trials with other seeds and 30 points. In them the"
    " latent ODE was ahead of the RNN, and its loss still fell by 5% in the last tenth. They asked"
    " only that the model with the larger error has converged. Revision 2 asks it of both.",
]

COLUMNS = {
    "arm": Column(
        "latent_ode, latent_ode_2 (field with two hidden layers, as released), rnn, rnn_dt and"
        " gru_dt (see the time to the next point) or lookup (the nearest part of either curve)"
    ),
    "points": Column("observed points of the 100 in a window"),
    "noise": Column("standard deviation of the noise of a coordinate"),
    "repetitions": Column("seeds, which are trained as one batch"),
    "series": Column("windows of the training"),
    "batch": Column("windows in an update"),
    "updates": Column("updates of the weights, by Adam"),
    "test_series": Column("fresh windows behind the errors"),
    "kind": Column(
        f"result (errors), loss (of a tenth of the training) or point (of {DRAWN} test windows of"
        " the first seed)"
    ),
    "parameters": Column("trained numbers of a model"),
    "training_nfe": Column("mean forward evaluations of an update, of the batch of all seeds"),
    "loss": Column(
        "mean loss of a spiral in a tenth of the training, the last one in results: negative ELBO"
        " or log likelihood in nats, without its constant"
    ),
    "late_gain": Column("by what share of itself the loss falls from the ninth tenth to the last"),
    "rmse": Column(
        "root mean squared error of a coordinate on the 100 points beyond, against the curve"
    ),
    "rmse_noisy": Column("the same against noisy points"),
    "rmse_clockwise": Column("against the clockwise curve"),
    "rmse_counter": Column("against the counter-clockwise curve"),
    "rmse_seen": Column(f"of points up to {LAST_SEEN} on their curve, which training may hold"),
    "rmse_unseen": Column(f"of points after {LAST_SEEN}, which no window of the training holds"),
    "rmse_median": Column("median over the windows of their own errors"),
    "solver_difference": Column(
        f"root mean square of what predictions at {TRAINED:g} in float32 differ by from those that"
        f" are judged, at {CHECKED:g} in float64"
    ),
    "part": Column("loss: which tenth of the training, from 1"),
    "window": Column("point: number of the test window"),
    "place": Column("point: its place in the window; those beyond it go on from 100"),
    "curve": Column("point: 0 clockwise, 1 counter-clockwise"),
    "true_x": Column("point: first coordinate of the curve"),
    "true_y": Column("point: second coordinate of the curve"),
    "observed_x": Column("point: first coordinate with noise, where it is observed"),
    "observed_y": Column("point: second coordinate with noise, where it is observed"),
    "predicted_x": Column("point: first coordinate of the prediction"),
    "predicted_y": Column("point: second coordinate of the prediction"),
    "latent_x": Column("point: first principal component of the latent state"),
    "latent_y": Column("point: second principal component of the latent state"),
}

CLAIM = Claim(
    slug=SLUG,
    title="A latent ODE extrapolates spirals better than an RNN",
    statement="From 30, 50 or 100 of 100 points of a noisy spiral, a latent ODE predicts the next"
    " 100 better than an RNN.",
    source="Chen et al. 2018, sec. 5.1, table 2 and figure 8",
    ledger=LEDGER,
    deviations=DEVIATIONS,
    columns=COLUMNS,
    module=__name__,
    revision=3,
    earlier=[
        "Revision 1 (quick: reproduced from 30 points, -0.751 [-1.04, -0.438], 9 of 10 seeds) was"
        " written after trials with other seeds, and asked only that the model with the larger"
        " error has converged. The plan for this claim, written before any run, asks it of both.",
        "Revision 2 (quick: 3 of 3 central insufficient) trained at a constant rate, by which no"
        " latent ODE came to its end. It did not ask what half of the updates would have shown.",
    ],
)
