"""Define the tasks: their batches, networks and tolerances, and the problem of a model on one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.speed.equations import OF_TASKS
from benchmarks.speed.tasks import data
from benchmarks.speed.tasks.data import Batch
from benchmarks.speed.tasks.networks import (
    Around,
    Digits,
    ImageField,
    PlainField,
    Points,
    Sequences,
    Solve,
)

SPAN = (0.0, 1.0)
"""The span of a solve; the solves of sequences go from row to row instead."""


@dataclass(frozen=True)
class Task:
    """A task: what is loaded, the network, and the authors' tolerance.

    ``sizes`` are those of the field's layers, ``gain`` what their weights as PyTorch draws them are
    multiplied by: networks that have been trained a little bend their solutions so.
    ``around(model, solve, count)`` is the network around the ODE.
    """

    name: str
    models: tuple[str, ...]
    load: Callable[[Path | None, int], Batch]
    batch: int
    field: Callable[[tuple[int, ...]], nn.Module]
    sizes: tuple[int, ...]
    around: Callable[..., Around]
    tolerance: float
    words: str
    gain: float = 2.0
    goal: float = 1.0

    def __str__(self) -> str:
        return f"{self.words}, field {'-'.join(map(str, self.sizes))}, batch {self.batch}"


TASKS = {
    task.name: task
    for task in (
        Task(
            "mnist",
            ("HBNODE", "GHBNODE", "GuardedAdamNODE"),
            data.mnist,
            64,
            ImageField,
            (5, 49, 49, 5),
            partial(Digits, channels=5),
            1e-4,
            "MNIST",
            goal=5.0,
        ),
        Task(
            "walker2d",
            ("HBNODE", "GHBNODE"),
            data.walker,
            256,
            PlainField,
            (24, 48, 48, 24),
            partial(Sequences, features=24, channels=17),
            1e-7,
            "Walker2D",
            goal=15.0,
        ),
        Task(
            "plane_vibration",
            ("HBNODE", "GHBNODE"),
            data.vibration,
            64,
            PlainField,
            (20, 40, 40, 20),
            partial(Sequences, features=20, channels=5),
            1e-7,
            "plane vibration",
            goal=6.0,
        ),
        Task(
            "spheres",
            ("HBNODE", "HardGHBNODE", "GuardedAdamNODE"),
            data.spheres,
            50,
            PlainField,
            (2, 20, 20, 2),
            partial(Points, features=2),
            1e-7,
            "nested spheres",
            goal=6.0,
        ),
    )
}


@dataclass(frozen=True, eq=False)
class TaskProblem:
    """A model on a batch of a task, with weights of the whole network around it.

    ``h0`` is h as a solve begins with it, for the calls of f alone.
    """

    model: str
    task: Task
    given: Batch = field(repr=False)
    h0: Tensor = field(repr=False)
    weights: dict[str, Tensor] = field(repr=False)
    span: tuple[float, float] = SPAN

    @property
    def dtype(self) -> torch.dtype:
        return self.h0.dtype

    @property
    def device(self) -> torch.device:
        return self.h0.device

    @property
    def target(self) -> Tensor:
        """What exists before a step beside its parameters, to count the step's memory."""
        return self.given.targets

    @property
    def module(self) -> str:
        """The file in generated/ that has the model."""
        return OF_TASKS[self.model].module

    def __str__(self) -> str:
        return f"{self.model}, {self.task}"

    def field(self) -> nn.Module:
        """Return a new field with the weights."""
        found = self.task.field(self.task.sizes)
        own = {
            name.removeprefix("model.field."): x
            for name, x in self.weights.items()
            if name.startswith("model.field.")
        }
        found.load_state_dict(own)
        return found.to(self.device, self.dtype)

    def by_hand(self) -> nn.Module:
        """Return the equations by hand, with a field of their own."""
        return OF_TASKS[self.model].by_hand(self.field()).to(self.device, self.dtype)

    def network(self, model: nn.Module, solve: Solve) -> Around:
        """Return the whole network with the weights, around a model that has its own already."""
        found = self.task.around(model, solve, state_count(self.model))
        outside = {n: x for n, x in self.weights.items() if not n.startswith("model.")}
        missing, unexpected = found.load_state_dict(outside, strict=False)
        assert not unexpected and all(name.startswith("model.") for name in missing)
        return found.to(self.device, self.dtype)

    def to(self, dtype: torch.dtype, device: str | torch.device = "cpu") -> TaskProblem:
        """Return the problem in another precision or on another device."""

        def moved(x: Tensor | None) -> Tensor | None:
            if x is None or not x.is_floating_point():
                return x if x is None else x.to(device)
            return x.to(device, dtype)

        weights = {name: x.to(device, dtype) for name, x in self.weights.items()}
        given = Batch(*map(moved, self.given))  # type: ignore[arg-type]
        return replace(self, given=given, h0=self.h0.to(device, dtype), weights=weights)


def state_count(model: str) -> int:
    """Return the number of states of a model."""
    return len(OF_TASKS[model].by_hand(nn.Identity()).start(torch.zeros(1)))


def task_problem(model: str, task: Task, folder: Path | None) -> TaskProblem:
    """Draw the problem from one seed, in float32 on the CPU. Raises NoData without its files."""
    batch = task.load(folder, task.batch)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        made = OF_TASKS[model].by_hand(task.field(task.sizes))
        for p in made.field.parameters():
            p.mul_(task.gain)
        network = task.around(made, None, state_count(model))
        start = network.start(batch)[0]
        # sequences begin with zeros: f is called on what a cell could make of them
        h0 = start if start.any() else torch.randn_like(start)
    weights = {name: x.detach().clone() for name, x in network.named_parameters()}
    return TaskProblem(model, task, batch, h0, weights)
