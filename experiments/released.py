"""Train the walks as the released code does, and with what differs between its models undone.

Four things differ there beside the equations. NODE and ANODE foretell a row before they have seen
the one before it, where models with a velocity have seen it. Their recurrent cell forgets, where
that of the others adds to h and to the velocity. HBNODE is pulled back to the origin. The rate of
training is another for the first 50 of 500 epochs; that is not done here.

Equations are typed from the code of Xia et al. (github.com/hedixia/HeavyBallNODE, walker2d).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torchdiffeq import odeint_adjoint

from experiments.conventions import Counted, Rates
from experiments.models import entrants
from optode.runtime.ode_rnn import SequenceStats
from optode.study.entrants import Entrant, network_of
from optode.study.fit import Job, Run, Settings
from optode.study.networks import Layers
from optode.study.record import Record
from optode.study.recorded import RECORDED, ROWS
from optode.study.running import carried_out, one_thread
from optode.study.task import Examples, Output, Sets, Task

FEATURES, ROW = 24, 17
EPOCHS, SEEDS, BATCH, RATE = 40, 3, 256, 3e-3


class Forgetting(nn.Module):
    """The released cell of NODE and ANODE: a new h, from it and the row."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        sizes = (inputs + features, 3 * features, 2 * features, features)
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in pairwise(sizes))

    def forward(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the states after the row x."""
        first, second, last = self.layers
        y = torch.cat([*states, x], -1)
        return (last(torch.tanh(second(torch.tanh(first(y))))),)


class Adding(nn.Module):
    """The released cell of models with a velocity: it adds to h and to the velocity."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        size = 2 * features
        self.layers = nn.ModuleList(
            [nn.Linear(inputs + size, size), nn.Linear(size, size), nn.Linear(size, size)]
        )

    def forward(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the states after the row x."""
        first, second, last = self.layers
        y = torch.cat([*states, x], -1)
        change = last(torch.tanh(second(torch.tanh(first(y)))))
        return tuple(z + part for z, part in zip(states, change.chunk(2, -1), strict=True))


class Walks(nn.Module):
    """Sequences as the released code goes through them.

    ``seen`` says whether all models see a row before they foretell the next; else those without a
    velocity do not.
    """

    def __init__(self, node: Any, features: int, seen: bool) -> None:
        super().__init__()
        self.node, self.seen, self.features = node, seen, features
        self.moves = len(node.state_names) > 1
        self.cell = (Adding if self.moves else Forgetting)(ROW, features)
        self.head = nn.Linear(features, ROW)

    def forward(self, examples: Examples) -> Output:
        """Return the rows foretold, of shape (samples, rows, entries)."""
        x, stats, found = examples.inputs, SequenceStats(), []
        lengths = intervals(examples)
        states = (x.new_zeros(len(x), self.features),) * len(self.node.state_names)
        for k in range(x.shape[1]):
            if self.moves:
                states = self.cell(x[:, k], states)
                states = self._flow(states, lengths[:, k], stats)
                found.append(states[0])
                continue
            before = states[0]
            states = self._flow(states, lengths[:, k], stats)
            states = self.cell(x[:, k], states)
            found.append(states[0] if self.seen else before)
        return Output(self.head(torch.stack(found, 1)), stats)

    def _flow(
        self, states: tuple[Tensor, ...], lengths: Tensor, stats: SequenceStats
    ) -> tuple[Tensor, ...]:
        times = torch.stack([torch.zeros_like(lengths), lengths], 1)
        solution = self.node.integrate(states if self.moves else states[0], times)
        stats.solves.append(solution.stats)
        return tuple(z[-1] for z in solution.states)


def intervals(examples: Examples) -> Tensor:
    """Return the time from the row before to each row; that of the first is a row's."""
    times = examples.times
    assert times is not None  # sequences have times
    first = torch.full_like(times[:, :1], 1 / ROWS)
    return torch.cat([first, times.diff(dim=1)], 1)


def walks(folder: Path | None, seed: int) -> Sets:
    """Return the walks with times as released: 64 rows are one unit."""
    sets = RECORDED["walker2d"].load(folder, seed)
    return Sets(*(replace(x, times=x.times / ROWS) for x in sets if x.times is not None))


def task(seen: bool) -> Task:
    """Return the walks as a task; the field is linear, as released."""
    recorded = RECORDED["walker2d"]
    return Task(
        "walks_aligned" if seen else "walks_released",
        "walks as in the released code",
        walks,
        Layers,
        partial(Walks, seen=seen),
        recorded.loss,
        recorded.metric,
        features=FEATURES,
        sizes=(),
        batch=BATCH,
        rate=RATE,
        files=recorded.files,
    )


class Way(NamedTuple):
    """How the walks are trained: a name, whether all models see the row, and the models."""

    name: str
    seen: bool
    models: dict[str, str]


RELEASED = {"NODE": "NODE", "SONODE": "SONODE", "GHBNODE": "GHBNODE"}
WAYS = (
    Way("as released", False, RELEASED | {"HBNODE": "HBNODE, pulled back"}),
    Way("rows seen by all", True, RELEASED | {"HBNODE": "HBNODE, pulled back"}),
    Way("rows seen by all, no pull", True, {"HBNODE": "HBNODE"}),
)


def measure(names: list[str], runs: Path, jobs: int, data: Path | None = None) -> pd.DataFrame:
    """Return the test loss of the models on the walks in every way, and the fault of the gradient.

    Evaluations are those of a batch, a median over the seeds. Runs that are there go on.
    """
    rows, faults = [], dict[str, float]()
    for way in WAYS:
        asked = [name for name in way.models if name in names]
        todo = [
            Job(entrant, task(way.seen), seed, (), Settings(EPOCHS, BATCH, RATE), data)
            for entrant in entrants([way.models[name] for name in asked])
            for seed in range(SEEDS)
        ]
        ended = carried_out(todo, runs, jobs)
        for k, name in enumerate(asked):
            own = slice(k * SEEDS, (k + 1) * SEEDS)
            entrant = todo[own][0].entrant
            if entrant.name not in faults:
                faults[entrant.name] = fault(entrant, walks(data, 0).train.take(slice(BATCH)))
            row = {"model": name, "trained": way.name, "seeds": SEEDS} | _losses(ended[own])
            counts = pd.DataFrame([work(job, runs, way.seen) for job in todo[own]])
            row |= counts.median().to_dict()
            rows.append(row | {"gradient_fault": faults[entrant.name]})
    return pd.DataFrame(rows)


def _losses(runs: list[Run]) -> dict[str, float]:
    found = pd.Series([run.rows[-1]["test_loss"] for run in runs if run.outcome["ended"]])
    low, middle, high = found.quantile([0.25, 0.5, 0.75])
    return {"test_loss": middle, "low": low, "high": high}


def work(job: Job, runs: Path, seen: bool) -> dict[str, float]:
    """Return the evaluations of a batch after training, solved as the released code solves it."""
    with one_thread():
        solved = replace(job.task, around=partial(FaultyWalks, seen=seen))
        network = network_of(job.entrant, solved, job.sizes)
        known = Record(runs / job.place, job.config()).checkpoint()
        if known is None:
            return {"forward": float("nan"), "backward": float("nan")}
        network.load_state_dict(known["network"])
        counted = network.node.field = Counted(network.node.field)
        batch = job.task.load(job.data, job.seed).test.take(slice(BATCH))
        loss = job.task.loss(network(batch).value, batch.targets)
        forward, counted.calls = counted.calls, 0
        loss.backward()  # type: ignore[no-untyped-call]
        return {"forward": forward, "backward": counted.calls}


class LastLengths(Rates):
    """The rates of a node over one unit of the solver's time, as the released code keeps them.

    ``lengths`` are those of the interval that was entered last: on the way back every interval has
    the lengths of the last one, which is the fault.
    """

    lengths: Tensor

    def forward(self, t: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the rates of all states."""
        return tuple(self.lengths * rate for rate in super().forward(t, states))


class FaultyWalks(Walks):
    """Sequences that are solved, and whose gradients are taken, as in the released code."""

    def __init__(self, node: Any, features: int, seen: bool) -> None:
        super().__init__(node, features, seen)
        self.rates = (LastLengths(node),)  # no part of its own: its parameters are the node's

    def _flow(
        self, states: tuple[Tensor, ...], lengths: Tensor, stats: SequenceStats
    ) -> tuple[Tensor, ...]:
        (rates,) = self.rates
        rates.lengths = lengths[:, None]
        settings: dict[str, Any] = {"rtol": 1e-7, "atol": 1e-7, "method": "dopri5"}
        path = odeint_adjoint(rates, states, lengths.new_tensor([0.0, 1.0]), **settings)
        return tuple(z[-1] for z in path)


def fault(entrant: Entrant, examples: Examples) -> float:
    """Return how wrong the released gradient is at the start, by the parameters of f, relatively."""
    times = None if examples.times is None else examples.times.double()
    few = Examples(examples.inputs.double(), examples.targets.double(), times)
    settings: dict[str, Any] = {
        "method": "dopri8",
        "gradient": "autograd",
        "rtol": 1e-9,
        "atol": 1e-9,
    }
    exact, found = (
        _by_field(network_of(entrant, replace(task(True), around=around), (), **settings), few)
        for around in (partial(Walks, seen=True), partial(FaultyWalks, seen=True))
    )
    return float((found - exact).norm() / exact.norm())


def _by_field(network: Any, examples: Examples) -> Tensor:
    loss = (network.double()(examples).value - examples.targets).square().mean()
    grads = torch.autograd.grad(loss, [*network.node.field.parameters()])
    return torch.cat([x.flatten() for x in grads])
