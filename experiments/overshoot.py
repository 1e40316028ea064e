"""See how far untrained models go over a long time, from many starts and fields."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import torch

from experiments.models import entrants
from optode.study.entrants import arguments_of, node_of
from optode.study.networks import Layers
from optode.study.task import Task
from optode.study.tasks import TASKS

STARTS, FEATURES, SIZES, END = 200, 8, (24, 24), 64.0
FEW = 10_000
"""The most steps of a solve; what needs more has no bound."""


def measure(names: list[str], starts: int = STARTS) -> pd.DataFrame:
    """Return log10 of the largest entry of h over 64 units of time: quartiles over the starts.

    Each start has a field of its own, as PyTorch draws it, and h(0) from a normal distribution.
    """
    task, rows = _task(), []
    for label, model in zip(names, entrants(names), strict=True):
        sizes, found = arguments_of(model, task), []
        for seed in range(starts):
            torch.manual_seed(seed)
            node = node_of(model, Layers(model.features(task), SIZES, sizes), task, method="auto")
            node.options = {"max_steps": FEW}
            found.append(_largest(node))
        low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
        rows.append({"model": label, "low": low, "median": middle, "high": high})
    return pd.DataFrame(rows)


def _task() -> Task:
    spheres = TASKS["spheres"]
    names = ("load", "field", "around", "loss", "metric")
    given = {name: getattr(spheres, name) for name in names}
    return Task("overshoot", "", features=FEATURES, span=(0.0, END), **given)


@torch.no_grad()
def _largest(node: object) -> float:
    seen = [0.0]
    node.callback_step = lambda t, states, dt: seen.append(float(states[0].abs().max()))  # type: ignore[attr-defined]
    try:
        node.integrate(torch.randn(1, FEATURES))  # type: ignore[attr-defined]
    except (ArithmeticError, RuntimeError):
        return math.inf
    return math.log10(max(seen))
