"""What a contender is: a way to take a training step, at settings from loose to tight."""

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
        """Of a step: a hair longer than the span allows, so that rounding leaves no sliver of one."""
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
    """What work is made of: f without a graph, with one, and with its VJP by the parameters and h.

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
        """A whole training step: the loss, and its gradients by name."""

    @abstractmethod
    def forward(self) -> Any:
        """h at the end, of a solve that no gradient is asked of."""

    @abstractmethod
    def work(self) -> Work:
        """What one training step evaluates, counted."""

    def peak_bytes(self) -> int | None:
        """Most memory a training step holds at once beside what exists before, where it can be seen."""
        return None


class Contender(ABC):
    """A solver and a way to its gradient.

    peer: whose it is; ratios are against the fastest of each peer.
    form: how the floor under it runs f: "eager", "compiled" (torch.compile) or "jit" (JAX).
    needs: packages beyond optode's own, without which it is skipped.
    """

    name: str
    peer: str
    form: str = "eager"
    needs: tuple[str, ...] = ()
    ladder: tuple[Setting, ...] = TOLERANCES

    @abstractmethod
    def prepare(self, problem: Problem, setting: Setting) -> Step:
        """The step at a setting, on weights of its own."""

    def trial(self, problem: Problem, setting: Setting) -> Step:
        """The same numbers at less preparation, to find the setting with."""
        return self.prepare(problem, setting)

    @abstractmethod
    def bare(self, problem: Problem) -> Bare:
        """f alone, in the form of this contender."""

    def missing(self) -> list[str]:
        """Packages that it needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]
