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
    """Every net after its last two epochs, and evaluated; errors in percent.

    Most of the digits that a net gets wrong are the same in all seeds and for all nets.
    """
    rows = []
    for net, error in errors.items():
        for repetition in range(seeds):
            flow = net in ("rk_net", "ode_net")
            common = {
                "net": net,
                "channels": 64,
                "images": images,
                "test_images": 10_000,
                "epochs": epochs,
                "nfe_forward": 26.0 if flow else np.nan,
                "nfe_backward": 32.0 if net == "ode_net" else np.nan,
                "status": "ok",
                "repetition": repetition,
            }
            for epoch in (epochs - 1, epochs):
                worse = 1e-4 * (epochs - epoch)
                row = {"kind": "training", "epoch": epoch, "test_error": error / 100 + worse}
                rows.append({**common, **row, "time_s": 3.0})
            wrong = wrong_digits(error, repetition)
            rows.append(
                {
                    **common,
                    "kind": "network",
                    "test_error": len(wrong) / 10_000,
                    "wrong": " ".join(map(str, wrong)),
                    "parameters": 576_778 if net == "resnet" else 208_266,
                    "peak_saved_bytes": 2.0**20,
                    "core_hours": 1.5,
                    "valid": flow or np.nan,
                }
            )
    return rows


def wrong_digits(error, seed):
    """As many of 10,000 digits as the error says: hard ones first, the last ten by the seed.

    Every other seed has one more.
    """
    count = round(100 * error) + seed % 2
    hard = max(count - 10, 0)
    return [*range(hard), *range(5000 + 10 * seed, 5000 + 10 * seed + count - hard)]


def costs(memory=None, duration=None):
    """Bytes and seconds as powers of the size, on top of what stem and head need."""
    memory = {"resnet": 1, "rk_net": 1, "ode_net": 0} | (memory or {})
    duration = {"resnet": 1, "rk_net": 1, "ode_net": 1} | (duration or {})
    common = {"kind": "cost", "status": "ok", "repetition": 0}
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
