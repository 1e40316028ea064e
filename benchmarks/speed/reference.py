"""Compute the reference gradient, and the error of a contender's gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torchdiffeq import odeint

from benchmarks.speed.cases import Problem
from benchmarks.speed.equations import MODELS

TOLERANCE = 1e-12
# Elements of h solved at once: the reference keeps the graph of every step in memory.
PIECE = 16_000

Arrays = dict[str, np.ndarray]


def reference(problem: Problem, tolerance: float = TOLERANCE) -> Arrays:
    """Return the gradients of the loss by the parameters (by name) and by h0, in float64.

    The equations by hand, torchdiffeq's dopri8, and backpropagation through its steps.
    """
    model = MODELS[problem.model].by_hand(problem.to(torch.float64).field()).double()
    pieces: list[torch.Tensor] = []
    size = max(1, PIECE // problem.h0[0].numel())
    for first in range(0, len(problem.h0), size):
        piece = problem.to(torch.float64).part(slice(first, first + size))
        share = len(piece.h0) / len(problem.h0)
        h0 = piece.h0.requires_grad_()
        times = torch.tensor(problem.span, dtype=torch.float64)
        # a step that ends at the end of the span: nothing is interpolated
        settings: dict[str, Any] = {"rtol": tolerance, "atol": tolerance, "method": "dopri8"}
        path = odeint(model, model.start(h0), times, **settings, options={"step_t": times[1:]})
        (share * piece.loss(path[0][-1])).backward()
        pieces.append(h0.grad)
    bars = {name: p.grad.numpy() for name, p in model.named_parameters()}
    return bars | {"h0": torch.cat(pieces).numpy()}


def gradient_error(found: Mapping[str, Any], wanted: Arrays) -> float:
    """Return the error of the worst tensor: its largest deviation over its largest wanted entry.

    A gradient that is missing, or not finite, is infinitely wrong.
    """
    if found.keys() != wanted.keys():
        return float("inf")
    errors = []
    for name, right in wanted.items():
        difference = np.abs(np.asarray(found[name], dtype=np.float64) - right)
        errors.append(difference.max() / np.abs(right).max())
    worst = float(max(errors))
    return worst if np.isfinite(worst) and np.isfinite(errors).all() else float("inf")
