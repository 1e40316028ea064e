"""See how the features of the spheres come apart in training."""

from __future__ import annotations

import pandas as pd
import torch

from experiments.trained import fits

EPOCHS, POINTS = (1, 3, 10, 30), 60


def measure(names: list[str]) -> pd.DataFrame:
    """Return h at the end of some test points after several epochs, from the first seed."""
    rows = []
    for label, current in fits(names, epochs=EPOCHS[-1]):
        points = current.sets.test.take(slice(POINTS))
        while len(current.rows) < EPOCHS[-1]:
            current.epoch()
            if len(current.rows) in EPOCHS:
                found = pd.DataFrame(ends(current.network, points.inputs), columns=["x", "y"])
                known = {"model": label, "epoch": len(current.rows)}
                rows.append(found.assign(kind=points.targets.numpy(), **known))
    columns = ["model", "epoch", "kind", "x", "y"]
    return pd.concat(rows)[columns]


@torch.no_grad()
def ends(network: torch.nn.Module, points: torch.Tensor) -> list[list[float]]:
    """Return the first two features of h at the end, a pair for each point."""
    start = network.start(points)  # type: ignore[operator]
    path = network.node.integrate(start).states[0]  # type: ignore[operator, union-attr]
    found: list[list[float]] = path[-1, :, :2].tolist()
    return found
