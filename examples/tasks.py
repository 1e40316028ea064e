"""The demo's two tasks: forecasting a vibration from a file, and telling nested spheres apart, which needs none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PERIOD = 8192
RATE = 400.0
BLOCK = 512
PAST = 32
FUTURE = 32
STRIDE = 2
SHIFT = 8


@dataclass(frozen=True, slots=True)
class Examples:
    """Samples of one task; N of them.

    inputs: (N, features), what the first state is made from.
    drive: (N, points), a known input over the span at equally spaced times; points may be 0.
    targets: (N, observations, channels), at equally spaced times, the last at the end of the span.
    """

    inputs: Tensor
    drive: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Tensor) -> Examples:
        return Examples(self.inputs[index], self.drive[index], self.targets[index])


@dataclass(frozen=True, slots=True)
class Task:
    """What is learned: examples, the length of the ODE's span, and the test losses to beat.

    strip: test examples that follow one another in time, to be drawn end to end; empty where none do.
    """

    name: str
    description: str
    train: Examples
    test: Examples
    span: float
    epochs: int
    baselines: tuple[tuple[str, float], ...]
    strip: tuple[int, ...] = ()


def load_task(folder: Path | None, seed: int) -> Task:
    """Plane vibration where the folder holds ``pv.csv``, else nested spheres."""
    if folder is not None and (folder / "pv.csv").is_file():
        return plane_vibration(folder / "pv.csv")
    return nested_spheres(seed)


def plane_vibration(path: Path) -> Task:
    """An F-16's wing under a shaker (Noel and Schoukens 2017): accelerations from the force.

    From 80 ms of force and three accelerations, and the force of the next 80 ms, the accelerations of
    those 80 ms. The file repeats one sweep of 8192 samples nine times almost exactly, so that a split
    in time would test on the training waveform. One period is used here: of its blocks of 512 samples
    every fourth is held out, and no window crosses the edge of a block.
    """
    signals = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(0, 2, 3, 4), max_rows=PERIOD)
    blocks = [signals[i : i + BLOCK] for i in range(0, len(signals) - BLOCK + 1, BLOCK)]
    if len(blocks) < 4:
        raise ValueError(f"{path}: {len(signals)} rows, expected {4 * BLOCK} or more")
    test = _windows(blocks[2::4])
    train = _windows([block for i, block in enumerate(blocks) if i % 4 != 2])
    mean, scale = train.mean((0, 1)), train.std((0, 1))
    train, test = (train - mean) / scale, (test - mean) / scale
    known, held_out = _vibration_examples(train), _vibration_examples(test)
    baselines = (
        ("predict mean", _mse(torch.zeros(()), held_out.targets)),
        ("repeat last value", _mse(test[:, PAST - 1 : PAST, 1:], held_out.targets)),
        # The wing is nearly linear: no model of this size beats a plain linear map of the inputs.
        ("linear regression", _mse(_linear_regression(known, held_out), held_out.targets)),
    )
    strip = range(0, (BLOCK - PAST - FUTURE) // SHIFT + 1, FUTURE // SHIFT)
    return Task(
        name="plane vibration",
        description=f"plane vibration, from {path}: 80 ms of force and accelerations, and the force "
        "of the next 80 ms, give the accelerations of those 80 ms",
        train=known,
        test=held_out,
        span=4.0,
        epochs=25,
        baselines=baselines,
        strip=tuple(strip)[:8],
    )


def _windows(blocks: list[np.ndarray]) -> Tensor:
    """All windows of PAST + FUTURE samples, SHIFT apart: (N, PAST + FUTURE, signals)."""
    starts = range(0, BLOCK - PAST - FUTURE + 1, SHIFT)
    cut = [block[i : i + PAST + FUTURE] for block in blocks for i in starts]
    return torch.tensor(np.stack(cut), dtype=torch.float32)


def _vibration_examples(windows: Tensor) -> Examples:
    """Every second sample: the signals lie below 15 Hz, far under the 200 Hz that is left."""
    past = windows[:, STRIDE - 1 : PAST : STRIDE].flatten(1)
    drive = windows[:, PAST - 1 :: STRIDE, 0]
    return Examples(past, drive, windows[:, PAST + STRIDE - 1 :: STRIDE, 1:])


def _linear_regression(train: Examples, test: Examples) -> Tensor:
    """Least squares from inputs and drive to the targets, in double precision: (N, observations, channels)."""

    def design(examples: Examples) -> Tensor:
        return torch.cat(
            (examples.inputs, examples.drive, torch.ones(len(examples), 1)), 1
        ).double()

    solution = torch.linalg.lstsq(design(train), train.targets.flatten(1).double(), driver="gelsd")
    return (design(test) @ solution.solution).reshape(test.targets.shape)


def nested_spheres(seed: int) -> Task:
    """Points of the plane: the disc of radius 0.5 (label -1) inside the ring from 1 to 1.5 (label +1)."""
    generator = torch.Generator().manual_seed(seed)
    train, test = _spheres(1000, generator), _spheres(500, generator)
    baselines = (("predict mean", _mse(train.targets.mean(), test.targets)),)
    return Task(
        name="nested spheres",
        description="nested spheres (made up here; name a folder with pv.csv for plane vibration): "
        "a disc inside a ring, to be told apart",
        train=train,
        test=test,
        span=1.0,
        epochs=25,
        baselines=baselines,
    )


def _spheres(count: int, generator: torch.Generator) -> Examples:
    uniform = torch.rand(count, 2, generator=generator)
    outer = torch.arange(count) % 2 == 1
    # The square root of a uniform number spreads points evenly over an area.
    radius = torch.where(outer, (1.0 + 1.25 * uniform[:, 0]).sqrt(), 0.5 * uniform[:, 0].sqrt())
    angle = 2 * torch.pi * uniform[:, 1]
    points = radius[:, None] * torch.stack((angle.cos(), angle.sin()), 1)
    labels = 2.0 * outer.float() - 1.0
    return Examples(points, torch.zeros(count, 0), labels[:, None, None])


def _mse(prediction: Tensor, targets: Tensor) -> float:
    return float((prediction - targets).square().mean())
