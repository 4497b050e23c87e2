"""Rows that nobody measured: trainings of every net, and the costs of those that are compared."""

import numpy as np
import pandas as pd

from odeclaims.claims.mnist_classifiers import CLAIM
from odeclaims.claims.mnist_classifiers.judge import PUBLISHED_EPOCHS
from odeclaims.claims.mnist_classifiers.settings import ALL_IMAGES, COMPARED

ERRORS = {
    "mlp": 1.6,
    "resnet": 0.41,
    "rk_net": 0.47,
    "ode_net": 0.42,
    "one_block": 0.44,
    "no_block": 0.58,
}


def training(errors=ERRORS, *, seeds=8, epochs=PUBLISHED_EPOCHS, images=ALL_IMAGES):
    """The last two epochs of every net; errors in percent."""
    rows = []
    for net, error in errors.items():
        for repetition in range(seeds):
            for epoch in (epochs - 1, epochs):
                flow = net in ("rk_net", "ode_net")
                rows.append(
                    {
                        "kind": "training",
                        "net": net,
                        "downsampling": "conv",
                        "channels": 64,
                        "images": images,
                        "epochs": epochs,
                        "epoch": epoch,
                        "test_error": error / 100
                        + 1e-4 * (epochs - epoch)
                        + 1e-5 * (repetition % 2),
                        "nfe_forward": 26.0 if flow else np.nan,
                        "nfe_backward": 32.0 if net == "ode_net" else np.nan,
                        "parameters": 576_778 if net == "resnet" else 208_266,
                        "peak_saved_bytes": 2.0**20,
                        "time_s": 3.0,
                        "valid": flow or np.nan,
                        "status": "ok",
                        "repetition": repetition,
                    }
                )
    return rows


def costs(memory=None, duration=None):
    """Bytes and seconds as powers of the size, on top of what stem and head need."""
    memory = {"resnet": 1, "rk_net": 1, "ode_net": 0} | (memory or {})
    duration = {"resnet": 1, "rk_net": 1, "ode_net": 1} | (duration or {})
    common = {"kind": "cost", "downsampling": "conv", "status": "ok", "repetition": 0}
    common |= {"channels": 64, "batch_size": 128}
    rows = [{**common, "net": "no_block", "size": 0, "peak_saved_bytes": 500, "time_s": 0.5}]
    for net in COMPARED:
        for size in (1, 2, 4, 8, 16):
            bytes_ = 500 + 100 * size ** memory[net]
            seconds = 0.5 + 0.1 * size ** duration[net]
            cost = {"net": net, "size": size, "peak_saved_bytes": bytes_, "time_s": seconds}
            steps = {} if net == "resnet" else {"nfe_forward": 4 * size}
            rows.append({**common, **cost, **steps})
    return rows


def frame(rows):
    return pd.DataFrame(rows, columns=list(CLAIM.all_columns))
