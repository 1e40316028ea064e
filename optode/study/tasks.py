"""Define the tasks that need no file: spheres, spirals, a pendulum, and a long memory."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from optode.study.networks import Flow, Forecast, Layers, Sequences
from optode.study.task import Examples, Metric, Output, Sets, Task


def accuracy(value: Tensor, targets: Tensor) -> float:
    """Return the share of samples whose largest score is that of their class."""
    return float((value.argmax(-1) == targets).float().mean())


def root_mean_square(value: Tensor, targets: Tensor) -> float:
    """Return the root of the mean squared error."""
    return float((value - targets).square().mean().sqrt())


ACCURACY = Metric("accuracy", accuracy)
ERROR = Metric("RMSE", root_mean_square, "low")


def _sets(examples: Examples, train: int, valid: int) -> Sets:
    """Part examples that are in no order."""
    parts = (slice(train), slice(train, train + valid), slice(train + valid, None))
    return Sets(*(examples.take(part) for part in parts))


def spheres(_: Path | None, seed: int) -> Sets:
    """Return points of a disc of radius 1/2 and of the ring from 1 to 3/2, even over the areas."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(2000, 2, generator=generator)
    outer = torch.arange(2000) % 2
    radius = torch.where(outer > 0, (1 + 1.25 * uniform[:, 0]).sqrt(), 0.5 * uniform[:, 0].sqrt())
    angle = 2 * math.pi * uniform[:, 1]
    points = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return _sets(Examples(points, outer), 500, 500)


def spirals(_: Path | None, seed: int) -> Sets:
    """Return noisy points of two spirals that wind around each other one and a half times."""
    generator = torch.Generator().manual_seed(seed)
    arm = torch.arange(2000) % 2
    way = torch.rand(2000, generator=generator).sqrt()
    angle = 3 * math.pi * way + math.pi * arm
    points = 1.5 * way[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    points = points + 0.03 * torch.randn(2000, 2, generator=generator)
    return _sets(Examples(points, arm), 500, 500)


def pendulum(_: Path | None, seed: int) -> Sets:
    """Return paths of a damped pendulum: four noisy rows of angle and speed, and the 30 after them.

    Rows are 0.2 apart; angle'' = -sin(angle) - 0.1 angle', by Runge and Kutta's method. The noise
    of 0.05 is on what is given and on what is trained on, not on the targets of the other sets.
    """
    generator = torch.Generator().manual_seed(seed)
    count, rows, given, substeps = 600, 34, 4, 10
    start = torch.randn(count, 2, generator=generator) * torch.tensor([1.0, 0.5])
    path, step = [start], 0.2 / substeps

    def rate(z: Tensor) -> Tensor:
        return torch.stack([z[:, 1], -z[:, 0].sin() - 0.1 * z[:, 1]], 1)

    for _i in range(rows - 1):
        z = path[-1]
        for _j in range(substeps):
            a = rate(z)
            b = rate(z + step / 2 * a)
            c = rate(z + step / 2 * b)
            z = z + step / 6 * (a + 2 * b + 2 * c + rate(z + step * c))
        path.append(z)
    clean = torch.stack(path, 1)
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=generator)
    train, valid, test = _sets(Examples(noisy[:, :given].flatten(1), clean[:, given:]), 200, 200)
    return Sets(replace(train, targets=noisy[:200, given:]), valid, test)


def copy_memory(_: Path | None, seed: int) -> Sets:
    """Return four digits that are shown one after another, and asked for after a long pause.

    Rows have one of eight digits as a unit vector, or a mark in the last two entries: nothing is
    shown, and at the end: say them. The score is for all four digits at once.
    """
    generator = torch.Generator().manual_seed(seed)
    count, digits, shown, pause = 1200, 8, 4, 15
    # no four digits occur twice, so that none are in two sets
    numbers = torch.randperm(digits**shown, generator=generator)[:count]
    wanted = numbers[:, None] // digits ** torch.arange(shown) % digits
    rows = torch.zeros(count, shown + pause + 1, digits + 2)
    rows[:, :shown, :digits] = nn.functional.one_hot(wanted, digits).float()
    rows[:, shown:-1, digits] = 1.0
    rows[:, -1, digits + 1] = 1.0
    times = torch.arange(rows.shape[1], dtype=torch.float32) / 4
    return _sets(Examples(rows, wanted, times.expand(count, -1)), 800, 200)


def by_class(value: Tensor, targets: Tensor) -> Tensor:
    """Return the cross entropy of scores whose last dimension is that of the classes."""
    return nn.functional.cross_entropy(value.flatten(0, -2), targets.flatten())


class Digits(Sequences):
    """A sequence whose last output has the scores of four digits."""

    def forward(self, examples: Examples) -> Output:
        """Return the scores, of shape (samples, 4, 8)."""
        found = super().forward(examples)
        return found._replace(value=found.value.view(-1, 4, 8))


TASKS = {
    task.name: task
    for task in (
        Task(
            "spheres",
            "points of a disc and of a ring around it, told apart",
            spheres,
            Layers,
            partial(Flow, outputs=2),
            nn.functional.cross_entropy,
            ACCURACY,
            features=2,
        ),
        Task(
            "spirals",
            "points of two spirals, told apart",
            spirals,
            Layers,
            partial(Flow, outputs=2),
            nn.functional.cross_entropy,
            ACCURACY,
            features=2,
            sizes=(32, 32),
            span=(0.0, 2.0),
            epochs=60,
        ),
        Task(
            "pendulum",
            "the path of a damped pendulum from four noisy rows",
            pendulum,
            Layers,
            partial(Forecast, inputs=8, shape=(30, 2)),
            nn.functional.mse_loss,
            ERROR,
            features=4,
            span=(0.0, 6.0),
            epochs=40,
            batch=40,
        ),
        Task(
            "copy_memory",
            "four digits, to be said after a pause of 15 rows",
            copy_memory,
            Layers,
            partial(Digits, shape=(10, 32), last=True),
            by_class,
            ACCURACY,
            features=16,
            sizes=(24,),
            span=(0.0, 5.0),
            epochs=15,
        ),
    )
}
"""The tasks that need no file, by name."""
