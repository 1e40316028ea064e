"""Fit the nodes at which interpolations evaluate f, and compare them on other problems.

    python -m benchmarks.nodes [--evaluations 5 8] [--fit SECONDS] [--help]

A problem is a model on a network drawn at random, and one step over its whole span. The error is
that of the gradient by h at the start and by the network: the largest deviation in a tensor over its
largest entry, of the worst tensor. Nodes are judged by the mean of its decimal logarithm. They are
fitted to some problems by Nelder and Mead's simplex, from those that ship, and reported on others.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.provenance import commit
from benchmarks.records import Report
from benchmarks.speed.environment import environment, environment_line
from benchmarks.speed.tables import aligned
from optode.runtime.methods.catalogue import METHODS
from optode.runtime.methods.coefficients import LEFT_OUT, NODES
from optode.runtime.methods.collocation import radau
from optode.runtime.methods.interpolation import Interpolation, forgets

MODELS = {
    "heavy_ball": "HBNODE",
    "generalized_heavy_ball": "GHBNODE",
    "adam": "AdamNODE",
    "nesterov": "NesterovNODE",
}
ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    torch.tanh,
    nn.functional.softplus,
    torch.sin,
)
BATCH = 8
LEAST = 0.04
"""The second node: with a nearer one the polynomials lose digits in single precision."""

Nodes = tuple[float, ...]


class Network(nn.Module):
    """Two layers, with more than the usual weights and an activation of their own."""

    def __init__(self, generator: np.random.Generator) -> None:
        super().__init__()
        features, hidden = int(generator.integers(1, 6)), int(generator.integers(4, 24))
        self.features, gain = features, float(generator.uniform(1, 3))
        self.activation = ACTIVATIONS[generator.integers(len(ACTIVATIONS))]
        self.layers = nn.ModuleList([nn.Linear(features, hidden), nn.Linear(hidden, features)])
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(gain * p)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        inner, outer = self.layers
        found: Tensor = outer(self.activation(inner(h)))
        return found


@dataclass(frozen=True, eq=False)
class Problem:
    """A model on its network, h at the start and the direction of the loss, and the gradient."""

    make: Callable[..., Any]
    start: Tensor
    direction: Tensor
    expected: tuple[Tensor, ...]

    def error(self, method: str) -> float:
        """Return the error of the gradient after one step."""
        found = gradient(self.make(method=method, options={"steps": 1}), self.start, self.direction)
        pairs = zip(found, self.expected, strict=True)
        return max(float((x - y).abs().max() / y.abs().max()) for x, y in pairs)


def gradient(node: nn.Module, start: Tensor, direction: Tensor) -> tuple[Tensor, ...]:
    """Return the gradient by h at the start and by the network's parameters."""
    start = start.clone().requires_grad_()
    loss = (direction * node(start)).sum()
    return torch.autograd.grad(loss, (start, *node.field.parameters()))


