"""Define the tasks with recorded data: images, and series of measurements.

The files are not part of the package. They are sought in the folder of ``--data``.
"""

from __future__ import annotations

import hashlib
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from optode.study.networks import Convolutions, Images, Layers, Sequences
from optode.study.record import StudyError
from optode.study.task import Examples, Sets, Task
from optode.study.tasks import ACCURACY, ERROR

CHECKSUMS = {
    "mnist.npz": "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64",
    "walker2d.npz": "d5a8c168cbe5387da7a75a38de48db6a9e2a1f4d7481071e48dfeea7eb1a2846",
    "pv.csv": "b72a9d063e392570bb20c26f4763232e30262e5914d946e475e67df40880db6d",
    "sb.csv": "e7076735427b0b9bbc18a2a43b78022219a76623b15b494be559dc58b0224279",
    "cifar10_lossless_subset.npz": "12e68ef40726632f6f4634c277147cb8af8fadef8cbf3cb8cd6c40b2703d8596",
}
"""The SHA-256 of each file: with others, numbers would not compare."""

ROWS = 64
"""The rows of a sequence. From one to the next is a unit of time."""

PERIOD = 8192
"""The samples of one period of the vibration; the eight after it nearly repeat it."""


Counts = tuple[int, int, int]
"""The samples of the training, validation and test sets."""


def found(folder: Path | None, name: str) -> Path:
    """Return the path of a data file. Raises StudyError where it is not, or is another."""
    if folder is None:
        raise StudyError(f"{name} is needed: say where it is by --data DIR or OPTODE_DATA")
    path = folder / name
    if not path.is_file():
        raise StudyError(f"{folder} has no {name}")
    if _checksum(path, path.stat().st_mtime_ns) != CHECKSUMS[name]:
        raise StudyError(
            f"{path} is another {name} than the one that results are of: its SHA-256 is not "
            f"{CHECKSUMS[name][:16]}..."
        )
    return path


@cache
def _checksum(path: Path, _time: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def mnist(folder: Path | None, seed: int, side: int, counts: Counts) -> Sets:
    """Return digits of so many pixels a side, standardised; the test set is part of the official one.

    ``counts`` are those of training and validation, drawn from the training set by the seed, and of
    the test set, its first ones.
    """
    with np.load(found(folder, "mnist.npz")) as file:
        names = ("x_train", "y_train", "x_test", "y_test")
        images, digits, test_images, test_digits = (file[name] for name in names)
    order = np.random.default_rng(seed).permutation(len(images))[: sum(counts[:2])]
    first, second = np.split(order, counts[:1])
    parts = [(images[k], digits[k]) for k in (first, second)] + [
        (test_images[: counts[2]], test_digits[: counts[2]])
    ]
    return Sets(*(Examples(_pixels(x, side), torch.from_numpy(y).long()) for x, y in parts))


def _pixels(images: np.ndarray, side: int) -> Tensor:
    x = torch.from_numpy(images).float().unsqueeze(1) / 255
    x = (x - 0.1307) / 0.3081
    return x if side == x.shape[-1] else nn.functional.adaptive_avg_pool2d(x, side)


def cifar(folder: Path | None, seed: int, valid: int = 1000) -> Sets:
    """Return the images of a part of CIFAR-10 that is there without loss, from 0 to 1."""
    with np.load(found(folder, "cifar10_lossless_subset.npz")) as file:
        names = ("x_train", "y_train", "x_test", "y_test")
        images, labels, test_images, test_labels = (file[name] for name in names)
    order = np.random.default_rng(seed).permutation(len(images))
    first, second = order[valid:], order[:valid]
    parts = [(images[k], labels[k]) for k in (first, second)] + [(test_images, test_labels)]
    return Sets(
        *(
            Examples(
                torch.from_numpy(x).float().movedim(-1, 1) / 255,
                torch.from_numpy(y.flatten()).long(),
            )
            for x, y in parts
        )
    )


def series(table: np.ndarray, targets: slice, spacing: int = 32) -> Sets:
    """Return sequences of a table of measurements: from each row the next one's targets.

    Blocks of rows are for training, training, validation, training and test in turn, so that all
    sets are of the whole, and no sequence crosses from one to another. Columns are standardised by
    the training rows.
    """
    blocks = np.array_split(table, 40)
    turns = ([0, 1, 3], [2], [4])
    kept = [[b for k, b in enumerate(blocks) if k % 5 in turn] for turn in turns]
    rows = np.concatenate(kept[0])
    mean, scale = rows.mean(0), rows.std(0)
    return Sets(*(_windows([(b - mean) / scale for b in each], targets, spacing) for each in kept))


def _windows(blocks: list[np.ndarray], targets: slice, spacing: int) -> Examples:
    cut = [
        block[k : k + ROWS + 1] for block in blocks for k in range(0, len(block) - ROWS, spacing)
    ]
    rows = torch.from_numpy(np.stack(cut)).float()
    times = torch.arange(ROWS, dtype=torch.float32).expand(len(rows), -1)
    return Examples(rows[:, :-1], rows[:, 1:, targets], times)


def vibration(folder: Path | None, seed: int) -> Sets:
    """Return force, voltage and three accelerations of a wing under a shaker, in one period."""
    path = found(folder, "pv.csv")
    table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(5), max_rows=PERIOD)
    return series(table, slice(None))


