"""A task of one's own, as a user writes it: small, so that tests are quick."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import nn

from optode.study.networks import Flow, Layers
from optode.study.task import Examples, Sets, Task
from optode.study.tasks import ACCURACY


def load(_: Path | None, seed: int) -> Sets:
    """Points of the plane, told apart by the sign of their product."""
    points = torch.randn(120, 2, generator=torch.Generator().manual_seed(seed))
    every = Examples(points, (points.prod(1) > 0).long())
    return Sets(*(every.take(slice(k, k + 40)) for k in (0, 40, 80)))


SIGNS = Task(
    "signs",
    "signs of products",
    load,
    Layers,
    partial(Flow, outputs=2),
    nn.functional.cross_entropy,
    ACCURACY,
    features=2,
    sizes=(12, 12),
    epochs=3,
    batch=16,
)
NO_TASK = 3
