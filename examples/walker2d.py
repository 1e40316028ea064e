"""Predict a simulated walker from irregular samples: `python examples/walker2d.py --help`.

Walker2D as Lechner and Hasani (2020, arXiv:2006.04418) set it up: of 400 simulated rollouts, 17 joint
positions and velocities each, one row in ten is left out. From windows of 64 of the rows that are left,
and their times: at each row the one that follows it in the rollout. The models are ODE-RNNs with the
same cell, learning rate and start; only the ODE differs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optode.runtime import ODERNN

ROOT = Path(__file__).resolve().parent.parent
MODELS = {
    "node": ("gradient_descent", "NODE"),
    "sonode": ("second_order", "SONODE"),
    "hbnode": ("heavy_ball", "HBNODE"),
    "ghbnode": ("generalized_heavy_ball", "GHBNODE"),
    "nesterovnode": ("nesterov", "NesterovNODE"),
    "adamnode": ("adam", "AdamNODE"),
}
LENGTH = 64
KEPT = 0.9


def main() -> None:
    options = parse_options()
    torch.set_num_threads(options.threads)
    train, valid, test = load_windows(options.data / "walker2d.npz")
    train = train.take(slice(options.windows))
    print(f"{len(train)} training, {len(valid)} validation and {len(test)} test windows")
    print(f"test MSE, row repeated: {mse(test.values, test.targets):.4f}")
    print(f"test MSE, linear map of the row: {mse(linear_map(train, test), test.targets):.4f}")
    print(f"test MSE, {options.model}:", flush=True)
    results = [fit(options, seed, train, valid, test) for seed in options.seeds]
    for name, losses in (
        ("last epoch", [result.last for result in results]),
        ("epoch of best validation", [result.best for result in results]),
    ):
        spread = f" ± {statistics.stdev(losses):.4f}" if len(losses) > 1 else ""
        print(f"{name}: {statistics.mean(losses):.4f}{spread} over {len(losses)} seed(s)")


def parse_options() -> argparse.Namespace:
    data = os.environ.get("OPTODE_DATA")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="hbnode")
    parser.add_argument("--data", type=Path, metavar="DIR", default=Path(data) if data else None)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", default=[0, 1, 2])
    parser.add_argument("--windows", type=int, help="train on so many, default: on all")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--method", default="dopri5")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--gradient", default="discrete")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--generated", type=Path, metavar="DIR", default=ROOT / "generated")
    options = parser.parse_args()
    if options.data is None or not (options.data / "walker2d.npz").is_file():
        parser.error("--data (or OPTODE_DATA): expected a folder that has walker2d.npz")
    if options.epochs < 1:
        parser.error("--epochs: expected 1 or more")
    return options


@dataclass(frozen=True, slots=True)
class Windows:
    """N windows: values and targets, (N, LENGTH, 17), and the times of the values, (N, LENGTH).

    The unit of time is LENGTH rows. Every window begins at time 1, as the models with damping 3/t do
    in the literature: it is singular at 0.
    """

    values: Tensor
    times: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: Tensor | slice) -> Windows:
        return Windows(self.values[index], self.times[index], self.targets[index])

    def to(self, device: str) -> Windows:
        return Windows(self.values.to(device), self.times.to(device), self.targets.to(device))


def load_windows(path: Path) -> tuple[Windows, Windows, Windows]:
    """Training, validation and test windows, each rollout in one of them only.

    The seeds are those of Lechner and Hasani's code, so that the windows are theirs.
    """
    with np.load(path) as file:
        rollouts = np.split(file["rollouts"], np.cumsum(file["lengths"])[:-1])
    order = np.arange(len(rollouts))
    np.random.RandomState(125487).shuffle(order)
    generator = np.random.RandomState(891374)
    tested, validated = int(0.15 * len(order)), int(0.25 * len(order))
    train = cut([rollouts[i] for i in order[validated:]], generator)
    valid = cut([rollouts[i] for i in order[tested:validated]], generator)
    test = cut([rollouts[i] for i in order[:tested]], generator)
    return train, valid, test


def cut(rollouts: list[np.ndarray], generator: np.random.RandomState) -> Windows:
    """Windows of LENGTH kept rows, a quarter of it apart."""
    values, times, targets = [], [], []
    for rollout in rollouts:
        (kept,) = np.nonzero(generator.rand(len(rollout) - 1) < KEPT)
        for start in range(0, len(kept) - LENGTH, LENGTH // 4):
            rows = kept[start : start + LENGTH]
            values.append(rollout[rows])
            times.append(1.0 + (rows - rows[0]) / LENGTH)
            targets.append(rollout[rows + 1])
    arrays = (np.stack(part).astype(np.float32) for part in (values, times, targets))
    return Windows(*map(torch.from_numpy, arrays))


def mse(prediction: Tensor, targets: Tensor) -> float:
    return float((prediction - targets).square().mean())


def linear_map(train: Windows, test: Windows) -> Tensor:
    """Least squares from each row to the next: (N, LENGTH, 17)."""

    def design(windows: Windows) -> Tensor:
        return nn.functional.pad(windows.values.flatten(0, 1).double(), (0, 1), value=1.0)

    solution = torch.linalg.lstsq(design(train), train.targets.flatten(0, 1).double()).solution
    return (design(test) @ solution).reshape(test.targets.shape)


class Field(nn.Module):
    """f(t, h), and SONODE's f(t, x, v): one tanh layer of all the states it is given."""

    def __init__(self, states: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(states * hidden, hidden), nn.Tanh(), nn.Linear(hidden, hidden)
        )

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        out: Tensor = self.net(torch.cat(states, dim=-1))
        return out