def silverbox(folder: Path | None, seed: int) -> Sets:
    """Return input and output voltage of an electronic Duffing oscillator; the output is foretold."""
    table = np.loadtxt(found(folder, "sb.csv"), delimiter=",", skiprows=1, usecols=(0, 1))
    return series(table[40_000:60_000], slice(1, 2))


def walker(folder: Path | None, seed: int) -> Sets:
    """Return rows of simulated walking, a tenth missing at random; the row that follows is foretold.

    Each sample has times of its own. Rollouts are for one set each; 160 of the 400 are enough.
    """
    with np.load(found(folder, "walker2d.npz")) as file:
        rollouts = np.split(file["rollouts"], np.cumsum(file["lengths"])[:-1])
    generator = np.random.default_rng(seed)
    parts = (range(80), range(240, 270), range(300, 350))
    return Sets(*(_walks([rollouts[k] for k in part], generator) for part in parts))


def _walks(rollouts: list[np.ndarray], generator: np.random.Generator) -> Examples:
    inputs, targets, times = [], [], []
    for rollout in rollouts:
        (kept,) = np.nonzero(generator.random(len(rollout) - 1) < 0.9)
        for rows in np.split(kept, range(ROWS, len(kept), ROWS)):
            if len(rows) == ROWS:
                inputs.append(rollout[rows])
                targets.append(rollout[rows + 1])
                times.append(rows - rows[0])
    each = (torch.from_numpy(np.stack(x)).float() for x in (inputs, targets, times))
    return Examples(*each)


def _images(name: str, words: str, side: int, counts: Counts, width: int) -> Task:
    return Task(
        name,
        words,
        partial(mnist, side=side, counts=counts),
        Convolutions,
        partial(Images, side=side),
        nn.functional.cross_entropy,
        ACCURACY,
        features=5,
        sizes=(width, width),
        epochs=5,
        batch=64,
        rate=3e-3,
        files=("mnist.npz",),
    )


RECORDED = {
    task.name: task
    for task in (
        _images("mnist14", "digits of 14 by 14 pixels", 14, (6000, 1000, 4000), 24),
        _images("mnist", "digits of 28 by 28 pixels", 28, (4000, 1000, 2000), 49),
        Task(
            "cifar",
            "images of a part of CIFAR-10",
            cifar,
            Convolutions,
            partial(Images, side=32),
            nn.functional.cross_entropy,
            ACCURACY,
            features=9,
            sizes=(64, 64),
            epochs=5,
            batch=64,
            rate=3e-3,
            files=("cifar10_lossless_subset.npz",),
        ),
        Task(
            "plane_vibration",
            "the next row of force, voltage and accelerations",
            vibration,
            Layers,
            partial(Sequences, shape=(5, 5)),
            nn.functional.mse_loss,
            ERROR,
            features=20,
            sizes=(40, 40),
            epochs=20,
            batch=24,
            files=("pv.csv",),
        ),
        Task(
            "silverbox",
            "the next output voltage of a Duffing oscillator",
            silverbox,
            Layers,
            partial(Sequences, shape=(2, 1)),
            nn.functional.mse_loss,
            ERROR,
            features=8,
            sizes=(24, 24),
            epochs=10,
            batch=24,
            files=("sb.csv",),
        ),
        Task(
            "walker2d",
            "the next row of a simulated walk, at irregular times",
            walker,
            Layers,
            partial(Sequences, shape=(17, 17)),
            nn.functional.mse_loss,
            ERROR,
            features=24,
            sizes=(48, 48),
            epochs=20,
            batch=64,
            rate=3e-3,
            files=("walker2d.npz",),
        ),
    )
}
"""The tasks with recorded data, by name."""
