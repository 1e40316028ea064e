"""Define a contender: a way to take a training step, at settings from loose to tight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from benchmarks.speed.cases import Problem


class Setting(NamedTuple):
    """A tolerance, relative and absolute, or a number of equal steps."""

    kind: str
    value: float

    def __str__(self) -> str:
        return f"{self.value:.0e}" if self.kind == "tolerance" else f"{self.value:.0f} steps"

    def length(self, span: tuple[float, float]) -> float:
        """Return the length of a step: a hair longer than exact, so that rounding adds no step."""
        return (span[1] - span[0]) / self.value * (1 + 1e-6)


# Loosest first.
TOLERANCES = tuple(
    Setting("tolerance", digit * 10.0**-k) for k in range(1, 11) for digit in (1.0, 0.3)
)
STEPS = tuple(
    Setting("steps", n)
    for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
)


class Work(NamedTuple):
    """Evaluations of f of one training step: without a graph, with one, and its VJPs.

    forward and backward are the NFE as they are usually reported: evaluations until the loss, and
    VJPs after it.
    """

    plain: int
    recorded: int
    pullbacks: int
    forward: int
    backward: int


# Evaluations that are compiled together to time one, as those of a compiled solve are.
CHAIN = 8


class Bare(NamedTuple):
    """Calls of f alone: without a graph, with one, and with its VJP by the parameters and h.

    Each call makes so many evaluations, of one another's results.
    """

    plain: Callable[[], Any]
    recorded: Callable[[], Any]
    both: Callable[[], Any]
    evaluations: int


class Step(ABC):
    """A contender at one setting of one problem."""

    @abstractmethod
    def __call__(self) -> tuple[Any, Mapping[str, Any]]:
        """Take a whole training step; return the loss, and its gradients by name."""

    @abstractmethod
    def forward(self) -> Any:
        """Return h at the end, of a solve without gradients."""

    @abstractmethod
    def work(self) -> Work:
        """Count what one training step evaluates."""

    def peak_bytes(self) -> int | None:
        """Return the peak of what a training step allocates, where it can be seen."""
        return None


class Contender(ABC):
    """A solver and a way to its gradient.

    peer: whose it is; ratios are against the fastest of each peer.
    form: how the floor under it runs f: "eager", "compiled" (torch.compile) or "jit" (JAX).
    needs: packages beyond optode's own, without which it is skipped.
    family: those of one family reach equal errors at equal settings, which are sought once.
    group: of one group only those with the fewest evaluations are timed.
    """

    name: str
    peer: str
    form: str = "eager"
    needs: tuple[str, ...] = ()
    family: str = ""
    group: str = ""
    ladder: tuple[Setting, ...] = TOLERANCES

    @abstractmethod
    def prepare(self, problem: Problem, setting: Setting) -> Step:
        """Return the step at a setting, on weights of its own."""

    def trial(self, problem: Problem, setting: Setting) -> Step:
        """Return a step with the numbers of `prepare`'s, not compiled, to find the setting."""
        return self.prepare(problem, setting)

    @abstractmethod
    def bare(self, problem: Problem) -> Bare:
        """Return calls of f alone, in this contender's form."""

    def missing(self) -> list[str]:
        """Return the packages that the contender needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]
