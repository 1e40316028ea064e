"""Look at a network on held-out data: its loss, its metric, and the largest entry of h."""

from __future__ import annotations

from typing import Any

import torch

from optode.study.record import Row
from optode.study.task import Examples, Task

_TOGETHER = 500
"""The samples that are looked at together: of images more take longer each."""


@torch.no_grad()
def looked_at(network: Any, task: Task, examples: Examples) -> tuple[Row, float]:
    """Return the loss and the metric on examples, and the largest size of an entry of h on the way.

    h is looked at where steps of the solver begin.
    """
    node, largest = network.node, [0.0]
    node.callback_step = lambda t, states, dt: largest.append(float(states[0].abs().max()))
    try:
        parts = torch.split(torch.arange(len(examples)), _TOGETHER)
        value = torch.cat([network(examples.take(part)).value for part in parts])
    finally:
        del node.callback_step
    found = {
        "loss": float(task.loss(value, examples.targets)),
        "metric": task.metric.of(value, examples.targets),
    }
    return found, max(largest)
