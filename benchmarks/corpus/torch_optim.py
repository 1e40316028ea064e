"""The update rules of torch.optim, after its documentation.

LBFGS is none: how many gradients a step of it takes depends on what its line search finds. Muon is
for matrices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.corpus.rows import MATRIX_START, Row

BETAS = ("beta1", "beta2")
ADAM = {"lr": "lr", "betas": BETAS, "eps": "eps"}
DECAYED = {**ADAM, "weight_decay": "decay"}
SGD = {"lr": "lr", "momentum": "mu", "dampening": "tau", "weight_decay": "decay"}
PLAIN = {"lr": "lr", "alpha": "alpha", "eps": "eps"}
RMSPROP = {**PLAIN, "weight_decay": "decay", "momentum": "mu"}
MATRIX = {"d": 1.2, "eps1": 0.01, "eps2": 0.1}
ADAFACTOR = {"lr": "lr", "eps": ("eps1", "eps2"), "d": "d", "weight_decay": "decay"}


def row(optimizer: str, spec: str, options: Mapping[str, Any], **values: float) -> Row:
    return Row("torch.optim", optimizer, spec, options, values)


ROWS = (
    row("SGD", "weight_decay", {"lr": "s", "weight_decay": "decay"}),
    row(
        "SGD",
        "sgd",
        {"lr": "lr", "momentum": "momentum", "weight_decay": "decay"},
        dampening=0,
    ),
    row("SGD", "sgd_dampened", SGD, direction=1),
    row("SGD", "sgd_dampened", {**SGD, "maximize": True}, direction=-1, lr=0.005),
    row("SGD", "sgd_fixed", SGD, direction=1),
    row(
        "SGD",
        "sgd_nesterov",
        {"lr": "lr", "momentum": "momentum", "weight_decay": "decay", "nesterov": True},
    ),
    row(
        "ASGD",
        "asgd_l2",
        {"lr": "lr", "lambd": "lambd", "alpha": "alpha", "t0": 0, "weight_decay": "decay"},
    ),
    row("ASGD", "asgd", {"lr": "lr", "lambd": "lambd", "alpha": "alpha", "t0": 0}),
    row("Adagrad", "adagrad", {"lr": "lr", "eps": "eps"}),
    row(
        "Adagrad",
        "adagrad_started",
        {"lr": "lr", "eps": "eps", "initial_accumulator_value": "v0"},
    ),
    row(
        "Adagrad",
        "adagrad_falling",
        {"lr": "lr", "lr_decay": "q", "weight_decay": "decay", "eps": "eps"},
    ),
    row(
        "Adadelta", "adadelta_l2", {"lr": "lr", "rho": "rho", "eps": "eps", "weight_decay": "decay"}
    ),
    row("Adadelta", "adadelta", {"lr": "lr", "rho": "rho", "eps": "eps"}),
    row("Adam", "adam_bias_corrected", ADAM),
    row("Adam", "adam_l2_corrected", DECAYED),
    row("Adam", "amsgrad_corrected", {**DECAYED, "amsgrad": True}),
    row("AdamW", "adamw_corrected", DECAYED),
    row("AdamW", "amsgradw_corrected", {**DECAYED, "amsgrad": True}),
    row("Adamax", "adamax_corrected", DECAYED),
    row("NAdam", "nadam", {**ADAM, "momentum_decay": "psi"}),
    row("NAdam", "nadam_l2", {**DECAYED, "momentum_decay": "psi"}),
    row("RAdam", "radam_l2", DECAYED),
    row("RMSprop", "rmsprop", {"lr": "lr", "alpha": "beta", "eps": "eps"}),
    row("RMSprop", "rmsprop_fixed_decay", {"lr": "lr", "alpha": "beta", "eps": "eps"}),
    row("RMSprop", "rmsprop_momentum", {**PLAIN, "momentum": "momentum"}),
    row("RMSprop", "rmsprop_centered", {**PLAIN, "momentum": "momentum", "centered": True}),
    row("RMSprop", "rmsprop_momentum_l2", RMSPROP),
    row("RMSprop", "rmsprop_centered_l2", {**RMSPROP, "centered": True}),
    row(
        "Rprop",
        "rprop_stored",
        {"lr": "lr", "etas": ("down", "up"), "step_sizes": ("smallest", "largest")},
        low=0.1,
        high=8,
    ),
    row("Adafactor", "adafactor_vector", ADAFACTOR, d=1.2, eps1=0.01, eps2=0.1),
    Row(
        "torch.optim",
        "Adafactor",
        "adafactor_matrix",
        ADAFACTOR,
        MATRIX,
        shape=(2, 2),
        start=MATRIX_START,
    ),
    Row("torch.optim", "SparseAdam", "sparse_adam", ADAM, sparse=True),
)