def build(options: argparse.Namespace, features: int) -> Any:
    """An ODE-RNN; the node is one of a generated module."""
    sys.path.insert(0, str(options.generated))
    file, name = MODELS[options.model]
    node_class = getattr(importlib.import_module(file), name)
    second_order = {"features": options.hidden} if options.model == "sonode" else {}
    node = node_class(
        Field(1 + len(second_order), options.hidden),
        method=options.method,
        rtol=options.tolerance,
        atol=options.tolerance,
        gradient=options.gradient,
        **second_order,
    )
    cell, readout = nn.GRUCell(features, options.hidden), nn.Linear(options.hidden, features)
    return ODERNN(node, cell, readout)


@dataclass(frozen=True, slots=True)
class Result:
    """Test losses of one training, at its last epoch and at the one of best validation."""

    last: float
    best: float


def fit(
    options: argparse.Namespace, seed: int, train: Windows, valid: Windows, test: Windows
) -> Result:
    """Train one model from the seed's start, and say what it does."""
    torch.manual_seed(seed)
    model = build(options, train.values.shape[-1]).to(options.device)
    optimizer = torch.optim.Adam(model.parameters(), options.learning_rate)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"seed {seed}, {parameters:,} parameters", flush=True)
    best_validation, best = float("inf"), float("nan")
    for epoch in range(1, options.epochs + 1):
        clock = time.perf_counter()
        loss, forward_nfe, backward_nfe = train_epoch(model, optimizer, train, options)
        seconds = time.perf_counter() - clock
        validation, last = (evaluate(model, part, options) for part in (valid, test))
        if validation < best_validation:
            best_validation, best = validation, last
        print(
            f"  epoch {epoch}: train {loss:.4f}, valid {validation:.4f}, test {last:.4f}, "
            f"NFE {forward_nfe:.0f} forward, {backward_nfe:.0f} backward, {seconds:.1f} s",
            flush=True,
        )
    return Result(last, best)


def train_epoch(
    model: Any, optimizer: torch.optim.Optimizer, train: Windows, options: argparse.Namespace
) -> tuple[float, float, float]:
    """One pass: mean loss, forward and backward NFE of a batch (all its intervals together)."""
    total, forward_nfe, backward_nfe = 0.0, 0, 0
    batches = torch.split(torch.randperm(len(train)), options.batch)
    for index in batches:
        batch = train.take(index).to(options.device)
        solution = model.integrate(batch.values, batch.times)
        loss = (model.readout(solution.states[0]) - batch.targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item() * len(index)
        forward_nfe += solution.stats.forward_nfe
        backward_nfe += solution.stats.backward_nfe
    return total / len(train), forward_nfe / len(batches), backward_nfe / len(batches)


@torch.no_grad()
def evaluate(model: Any, windows: Windows, options: argparse.Namespace) -> float:
    """The mean squared error."""
    total = 0.0
    for index in torch.split(torch.arange(len(windows)), options.batch):
        batch = windows.take(index).to(options.device)
        total += mse(model(batch.values, batch.times), batch.targets) * len(index)
    return total / len(windows)


if __name__ == "__main__":
    main()
