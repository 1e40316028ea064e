"""Train one rule on one task from one seed: the training loop of the project."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from optode.study.accuracy import Accuracy, parameters_of
from optode.study.entrants import Entrant, count, network_of
from optode.study.finding import find_task
from optode.study.looking import looked_at
from optode.study.paths import Paths, costates_back, paths_of, reach_of, sizes_of
from optode.study.record import Record, Row, StudyError, whole_number
from optode.study.task import Sets, Sizes, Task
from optode.version import __version__

FAILURES = (ArithmeticError, RuntimeError)
"""What a solve raises that diverges or needs too many steps: a result, not a crash."""

MOST_STEPS = 1000
"""A solve that needs more steps has diverged."""


@dataclass(frozen=True)
class Settings:
    """How all rules of a study are trained.

    ``error`` is that of the outputs which the tolerance of each model has to reach.
    """

    epochs: int
    batch: int
    rate: float
    error: float = 1e-3
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            whole_number(name, getattr(self, name))
        for name in ("rate", "error"):
            if not 0 < (x := getattr(self, name)) < math.inf:
                raise StudyError(f"{name} = {x:g} must be a finite number above 0")


@dataclass(frozen=True)
class Job:
    """One run: an entrant on a task from a seed, with hidden units of its own.

    The task is an object, or what ``find_task`` finds it by: that any process can.
    """

    entrant: Entrant
    on: Task | str
    seed: int
    sizes: Sizes
    settings: Settings
    data: Path | None = None

    @property
    def task(self) -> Task:
        """The task itself."""
        return self.on if isinstance(self.on, Task) else find_task(self.on)

    @property
    def place(self) -> Path:
        """Where the run is recorded, in the folder of the study."""
        return Path(self.task.name) / self.entrant.name / str(self.seed)

    def config(self) -> dict[str, Any]:
        """Return what the numbers of the run depend on."""
        return {
            "rule": self.entrant.name,
            "module": self.entrant.hash,
            "augmented": self.entrant.augmented,
            "task": self.task.name,
            "seed": self.seed,
            "sizes": list(self.sizes),
            "torch": torch.__version__,
            "optode": __version__,
            **asdict(self.settings),
        }


@dataclass(frozen=True)
class Run:
    """What a job left behind: a row for each epoch, how it ended, and paths at the end.

    The outcome has the class of the model, its number of parameters, whether it ``ended`` with the
    last epoch, and otherwise in which it did not, and why.
    """

    rule: str
    seed: int
    rows: list[Row]
    outcome: dict[str, Any]
    paths: dict[str, np.ndarray]

    @property
    def model(self) -> str:
        """The name of the model's class."""
        return str(self.outcome["model"])

    @property
    def parameters(self) -> int:
        """The number of parameters of the whole network."""
        return int(self.outcome["parameters"])


