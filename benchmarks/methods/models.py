"""Make every shipped model on a small network, with its start and a reference in float64."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.cases import GAIN
from tests.fields import given_to

FOLDER = Path(__file__).parents[2] / "generated"
BATCH, FEATURES, HIDDEN = 32, 4, 16
# Tolerances of the reference, and how far above them an error is meant seriously. Where steps end
# at every kink of the equations, the tightest would take hours.
TOLERANCES = (1e-12, 1e-9)
MARGIN = 100.0
MOST_STEPS = 1500
# The time that a solve may take, and that the reference may (seconds).
PATIENCE, LONG_PATIENCE = 2.0, 20.0

Start = Tensor | tuple[Tensor, ...]


class Network(nn.Module):
    """An MLP with tanh of the states side by side, with weights GAIN times as PyTorch draws them."""

    def __init__(self, arguments: int) -> None:
        super().__init__()
        sizes = (arguments * FEATURES, HIDDEN, HIDDEN, FEATURES)
        pairs = pairwise(sizes)
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in pairs)
        with torch.no_grad():
            for p in self.parameters():
                p.mul_(GAIN)

    def forward(self, t: Tensor, *states: Tensor) -> Tensor:
        *inner, last = self.layers
        h = torch.cat(states, -1)
        for layer in inner:
            h = torch.tanh(layer(h))
        return last(h)


def names() -> list[str]:
    """Return the names of all shipped modules."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def model_class(name: str) -> type[Any]:
    """Return the class of a module: its first one that is a network."""
    module = importlib.import_module(f"generated.{name}")
    classes = (v for v in vars(module).values() if isinstance(v, type) and issubclass(v, nn.Module))
    return next(c for c in classes if c.__module__ == module.__name__)


@dataclass(frozen=True, eq=False)
class Model:
    """A shipped model on its network: how a solve is set up, where it starts, where it ends.

    ``start`` is h alone, or all states where the model does not say how the others start.
    ``error`` is the smallest error that the reference can tell; ``nfe`` its evaluations.
    """

    name: str
    make: Callable[..., Any] = field(repr=False)
    start: Start
    end: Tensor
    error: float
    nfe: int

    def solve(self, **settings: Any) -> tuple[Tensor, int, str]:
        """Return h at the end, the evaluations of f, and the method of a solve.

        Raises TooLong where it takes longer than PATIENCE.
        """
        return _solved(self.make, self.start, settings, PATIENCE)

    def distance(self, h: Tensor) -> float:
        """Return the largest deviation of h at the end over its largest entry."""
        return float((h - self.end).abs().max() / self.end.abs().max())


class TooLong(RuntimeError):
    """A solve took longer than it may."""


def _solved(
    make: Callable[..., Any], start: Start, settings: dict[str, Any], patience: float
) -> tuple[Tensor, int, str]:
    begun, node = time.perf_counter(), make(**settings)

    def before_a_step(*_: object) -> None:
        if time.perf_counter() - begun > patience:
            raise TooLong(f"longer than {patience:g} s")

    node.callback_step = before_a_step
    with torch.no_grad():
        solution = node.integrate(start)
    return solution.states[0][-1], solution.stats.forward_nfe, solution.stats.method


class NoReference(Exception):
    """A model has no solution that can be told from its approximations."""


def model(name: str) -> Model:
    """Return a shipped model, drawn from one seed. Raises NoReference where none is found.

    Times begin at 1 where the equations are singular at 0. A start of both signs is tried, then
    positive ones, which entropic positions ask for, then all states positive.
    """
    made = model_class(name)
    of_velocity = made.state_names == ("x", "v")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, given = Network(1 + of_velocity).double(), given_to(made)
        rows = (FEATURES,) if any("Matrix" in base.__name__ for base in made.__mro__) else ()
        h = torch.randn(BATCH, *rows, FEATURES, dtype=torch.float64)
        drawn = tuple(0.2 + torch.rand_like(h) for _ in made.state_names)
    more = {"features": FEATURES} if of_velocity else {}
    span = (1.0, 2.0) if made.singular_times else (0.0, 1.0)

    def make(**settings: Any) -> Any:
        with torch.random.fork_rng(devices=[]):  # a learned start has weights of its own
            torch.manual_seed(0)
            return made(network, span=span, **given, **more, **settings).double()

    failure = ""
    for tolerance in TOLERANCES:
        for start in (h, 0.2 + h.abs(), drawn):
            settings = {"rtol": tolerance, "atol": tolerance, "options": {"max_steps": MOST_STEPS}}
            try:
                end, nfe, _ = _solved(make, start, {"method": "dopri8", **settings}, LONG_PATIENCE)
            except (ArithmeticError, RuntimeError, ValueError) as error:
                failure = str(error).partition("\n")[0]
                # another start would not make it smoother
                if isinstance(error, TooLong) or "max_steps" in failure:
                    break
                continue
            return Model(name, make, start, end, MARGIN * tolerance, nfe)
    raise NoReference(failure)
