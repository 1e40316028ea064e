"""Train nested spheres as the released notebooks do, beside equal conditions.

Fifty points, all at once, 300 steps of Adam at 0.01; the mean squared error of a linear map cut to
[-1, 1]; dopri5 by torchdiffeq's adjoint at 1e-7. Models with a velocity have a network for its
start, ANODE has another feature, and what the notebook calls GHBNODE has no activation: there it is
commented out, so that it is HBNODE with a pull of 2 h. "equal" gives every model the two features,
the networks' sizes of HBNODE and, where it has a velocity, a start at rest.

Equations are typed from the notebooks of Xia et al. (github.com/hedixia/HeavyBallNODE, point_cloud).
Their data file is not among them: points are drawn as in Dupont et al. 2019 (arXiv:1904.01681).
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torchdiffeq import odeint_adjoint

from experiments.trained import remembered
from optode.study.running import one_thread

POINTS, STEPS, SEEDS, RATE, TOLERANCE = 50, 300, 20, 0.01, 1e-7
INNER, OUTER = 0.5, (1.0, 1.5)
LEARNED, STUCK = 1e-3, 0.05
"""A loss below the first after training; one above the second: points whose output stays on the wrong
side of the cut."""


class Model(NamedTuple):
    """A model of the notebooks: features beside the two, hidden units, the pull, and its start."""

    extra: int = 0
    hidden: int = 14
    pull: float = 0.0
    has_start: bool = True


MODELS = {
    "NODE": Model(0, 20),
    "ANODE": Model(1, 20),
    "SONODE": Model(0, 13),
    "HBNODE": Model(),
    "GHBNODE": Model(pull=2.0),
}
FIRST_ORDER = ("NODE", "ANODE")
WAYS = ("as released", "equal")


class Rates(nn.Module):
    """The rates of a model's state, whose velocities stand below its positions."""

    def __init__(self, name: str, features: int, model: Model) -> None:
        super().__init__()
        self.name, self.pull, self.nfe = name, model.pull, 0
        inputs = 2 * features if name == "SONODE" else features
        sizes = (inputs, model.hidden, model.hidden, features)
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in pairwise(sizes))
        if name not in FIRST_ORDER:
            self.gamma = nn.Parameter(
                torch.tensor([-3.0])
            )  # of SONODE, too, which does not read it

    def force(self, x: Tensor) -> Tensor:
        """Return the network's value: three layers with ELU between them."""
        first, second, last = self.layers
        found: Tensor = last(nn.functional.elu(second(nn.functional.elu(first(x)))))
        return found

    def forward(self, t: Tensor, state: Tensor) -> Tensor:
        """Return the rate of the whole state."""
        self.nfe += 1
        if self.name in FIRST_ORDER:
            return self.force(state)
        z, v = state.chunk(2)
        if self.name == "SONODE":
            return torch.cat([v, self.force(torch.cat([z, v], 1))])
        return torch.cat([-v, self.force(z) - torch.sigmoid(self.gamma) * v + self.pull * z])


class Spheres(nn.Module):
    """Points that move as a model says, and a linear map of where they end, cut to [-1, 1]."""

    def __init__(self, name: str, way: str) -> None:
        super().__init__()
        released, equal = MODELS[name], way == "equal"
        model = released._replace(hidden=MODELS["HBNODE"].hidden) if equal else released
        self.extra, features = model.extra, 2 + model.extra
        self.moves = name not in FIRST_ORDER
        self.start = None
        if self.moves and not equal:
            sizes, cut = (features, model.hidden, model.hidden, features), (-5.0, 5.0)
            layers = [nn.Linear(m, n) for m, n in pairwise(sizes)]
            between = [nn.Hardtanh(*cut), nn.Hardtanh(*cut)]
            self.start = nn.Sequential(layers[0], between[0], layers[1], between[1], layers[2])
        self.rates = Rates(name, features, model)
        self.head = nn.Linear(features, 1)

    def forward(self, points: Tensor) -> Tensor:
        """Return the output of each point, of shape (points,)."""
        x = nn.functional.pad(points, (0, self.extra))
        if self.moves:
            x = torch.cat([x, torch.zeros_like(x) if self.start is None else self.start(x)])
        times = x.new_tensor([0.0, 1.0])
        settings = {"rtol": TOLERANCE, "atol": TOLERANCE}
        end = odeint_adjoint(self.rates, x, times, **settings)[-1][: len(points)]
        return nn.functional.hardtanh(self.head(end))[:, 0]


def points(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return points of a disc and of a ring around it, a third of the disc, and -1 or 1."""
    generator = torch.Generator().manual_seed(seed)
    inside = torch.arange(count) < count // 3
    low, high = torch.where(inside, 0.0, OUTER[0]), torch.where(inside, INNER, OUTER[1])
    radius = torch.sqrt(low**2 + (high**2 - low**2) * torch.rand(count, generator=generator))
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1), 1.0 - 2.0 * inside


def trained(name: str, way: str, seed: int, steps: int = STEPS) -> dict[str, float]:
    """Return the loss after training, and the mean and the most evaluations of a step."""
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _trained(Spheres(name, way), *points(POINTS, seed), steps)


def _trained(network: Spheres, x: Tensor, y: Tensor, steps: int) -> dict[str, float]:
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    counts = np.zeros((steps, 2))
    loss = torch.tensor(math.nan)
    for step in range(steps):
        optimizer.zero_grad()
        network.rates.nfe = 0
        try:
            loss = (network(x) - y).square().mean()
            forward = network.rates.nfe
            loss.backward()
        except AssertionError:  # torchdiffeq's "underflow in dt"
            return {"loss": math.inf, "forward": math.nan, "backward": math.nan}
        optimizer.step()
        counts[step] = forward, network.rates.nfe - forward
    forward, backward = counts.mean(0)
    return {"loss": float(loss.detach()), "forward": forward, "backward": backward}


def measure(
    names: list[str], runs: Path, jobs: int, seeds: int = SEEDS, steps: int = STEPS
) -> pd.DataFrame:
    """Return, of each model in both ways, its parameters, losses and evaluations over the seeds."""
    asked = [(name, way) for way in WAYS for name in MODELS if name in names]
    every = [(name, way, seed, steps) for name, way in asked for seed in range(seeds)]
    ended = remembered(trained, every, runs, jobs)
    rows = []
    for k, (name, way) in enumerate(asked):
        own = pd.DataFrame(ended[k * seeds : (k + 1) * seeds])
        size = sum(p.numel() for p in Spheres(name, way).parameters())
        losses = own["loss"]
        row = {"model": name, "trained": way, "parameters": size, "loss": losses.median()}
        row |= {"learned": (losses < LEARNED).mean(), "stuck": int((losses > STUCK).sum())}
        rows.append(row | {"seeds": seeds} | {x: own[x].median() for x in ("forward", "backward")})
    return pd.DataFrame(rows)