class Fit:
    """A run as it goes: the network, its optimizer, and the rows so far.

    ``costates`` has the sizes of dL/dh after each epoch, from the end of the path back.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.rows, self.costates = job, list[Row](), list[list[float]]()
        self.sets: Sets = job.task.load(job.data, job.seed)
        given = {"method": "auto", "options": {"max_steps": MOST_STEPS}}
        self.network = network_of(job.entrant, job.task, job.sizes, job.seed, **given)
        settings = job.settings
        self.optimizer = torch.optim.Adam(self.network.parameters(), settings.rate)
        batches = -(-len(self.sets.train) // settings.batch)
        total = max(settings.epochs * batches, 2)  # what the schedule asks for at least
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.rate, total_steps=total
        )
        self.accuracy = Accuracy(self.network, self.sets.valid, settings.error)
        self.shuffle = torch.Generator().manual_seed(job.seed)

    def checkpoint(self) -> dict[str, Any]:
        """Return all that the next epoch needs, the rows among it."""
        return {
            "rows": self.rows,
            "costates": self.costates,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "tolerance": self.accuracy.place,
            "shuffle": self.shuffle.get_state(),
            "random": torch.get_rng_state(),
        }

    def resume(self, known: dict[str, Any]) -> None:
        """Go on from a checkpoint, as if the run had never ended."""
        self.rows = [dict(row) for row in known["rows"]]
        self.costates = [[*each] for each in known["costates"]]
        self.network.load_state_dict(known["network"])
        self.optimizer.load_state_dict(known["optimizer"])
        self.schedule.load_state_dict(known["schedule"])
        self.accuracy.take(known["tolerance"])
        self.shuffle.set_state(known["shuffle"])
        torch.set_rng_state(known["random"])

    def epoch(self) -> None:
        """Train one epoch, look at all sets, and note a row."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.accuracy.settle()
        row: Row = {"epoch": float(len(self.rows) + 1)} | self.train()
        spent = {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
        }
        task, test = self.job.task, self.sets.test
        for name, examples in (("valid", self.sets.valid), ("test", test)):
            found, row["largest_h"] = looked_at(self.network, task, examples)
            row |= {f"{name}_{column}": x for column, x in found.items()}
        sizes = sizes_of(self.network, task, test)
        self.costates.append(costates_back(sizes))
        row["reach"] = reach_of(sizes)
        row |= {"tolerance": self.accuracy.tolerance, "error": self.accuracy.error}
        self.rows.append(row | spent | parameters_of(self.network.node))

    def paths(self) -> Paths:
        """Return paths of the model as it is, and ``a_epochs``: a row of costates for each epoch."""
        found = paths_of(self.network, self.job.task, self.sets.test)
        return found | {"a_epochs": np.array(self.costates)}

    def train(self) -> Row:
        """Train on all batches in an order of their own; returns means over them."""
        job, task, train = self.job, self.job.task, self.sets.train
        order = torch.randperm(len(train), generator=self.shuffle)
        sums = np.zeros(6)
        for index in torch.split(order, job.settings.batch):
            batch = train.take(index)
            output = self.network(batch)
            loss = task.loss(output.value, batch.targets)
            if not torch.isfinite(loss):
                raise FloatingPointError("the loss is not finite")
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), job.settings.clip)
            self.optimizer.step()
            self.schedule.step()
            stats, weight = output.stats, len(index) / len(train)
            work = (stats.forward_nfe, stats.backward_nfe or 0, stats.accepted, stats.rejected)
            sums += weight * np.array([loss.item(), float(norm), *work])
        names = ("loss", "gradient_norm", "nfe_forward", "nfe_backward", "accepted", "rejected")
        return {
            "train_loss" if n == "loss" else n: float(x) for n, x in zip(names, sums, strict=True)
        }


def fit(job: Job, folder: Path | None = None, told: Callable[[Row], None] | None = None) -> Run:
    """Train a job, or go on where it was left; ``told`` hears every epoch's row.

    In a folder the run is recorded. A solve that fails ends the run, and that is its result.
    """
    record = None if folder is None else Record(folder, job.config())
    if record is not None:
        record.open()
        if outcome := record.outcome:
            rows = (record.checkpoint() or {"rows": []})["rows"]
            return Run(job.entrant.name, job.seed, rows, outcome, record.paths())
    current = Fit(job)
    if record is not None and (known := record.checkpoint()):
        current.resume(known)
    outcome = _to_the_end(current, record, told)
    paths = current.paths() if outcome["ended"] else {}
    if record is not None:
        record.finish(outcome, paths)
    return Run(job.entrant.name, job.seed, current.rows, outcome, paths)


def _to_the_end(
    current: Fit, record: Record | None, told: Callable[[Row], None] | None
) -> dict[str, Any]:
    """Train what is left of a run; returns how it ended."""
    network = current.network
    outcome = {"model": type(network.node).__name__, "parameters": count(network)}
    while len(current.rows) < current.job.settings.epochs:
        try:
            current.epoch()
        except FAILURES as error:
            words = str(error).partition("\n")[0]
            return {**outcome, "ended": False, "epoch": len(current.rows) + 1, "reason": words}
        if record is not None:
            record.save(current.checkpoint())
        if told is not None:
            told(current.rows[-1])
    return {**outcome, "ended": True, "epoch": len(current.rows), "reason": ""}
