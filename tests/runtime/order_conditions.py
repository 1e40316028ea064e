"""The conditions that the coefficients of a method have to meet for its order.

A method here checks them when it is made, and names the first that fails: they are those of rooted
trees (Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, II.2).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, TypeVar

from optode.runtime.methods import coefficients

T = TypeVar("T")

TOLERANCE = 1e-13
"""Of the conditions that floating-point coefficients have to meet."""


def _multisets(room: int, kinds: Sequence[tuple[int, T]]) -> Iterator[tuple[int, tuple[T, ...]]]:
    """Those of kinds of these sizes that the room holds, with what they leave of it."""
    yield room, ()
    for index, (size, kind) in enumerate(kinds):
        if size <= room:
            for left, others in _multisets(room - size, kinds[index:]):
                yield left, (kind, *others)


Rooted: TypeAlias = "tuple[Rooted, ...]"
"""A rooted tree: the branches at its root."""


@functools.cache
def rooted_trees(order: int) -> tuple[Rooted, ...]:
    """The rooted trees with so many nodes."""
    kinds = tuple((n, tree) for n in range(order - 1, 0, -1) for tree in rooted_trees(n))
    return tuple(branches for left, branches in _multisets(order - 1, kinds) if left == 0)


@dataclass(frozen=True, slots=True)
class RungeKutta:
    """An explicit Runge-Kutta method, with an embedded one or none, of rounded coefficients.

    Row i has the weights of the stages before stage i; the errors are b - b^.
    """

    name: str
    order: int
    nodes: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    embedded_order: int

    def __post_init__(self) -> None:
        number = len(self.nodes)
        if [len(row) for row in self.rows] != list(range(number)):
            raise ValueError(f"{self.name}: the rows are not strictly lower triangular")
        errors = self.errors or (0.0,) * number
        if (len(self.weights), len(errors)) != (number, number):
            raise ValueError(f"{self.name}: there is not one weight and error for each stage")
        if self.weights[-1] == 0 and self.weights != (*self.rows[-1], 0.0):
            raise ValueError(f"{self.name}: the last stage is not at the end")
        for stage, (node, row) in enumerate(zip(self.nodes, self.rows, strict=True), 1):
            if abs(math.fsum(row) - node) > TOLERANCE:
                raise ValueError(f"{self.name}: the row of stage {stage} does not sum to c")
        embedded = [b - e for b, e in zip(self.weights, errors, strict=True)]
        for sign, order, weights in (
            ("", self.order, self.weights),
            ("^", self.embedded_order, embedded),
        ):
            for tree in (tree for reached in range(1, order + 1) for tree in rooted_trees(reached)):
                found = math.fsum(b * x for b, x in zip(weights, self._stages(tree), strict=True))
                exact = Fraction(1, _density(tree))
                if abs(found - exact) > TOLERANCE:
                    raise ValueError(f"{self.name}: the sum of b{sign} over {tree} is not {exact}")

    def _stages(self, tree: Rooted) -> list[float]:
        """What the tree is at each stage: 1 at a leaf, products of A times its branches."""
        values = [1.0] * len(self.nodes)
        for branch in tree:
            inner = self._stages(branch)
            sums = (math.fsum(a * x for a, x in zip(row, inner, strict=False)) for row in self.rows)
            values = [value * x for value, x in zip(values, sums, strict=True)]
        return values


def _nodes(tree: Rooted) -> int:
    return 1 + sum(map(_nodes, tree))


def _density(tree: Rooted) -> int:
    return _nodes(tree) * math.prod(map(_density, tree))


RUNGE_KUTTA = {
    name: RungeKutta(
        name,
        table.order,
        table.nodes,
        table.rows,
        table.weights,
        table.errors,
        table.embedded_order,
    )
    for name, table in (coefficients.FIXED | coefficients.ADAPTIVE).items()
}
