"""The network around a generated node, and its training: the same for every model of the demo."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tasks import Examples, Task
from torch import Tensor, nn

FEATURES = 16
WIDTH = 64
BATCH = 64
LEARNING_RATE = 1e-2
TOLERANCE = 1e-3


class DrivenField(nn.Module):
    """f(t, h): a tanh layer with a linear part beside it, of the state and of the drive at time t."""

    drive: Tensor

    def __init__(self, features: int, driven: bool, span: float) -> None:
        super().__init__()
        inputs = features + driven
        self.span = span
        self.linear = nn.Linear(inputs, features)
        self.tanh = nn.Sequential(nn.Linear(inputs, WIDTH), nn.Tanh(), nn.Linear(WIDTH, features))
        self.register_buffer("drive", torch.zeros(1, 0), persistent=False)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        if self.drive.shape[1]:
            h = torch.cat((h, self.drive_at(float(t))), dim=1)
        return self.linear(h) + self.tanh(h)

    def drive_at(self, t: float) -> Tensor:
        """Linear interpolation: (N, 1). Trial steps of a solver may reach past the end of the span."""
        intervals = self.drive.shape[1] - 1
        place = min(max(t / self.span * intervals, 0.0), float(intervals))
        left = min(int(place), intervals - 1)
        weight = place - left
        return ((1 - weight) * self.drive[:, left] + weight * self.drive[:, left + 1])[:, None]


class Network(nn.Module):
    """Linear encoder to h(0), a generated node, linear decoder of h at the times observed."""

    times: Tensor
    node: Any

    def __init__(self, node_class: type[nn.Module], task: Task) -> None:
        super().__init__()
        observations, channels = task.train.targets.shape[1:]
        driven = task.train.drive.shape[1] > 0
        self.encoder = nn.Linear(task.train.inputs.shape[1], FEATURES)
        self.decoder = nn.Linear(FEATURES, channels)
        self.field = DrivenField(FEATURES, driven, task.span)
        self.node = node_class(
            self.field, span=(0.0, task.span), rtol=TOLERANCE, atol=TOLERANCE, gradient="discrete"
        )
        times = torch.linspace(0.0, task.span, observations + 1)[1:]
        self.register_buffer("times", times, persistent=False)

    def forward(self, examples: Examples) -> tuple[Tensor, Any]:
        """The prediction, (N, observations, channels), and the statistics of the solve."""
        self.field.drive = examples.drive
        solution = self.node.integrate(self.encoder(examples.inputs), self.times)
        return self.decoder(solution.states[0]).transpose(0, 1), solution.stats


@dataclass(frozen=True, slots=True)
class Result:
    """One trained model: curves are mean squared errors by epoch, NFE are means of the last epoch."""

    name: str
    network: Network
    train_curve: tuple[float, ...]
    test_curve: tuple[float, ...]
    forward_nfe: float
    backward_nfe: float
    seconds: float
    prediction: Tensor

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


def train(
    node_class: type[nn.Module],
    task: Task,
    epochs: int,
    seed: int,
    report: Callable[[float, float], None],
) -> Result:
    """Train one model from the seed's start; ``report`` gets both losses after each epoch."""
    torch.manual_seed(seed)
    network = Network(node_class, task)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    steps = epochs * -(-len(task.train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    curves: list[tuple[float, float]] = []
    start = time.perf_counter()
    for _ in range(epochs):
        loss, forward_nfe, backward_nfe = _epoch(network, task.train, optimizer, schedule)
        prediction, test_loss = evaluate(network, task.test)
        curves.append((loss, test_loss))
        report(loss, test_loss)
    seconds = time.perf_counter() - start
    train_curve, test_curve = zip(*curves, strict=True)
    return Result(
        node_class.__name__,
        network,
        train_curve,
        test_curve,
        forward_nfe,
        backward_nfe,
        seconds,
        prediction,
    )


@torch.no_grad()
def evaluate(network: Network, examples: Examples) -> tuple[Tensor, float]:
    """The prediction and its mean squared error."""
    prediction, _ = network(examples)
    return prediction, float((prediction - examples.targets).square().mean())


def _epoch(
    network: Network,
    examples: Examples,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[float, float, float]:
    """One pass over the examples: mean loss, forward and backward NFE for each solve."""
    total, forward_nfe, backward_nfe = 0.0, 0, 0
    batches = torch.split(torch.randperm(len(examples)), BATCH)
    for index in batches:
        batch = examples.take(index)
        prediction, stats = network(batch)
        loss = (prediction - batch.targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item() * len(index)
        forward_nfe += stats.forward_nfe
        backward_nfe += stats.backward_nfe
    return total / len(examples), forward_nfe / len(batches), backward_nfe / len(batches)
