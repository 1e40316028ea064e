"""Follow h, and the gradient of the loss by h, along the time of a model.

Where every row of a sequence has an output, the loss is that of the last one: the gradient then says
how much the rows before it matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from optode.study.networks import Flow
from optode.study.task import Examples, Task

_SAMPLES, _POINTS, _TIMES = 64, 60, 41
BACK = 25
"""The number of times at which the sizes of costates are noted for each epoch."""

Paths: TypeAlias = dict[str, np.ndarray]


def paths_of(network: Any, task: Task, examples: Examples) -> Paths:
    """Return sizes of h and of the costates of h at times, and the paths of some points.

    Of points in a plane that are h at the start these are ``flow`` (times, points, 2) with
    ``flow_time`` and ``flow_class``.
    """
    found = sizes_of(network, task, examples)
    if isinstance(network, Flow) and task.features == 2:
        found |= _flow(network, examples)
    return found


def reach_of(sizes: Mapping[str, np.ndarray]) -> float:
    """Return dL/dh at the start of a path over that at its end: how far back gradients reach."""
    norms = sizes.get("a_norm", np.empty(0))
    return float(norms[-1] / norms[0]) if len(norms) else float("nan")


def costates_back(sizes: Mapping[str, np.ndarray]) -> list[float]:
    """Return the size of dL/dh at equally spaced times from the end of a path back to its start."""
    times, norms = sizes["a_time"], sizes["a_norm"]
    back = times[0] - times
    found = np.interp(np.linspace(0.0, back[-1], BACK), back, norms)
    found[[0, -1]] = norms[[0, -1]]  # of two at one time, before and after a row
    return [*map(float, found)]


def sizes_of(network: Any, task: Task, examples: Examples) -> Paths:
    """Return the sizes of h and of dL/dh along the time, root mean squares over some samples.

    ``h_time``, ``h_norm``: at the starts of steps. ``a_time``, ``a_norm``: of dL/dh from the end of
    the path back, where L is the loss of the last row, or the whole loss where there are no rows.
    """
    node, batch = network.node, examples.take(slice(_SAMPLES))
    seen: list[tuple[float, float]] = []

    def note(t: Any, states: Any, dt: Any) -> None:
        seen.append((float(t.float().mean()), float(states[0].square().mean().sqrt())))

    node.record, node.callback_step = True, note
    try:
        output = network(batch)
        loss = task.loss(*_last(output.value, batch))
        loss.backward()  # type: ignore[no-untyped-call]
    finally:
        node.record = False
        del node.callback_step
        network.zero_grad(set_to_none=True)
    costates = output.stats.costates
    norms = [float(x.costates[0].square().mean().sqrt()) for x in costates]
    return {
        "h_time": np.array([t for t, _ in seen]),
        "h_norm": np.array([x for _, x in seen]),
        "a_time": np.array([float(x.time.float().mean()) for x in costates]),
        "a_norm": np.array(norms),
    }


def _last(value: Tensor, batch: Examples) -> tuple[Tensor, Tensor]:
    """Return the output and the target of the last row; of what is no sequence of rows all."""
    rows = None if batch.times is None else batch.times.shape
    if value.ndim > 2 and value.shape[:2] == rows:
        return value[:, -1:], batch.targets[:, -1:]
    return value, batch.targets


@torch.no_grad()
def _flow(network: Flow, examples: Examples) -> Paths:
    """Return the paths of points, which are h at the start."""
    some, node = examples.take(slice(_POINTS)), network.node
    start, end = node.span
    times = torch.linspace(start, end, _TIMES, dtype=torch.float64)
    path = node.integrate(network.start(some.inputs), times).states[0][..., :2]
    return {
        "flow": path.numpy(),
        "flow_time": times.numpy(),
        "flow_class": some.targets.numpy(),
    }
