"""Say what a task is: data, the network around an ODE, a loss and a metric.

A task of one's own is an object of ``Task`` in a Python file, named as ``FILE.py:NAME``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

Sizes = tuple[int, ...]
"""The numbers of hidden units of the field's layers."""


@dataclass(frozen=True)
class Examples:
    """Inputs and targets, of shapes (samples, ...), and the times of sequences, (samples, rows)."""

    inputs: Tensor
    targets: Tensor
    times: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Any) -> Examples:
        """Return some of the samples."""
        times = None if self.times is None else self.times[index]
        return Examples(self.inputs[index], self.targets[index], times)


class Sets(NamedTuple):
    """What is trained on, what a model is chosen by, and what it is judged by."""

    train: Examples
    valid: Examples
    test: Examples


class Output(NamedTuple):
    """The output of a network, and the stats of its solve or solves."""

    value: Tensor
    stats: Any


@dataclass(frozen=True)
class Metric:
    """A number that says how good outputs are; ``best`` is "high" or "low"."""

    name: str
    of: Callable[[Tensor, Tensor], float]
    best: str = "high"


@dataclass(frozen=True)
class Task:
    """A task that rules are compared on.

    ``load(data, seed)`` returns the sets; ``data`` is the folder of ``--data``, or None. The draw of
    the data belongs to the seed, so that each run has its own.

    ``field(features, sizes, arguments)`` returns the network f, called with the time and so many
    states, each with so many features in its last dimension. ``around(node, features)`` returns the
    network around a node; called with Examples it returns an Output. ``loss(value, targets)`` is
    what is trained, a tensor.

    ``features`` is the size of h and ``sizes`` are the hidden units of the first rule's field; those
    of the others are chosen for as many parameters. ``span`` is that of the ODE.
    """

    name: str
    words: str
    load: Callable[[Path | None, int], Sets]
    field: Callable[[int, Sizes, int], nn.Module]
    around: Callable[[Any, int], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    metric: Metric
    features: int
    sizes: Sizes = (20, 20)
    span: tuple[float, float] = (0.0, 1.0)
    epochs: int = 30
    batch: int = 50
    rate: float = 1e-2
    files: tuple[str, ...] = ()
