"""Train contenders in turns, and take the error of h on the way."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.training_grid.contenders import Contender

# What brings a numerical library is imported where it is used: once the threads are pinned.
if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.speed.cases import Problem

# Of Adam: PyTorch's own.
RATE = 1e-3
# The target is h at the start with its features in reverse, times this: far from where weights as
# PyTorch draws them lead.
STRETCH = -3.0
EXACT = 1e-10
EVERY = 25
# Training steps of weights that are thrown away, not timed: libraries set up at their first calls.
REHEARSED = 3


class Sample(NamedTuple):
    """The error of h after a training step's solve, in tolerances, and its largest entry."""

    step: int
    error: float
    entry: float


@dataclass(eq=False)
class Run:
    """The record of a contender's training: a number for each training step, and the samples.

    work: the stats of each solve. failure: the error that ended it, if one did.
    """

    contender: Contender
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    work: list[Any] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    failure: str = ""

    @property
    def total(self) -> float:
        return math.fsum(self.seconds)

    @property
    def error(self) -> float:
        return max((sample.error for sample in self.samples), default=math.nan)

    @property
    def entry(self) -> float:
        return max((sample.entry for sample in self.samples), default=math.nan)

    @property
    def accurate(self) -> bool:
        """Whether training went to the end, and h was within the tolerance at every sample."""
        return not self.failure and all(sample.error <= 1 for sample in self.samples)

    @property
    def changes(self) -> list[tuple[int, int]]:
        """Training steps before which the number of solver steps changed, and the new number."""
        counts = [stats.accepted for stats in self.work]
        return [(i, b) for i, (a, b) in enumerate(pairwise(counts), 1) if a != b]

    def mean(self, name: str) -> float:
        """Return the mean of an entry of the stats over all training steps."""
        return math.fsum(getattr(stats, name) for stats in self.work) / max(1, len(self.work))


class Training:
    """A contender with weights of its own."""

    def __init__(self, contender: Contender, given: Problem) -> None:
        from torch.optim import Adam

        self.given, self.run = given, Run(contender)
        self.node: Any = contender.module.build(given, contender.setting)[0]
        self.optimizer = Adam(self.node.parameters(), RATE)

    def step(self) -> None:
        """Take a training step; this is what is timed."""
        self.optimizer.zero_grad()
        solution = self.node.integrate(self.given.h0)
        h = solution.states.h[-1]
        loss: Any = self.given.loss(h)
        loss.backward()
        self.optimizer.step()
        self.h, self.loss, self.stats = h.detach(), loss.detach(), solution.stats

    def advance(self, clock: Callable[[], float]) -> None:
        """Take a training step and note its numbers; do nothing once a step has failed."""
        from benchmarks.speed.timing import timed

        run = self.run
        if run.failure:
            return
        try:
            seconds = timed(self.step, 1, clock)
        except (ArithmeticError, AssertionError, RuntimeError, ValueError) as error:
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            run.failure = f"training step {len(run.seconds)}: {what}"
            return
        run.seconds.append(seconds)
        run.losses.append(self.loss.item())
        run.work.append(self.stats)

    def weights(self) -> dict[str, Tensor]:
        """Return copies of all parameters: the network's and the model's."""
        return {name: x.detach().clone() for name, x in self.node.named_parameters()}

    def sample(self, weights: Mapping[str, Tensor], tolerance: float) -> None:
        """Note the error of the last step's h, which was solved with these weights."""
        if not self.run.failure:
            found = deviation(self.h, exact(self.given, weights), tolerance)
            self.run.samples.append(Sample(len(self.run.seconds) - 1, *found))


def regression(model: str, case: str) -> Problem:
    """Return the problem of benchmarks/speed with weights as PyTorch draws them.

    The target is one that the network reaches only with larger weights.
    """
    from benchmarks.speed.cases import CASES, problem

    given = problem(model, CASES[case], gain=1.0)
    return replace(given, target=STRETCH * given.h0.flip(1))


def exact(given: Problem, weights: Mapping[str, Tensor]) -> Tensor:
    """Return h at the end in float64, by the equations by hand and none of optode's code."""
    import torch
    from torchdiffeq import odeint

    from benchmarks.speed.equations import MODELS

    wide = given.to(torch.float64)
    model: Any = MODELS[given.model].by_hand(wide.field()).double()
    model.load_state_dict(weights)
    times = torch.tensor(given.span, dtype=torch.float64)
    settings: dict[str, Any] = {"rtol": EXACT, "atol": EXACT, "method": "dopri8"}
    with torch.no_grad():
        # a step that ends at the end of the span: nothing is interpolated
        path: Any = odeint(
            model, model.start(wide.h0), times, **settings, options={"step_t": times[1:]}
        )
    h: Tensor = path[0][-1]
    return h


def deviation(h: Tensor, wanted: Tensor, tolerance: float) -> tuple[float, float]:
    """Return the error in units of atol + rtol |wanted|: root mean square, and largest entry."""
    ratios = (h - wanted) / (tolerance + tolerance * wanted.abs())
    return ratios.square().mean().sqrt().item(), ratios.abs().max().item()


def train(
    given: Problem,
    entrants: Sequence[Contender],
    tolerance: float,
    steps: int,
    every: int = EVERY,
    clock: str = "wall",
) -> list[Run]:
    """Train all contenders, a training step of each in turning order."""
    from benchmarks.speed.timing import CLOCKS, no_collection

    for contender in entrants:
        rehearsal = Training(contender, given)
        for _ in range(REHEARSED):
            rehearsal.advance(CLOCKS[clock])
    trainings = [Training(contender, given) for contender in entrants]
    with no_collection():
        for i in range(steps):
            sampled = i % every == 0 or i == steps - 1
            weights = [training.weights() for training in trainings] if sampled else []
            turn = i % len(trainings)
            for training in trainings[turn:] + trainings[:turn]:
                training.advance(CLOCKS[clock])
            if sampled:
                for training, before in zip(trainings, weights, strict=True):
                    training.sample(before, tolerance)
                gc.collect()
    return [training.run for training in trainings]
