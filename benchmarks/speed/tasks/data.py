"""Load one training batch of each task, from files where it has any."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

LENGTH = 64
"""The rows of a sequence."""
KEPT = 0.9
"""The share of the walker's rows that are left in: the others are missing at random."""
PERIOD = 8192
"""The samples of one period of the vibration; the others nearly repeat it."""


class Batch(NamedTuple):
    """Inputs and targets of a training step.

    times: of the rows of sequences, (rows,) where all samples have the same, else (batch, rows).
    """

    inputs: Tensor
    targets: Tensor
    times: Tensor | None = None


class NoData(Exception):
    """The files of a task are not where they are sought."""


def file_in(folder: Path | None, name: str) -> Path:
    """Return the path of a data file. Raises NoData where there is none."""
    if folder is None:
        raise NoData(f"{name} is needed: say where it is by --data DIR or OPTODE_DATA")
    if not (folder / name).is_file():
        raise NoData(f"no {name} in {folder}")
    return folder / name


def mnist(folder: Path | None, size: int) -> Batch:
    """Return images (batch, 1, 28, 28), standardised as usual, and their digits."""
    with np.load(file_in(folder, "mnist.npz")) as file:
        images, digits = file["x_train"][:size], file["y_train"][:size]
    pixels = torch.from_numpy(images).float().unsqueeze(1) / 255
    return Batch((pixels - 0.1307) / 0.3081, torch.from_numpy(digits).long())


def spheres(folder: Path | None, size: int) -> Batch:
    """Return points of a disc of radius 1/2 and of the ring from 1 to 3/2, labelled -1 and 1."""
    generator = torch.Generator().manual_seed(0)
    angles = 2 * math.pi * torch.rand(size, generator=generator)
    outer = torch.arange(size) % 2
    radii = 0.5 * torch.rand(size, generator=generator) + outer
    points = radii[:, None] * torch.stack([angles.cos(), angles.sin()], 1)
    return Batch(points, 2.0 * outer[:, None] - 1)


def walker(folder: Path | None, size: int) -> Batch:
    """Return sequences of simulated walking with missing rows; the target is the row that follows.

    Each sample has times of its own; LENGTH rows of the rollout are one unit of time.
    """
    with np.load(file_in(folder, "walker2d.npz")) as file:
        rollouts = np.split(file["rollouts"], np.cumsum(file["lengths"])[:-1])
    generator = np.random.RandomState(0)
    values, targets, times = [], [], []
    for rollout in rollouts[:size]:
        (kept,) = np.nonzero(generator.rand(len(rollout) - 1) < KEPT)
        rows = kept[:LENGTH]
        values.append(rollout[rows])
        targets.append(rollout[rows + 1])
        times.append((rows - rows[0]) / LENGTH)
    arrays = (
        torch.tensor(np.stack(each), dtype=torch.float32) for each in (values, targets, times)
    )
    return Batch(*arrays)


def vibration(folder: Path | None, size: int) -> Batch:
    """Return sequences from one period of force, voltage and accelerations, standardised.

    The target is the next row; LENGTH rows are one unit of time.
    """
    table = np.loadtxt(
        file_in(folder, "pv.csv"), delimiter=",", skiprows=1, usecols=range(5), max_rows=PERIOD
    )
    table = (table - table.mean(0)) / table.std(0)
    starts = np.linspace(0, PERIOD - LENGTH - 1, size).astype(int)
    values = np.stack([table[start : start + LENGTH] for start in starts])
    targets = np.stack([table[start + 1 : start + LENGTH + 1] for start in starts])
    times = torch.arange(LENGTH) / LENGTH
    return Batch(torch.from_numpy(values).float(), torch.from_numpy(targets).float(), times)