def drawn(seed: int) -> Problem:
    """Return the problem of a seed, with a reference in float64."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    name = list(MODELS)[seed % len(MODELS)]
    made = getattr(import_module(f"generated.{name}"), MODELS[name])
    network = Network(generator).double()
    begin = 1.0 if made.singular_times else 0.0
    span = (begin, begin + float(generator.uniform(0.4, 1.2)))
    start, direction = torch.randn(2, BATCH, network.features, dtype=torch.float64)

    def make(**settings: Any) -> Any:
        return made(network, span=span, **settings).double()

    precise = make(method="dopri8", rtol=1e-12, atol=1e-12)
    return Problem(make, start, direction, gradient(precise, start, direction))


@contextmanager
def known_as(name: str, nodes: Nodes) -> Iterator[str]:
    """Let nodes be those of a method of this name."""
    METHODS[name] = Interpolation(nodes, LEFT_OUT[len(nodes) - 3])
    try:
        yield name
    finally:
        del METHODS[name]


def errors(nodes: Nodes, problems: Sequence[Problem]) -> np.ndarray:
    """Return the decimal logarithm of the error on each problem."""
    with known_as("tried", nodes) as name:
        return np.array([math.log10(max(p.error(name), 1e-15)) for p in problems])


def from_numbers(x: Sequence[float], forgotten: bool) -> Nodes:
    """Return the nodes that free numbers stand for: parts of the step are their exponentials.

    Where the second node is forgotten, the third is twice as far.
    """
    parts = np.exp([*x, 0.0])
    ends = np.cumsum(parts / parts.sum())[:-1]
    if forgotten:
        ends = np.array([ends[0] / 2, *ends])
    return (0.0, *(float(each) for each in ends))


def to_numbers(nodes: Nodes) -> list[float]:
    """Return the numbers that stand for nodes."""
    places = [0.0, *nodes[2 if forgets(nodes) else 1 :], 1.0]
    parts = np.diff(places)
    return [float(each) for each in np.log(parts[:-1] / parts[-1])]


def fitted(nodes: Nodes, problems: Sequence[Problem], seconds: float) -> Nodes:
    """Return nodes with smaller errors on the problems, looked for from these on."""
    from scipy.optimize import minimize

    forgotten, begun = forgets(nodes), time.perf_counter()

    def loss(x: Sequence[float]) -> float:
        tried = from_numbers(x, forgotten)
        near = max(0.0, LEAST - tried[1])
        return float(errors(tried, problems).mean() + 1e3 * near)

    def stop(_: object) -> None:
        if time.perf_counter() > begun + seconds:
            raise StopIteration

    found = minimize(loss, to_numbers(nodes), method="Nelder-Mead", callback=stop)
    return tuple(round(x, 4) for x in from_numbers(found.x, forgotten))


def others(size: int) -> dict[str, Nodes]:
    """Return nodes that nobody fitted: equal distances, and Radau's of the step turned around."""
    mirrored = sorted(1 - x for x in radau(size))
    return {
        "equal distances": tuple(k / size for k in range(size)),
        "Radau, from the start": tuple(0.0 if k == 0 else x for k, x in enumerate(mirrored)),
    }


def rows(size: int, asked: argparse.Namespace) -> list[tuple[str, ...]]:
    """Return the rows of a number of evaluations: the errors on problems that no fit has seen."""
    shipped = next(nodes for nodes in NODES if len(nodes) == size)
    held_out = [drawn(10_000 + k) for k in range(asked.problems)]
    tried = {"shipped": shipped, **others(size)}
    if asked.fit:
        tried["fitted now"] = fitted(shipped, [*map(drawn, range(asked.problems))], asked.fit)
    found = []
    for name, nodes in tried.items():
        each = errors(nodes, held_out)
        numbers = (f"{10**x:.1e}" for x in (each.mean(), *np.quantile(each, (0.1, 0.5, 0.9))))
        found.append((str(size), name, *numbers, " ".join(f"{x:.4g}" for x in nodes)))
    return found


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nodes",
        description="Fit the nodes at which interpolations evaluate f, and compare them.",
    )
    sizes = [len(nodes) for nodes in NODES]
    parser.add_argument("--evaluations", nargs="+", type=int, choices=sizes, default=sizes)
    parser.add_argument("--problems", type=int, default=48, help="to fit to, and to report on")
    parser.add_argument("--fit", type=float, default=0.0, metavar="SECONDS", help="look for better")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what is printed, too")
    return parser.parse_args(words)


def main() -> None:
    asked = arguments()
    torch.set_num_threads(1)
    heads = ("evaluations", "nodes", "mean", "10 %", "median", "90 %", "places")
    lines = [heads, *(row for size in asked.evaluations for row in rows(size, asked))]
    words = f"gradient's error after one step, {asked.problems} problems that no fit has seen"
    Report(asked.text)(
        "\n\n".join((environment_line(environment("cpu") | commit()), words, aligned(lines)))
    )


if __name__ == "__main__":
    main()
