"""Train plane vibration as the released code does, beside a linear regression.

Sequences of 64 rows, a tenth of the record left out at random, then eight rows to foretell. The
first half of the record is for training, the next quarter for validation, the last for testing.
Between two rows a model takes as many units of time as there are from one to the other; at a row a
linear map of it and of the states is added to the states. They start as a linear map of all 64
rows. The parameters are drawn and then divided by 100, the dampings too: sigmoid(-3) becomes
sigmoid(-0.03). ANODE goes on there from a model that is not released; here it is trained as the
others are.

Equations are typed from the code of Xia et al. (github.com/hedixia/HeavyBallNODE,
plane_vibration). Solves take steps of one row at most, and gradients are exact; *error* says how far
the forecast is from one by dopri8 at 1e-9.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from experiments.models import entrants
from experiments.trained import remembered
from optode.study.recorded import ROWS, found
from optode.study.running import one_thread

AHEAD, COLUMNS, LAST = 8, 5, 16
"""Rows to foretell, entries of a row, and the rows that the linear regression reads."""

EPOCHS, SEEDS, BATCH = 60, 3, 64
RATES = {0: 1e-3, 50: 1e-4}
"""The rate of Adam from an epoch on, which begins anew with it."""

SHRUNK, SHOWN = 0.01, 0.1
"""What parameters are multiplied by, and the weight of the rows that were shown in the loss."""


class Model(NamedTuple):
    """A model of ``experiments.models``, its features, and the factors of its hidden units."""

    name: str
    features: int
    hidden: tuple[int, int] = (1, 1)


MODELS = {
    "NODE": Model("NODE", 21, (3, 4)),
    "ANODE": Model("NODE", 27, (3, 4)),
    "SONODE": Model("SONODE", 19, (2, 1)),
    "HBNODE": Model("HBNODE, pull learned", 20),
    "GHBNODE": Model("GHBNODE", 20),
}


class Rows(NamedTuple):
    """Rows that are shown and those after each, the times between, and the rows to foretell.

    Of shapes (sequences, 64, 5), (sequences, 64) and (sequences, 8, 5).
    """

    shown: Tensor
    following: Tensor
    lengths: Tensor
    ahead: Tensor

    def take(self, index: slice) -> Rows:
        """Return some of the sequences."""
        return Rows(*(x[index] for x in self))


def sets(folder: Path | None) -> tuple[Rows, Rows, Rows]:
    """Return what is trained on, validated by and tested on, as the released code draws them."""
    path = found(folder, "pv.csv")
    table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(COLUMNS))
    table = (table - table.mean(0)) / table.std(0)
    drawn, length = np.random.RandomState(1), len(table) - 100
    kept = np.sort(drawn.choice(range(length), int(0.9 * length), replace=False))
    train, valid = len(kept) // 2, len(kept) // 4
    parts = np.split(kept, [train, train + valid])
    return tuple(sequences(table, part) for part in parts)  # type: ignore[return-value]


def sequences(table: np.ndarray, kept: np.ndarray) -> Rows:
    """Return the rows with these numbers in sequences of 64, each with the row after it."""
    count = len(kept) // (ROWS + 1)
    places = kept[: count * (ROWS + 1)].reshape(count, ROWS + 1)
    ahead = places[:, -1:] + np.arange(AHEAD)
    parts = (table[places[:, :-1]], table[places[:, 1:]], np.diff(places), table[ahead])
    return Rows(*(torch.from_numpy(x).float() for x in parts))


class Force(nn.Module):
    """f(t, states): three layers with ReLU between, of the states side by side."""

    def __init__(self, arguments: int, features: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        sizes = (arguments * features, *(n * features for n in hidden), features)
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in pairwise(sizes))

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        """Return the rate, of the shape of one state."""
        first, second, last = self.layers
        x = torch.cat(states, -1)
        rate: Tensor = last(torch.relu(second(torch.relu(first(x)))))
        return rate


class Vibration(nn.Module):
    """Rows as the released code goes through them, and the eight that it foretells."""

    def __init__(self, name: str) -> None:
        super().__init__()
        model = MODELS[name]
        (entrant,) = entrants([model.name])
        size = model.features
        force = Force(2 if name == "SONODE" else 1, size, model.hidden)
        steps = {"method": "tsit5", "options": {"step_size": 1.0}}
        self.node = entrant.made()(force, span=(0.0, float(ROWS)), **steps)
        self.count, self.size = len(self.node.state_names), size
        width = self.count * size
        self.start = nn.Linear(ROWS * COLUMNS, COLUMNS if name == "ANODE" else width)
        self.row = nn.Linear(COLUMNS, width)
        self.states = nn.ModuleList(nn.Linear(size, width) for _ in range(self.count))
        self.head = nn.Linear(size, COLUMNS)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(SHRUNK)
            if hasattr(self.node, "raw_xi"):
                self.node.raw_xi.zero_()  # the released pull begins from softplus(0)

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows as they are seen, those foretold from each, and those ahead."""
        start = self.start(rows.shown.flatten(1))
        states = self._parted(
            nn.functional.pad(start, (0, self.count * self.size - start.shape[1]))
        )
        seen, foretold = [], []
        for k in range(ROWS):
            change = self.row(rows.shown[:, k])
            change = change + sum(map_(z) for map_, z in zip(self.states, states, strict=True))
            states = tuple(z + part for z, part in zip(states, self._parted(change), strict=True))
            seen.append(states[0])
            states = tuple(z[-1] for z in self._flow(states, rows.lengths[:, k]))
            foretold.append(states[0])
        ahead = self.node.integrate(states, torch.arange(float(AHEAD))).states[0].movedim(0, 1)
        return tuple(map(self.head, (torch.stack(seen, 1), torch.stack(foretold, 1), ahead)))

    def _parted(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.split(x, self.size, -1)

    def _flow(self, states: tuple[Tensor, ...], lengths: Tensor) -> tuple[Tensor, ...]:
        times = torch.stack([torch.zeros_like(lengths), lengths], 1)
        found: tuple[Tensor, ...] = self.node.integrate(states, times).states
        return found


def trained(name: str, seed: int, folder: Path | None, epochs: int = EPOCHS) -> dict[str, float]:
    """Return the mean squared errors of the forecast of the test set, and the solver's error."""
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, (train, valid, test) = Vibration(name), sets(folder)
        best = float("inf"), float("nan")
        for epoch in range(epochs):
            if epoch in RATES:
                optimizer = torch.optim.Adam(network.parameters(), RATES[epoch])
            for k in range(0, len(train.shown), BATCH):
                optimizer.zero_grad()
                _loss(network, train.take(slice(k, k + BATCH))).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
            best = min(best, (_error(network, valid), _error(network, test)))
        ended = {"last": _error(network, test), "chosen": best[1]}
        return ended | {"solver": solver_error(network, test.take(slice(BATCH)))}


def _loss(network: Vibration, rows: Rows) -> Tensor:
    squares = nn.functional.mse_loss
    seen, foretold, ahead = network(rows)
    shown = squares(foretold, rows.following) + squares(seen, rows.shown)
    return squares(ahead, rows.ahead) + SHOWN * shown


@torch.no_grad()
def _error(network: Vibration, rows: Rows) -> float:
    return float((network(rows)[2] - rows.ahead).square().mean())


@torch.no_grad()
def solver_error(network: Vibration, rows: Rows) -> float:
    """Return how far the forecast is from an exact one, over its largest entry."""
    found, node = network(rows)[2], network.node
    node.method, node.options, node.rtol, node.atol = "dopri8", {}, 1e-9, 1e-9
    exact = network.double()(Rows(*(x.double() for x in rows)))[2]
    return float((found - exact).abs().max() / exact.abs().max())


def regression(folder: Path | None) -> float:
    """Return the error of a linear map of the last rows to those ahead, by least squares."""
    train, _, test = sets(folder)

    def inputs(rows: Rows) -> Tensor:
        late = rows.shown[:, -LAST:].flatten(1)
        return nn.functional.pad(late, (0, 1), value=1.0).double()

    known = train.ahead.flatten(1).double()
    weights = torch.linalg.lstsq(inputs(train), known).solution
    return float((inputs(test) @ weights - test.ahead.flatten(1)).square().mean())


def measure(
    names: list[str], runs: Path, jobs: int, data: Path | None = None, seeds: int = SEEDS
) -> pd.DataFrame:
    """Return the errors of the forecasts of the models, and that of a linear regression."""
    asked = [name for name in MODELS if name in names]
    every = [(name, seed) for name in asked for seed in range(seeds)]
    ended = remembered(trained, [(*each, data) for each in every], runs, jobs)
    rows: list[dict[str, Any]] = []
    for k, name in enumerate(asked):
        own = pd.DataFrame(ended[k * seeds : (k + 1) * seeds])
        low, middle, high = own["last"].quantile([0.0, 0.5, 1.0])
        size = sum(p.numel() for p in Vibration(name).parameters())
        row = {"model": name, "parameters": size, "seeds": seeds}
        row |= {"test_loss": middle, "low": low, "high": high}
        rows.append(row | {"chosen": own["chosen"].median(), "error": own["solver"].max()})
    error, size = regression(data), AHEAD * COLUMNS * (LAST * COLUMNS + 1)
    linear = {"model": "linear regression", "parameters": size, "seeds": 1, "test_loss": error}
    return pd.DataFrame([*rows, linear | {"low": error, "high": error, "chosen": error}])
