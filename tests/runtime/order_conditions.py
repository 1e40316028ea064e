"""The conditions that the coefficients of a method have to meet for its order.

A method here checks them when it is made, and names the first that fails: rooted
trees for Runge-Kutta methods (Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations
I, II.2), special Nyström trees for Runge-Kutta-Nyström methods (II.14), and the series of words in
two letters for splittings (Hairer, Lubich and Wanner, Geometric Numerical Integration, III.5).
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


@dataclass(frozen=True, slots=True)
class Tree:
    """A derivative of g: ``leaves`` times along y', and along what its ``branches`` add to y.

    Written as the vector over the stages that it gives, elementwise: ``c^2 (A c)``. Time is one
    more component of y, with velocity 1 and no acceleration, so t + c_i d is its stage without
    any condition and a g that depends on time needs no trees of its own.
    """

    leaves: int
    branches: tuple[Tree, ...]

    @property
    def order(self) -> int:
        """The power of d with which the tree enters y'; y has one more."""
        return 1 + self.leaves + sum(branch.order + 1 for branch in self.branches)

    @property
    def density(self) -> int:
        """In the solution y' has the tree with weight 1/density, y with 1/((order + 1) density)."""
        return self.order * math.prod((b.order + 1) * b.density for b in self.branches)

    def stages(
        self, nodes: Sequence[Fraction], rows: Sequence[Sequence[Fraction]]
    ) -> tuple[Fraction, ...]:
        """What the tree is at each stage."""
        values = [node**self.leaves for node in nodes]
        for branch in self.branches:
            inner = branch.stages(nodes, rows)
            values = [v * _dot(row, inner[: len(row)]) for v, row in zip(values, rows, strict=True)]
        return tuple(values)

    def __str__(self) -> str:
        powers = {0: (), 1: ("c",)}.get(self.leaves, (f"c^{self.leaves}",))
        return " ".join((*powers, *(f"(A {branch})" for branch in self.branches))) or "1"


@functools.cache
def trees(order: int) -> tuple[Tree, ...]:
    """The special Nyström trees of an order."""
    kinds = tuple((n + 1, tree) for n in range(order - 2, 0, -1) for tree in trees(n))
    return tuple(Tree(left, branches) for left, branches in _multisets(order - 1, kinds))


def _multisets(room: int, kinds: Sequence[tuple[int, T]]) -> Iterator[tuple[int, tuple[T, ...]]]:
    """Those of kinds of these sizes that the room holds, with what they leave of it."""
    yield room, ()
    for index, (size, kind) in enumerate(kinds):
        if size <= room:
            for left, others in _multisets(room - size, kinds[index:]):
                yield left, (kind, *others)


@dataclass(frozen=True, slots=True)
class Nystrom:
    """An explicit Runge-Kutta-Nyström method for y'' = g(t, y), with steps of length d.

    ``Y_i = y + c_i d y' + d^2 sum a_ij k_j`` and ``k_i = g(t + c_i d, Y_i)`` at the stages, of
    which row i has those before it; ``y+ = y + d y' + d^2 sum b_i k_i`` and
    ``y'+ = y' + d sum b'_i k_i``. The nodes are c, the positions b, the velocities b'. A method
    with an embedded pair of weights b^ and b'^ has the errors b - b^ and b' - b'^.
    """

    name: str
    order: int
    nodes: tuple[Fraction, ...]
    rows: tuple[tuple[Fraction, ...], ...]
    positions: tuple[Fraction, ...]
    velocities: tuple[Fraction, ...]
    position_errors: tuple[Fraction, ...] = ()
    velocity_errors: tuple[Fraction, ...] = ()
    embedded_order: int = 0

    def __post_init__(self) -> None:
        number = len(self.nodes)
        weights = (self.positions, self.velocities)
        errors = (self.position_errors, self.velocity_errors)
        if [len(row) for row in self.rows] != list(range(number)):
            raise ValueError(f"{self.name}: the rows are not strictly lower triangular")
        if any(len(w) != number for w in weights):
            raise ValueError(f"{self.name}: there is not one weight for each stage")
        for stage, (node, row) in enumerate(zip(self.nodes, self.rows, strict=True), 1):
            if sum(row) != node**2 / 2:
                raise ValueError(f"{self.name}: the row of stage {stage} does not sum to c^2/2")
        self._check(self.order, "", *weights)
        if not self.embedded_order and not any(errors):
            return
        if any(len(e) != number or not any(e) for e in errors):
            raise ValueError(f"{self.name}: there is not one error for each stage, or all are 0")
        if not 0 < self.embedded_order < self.order:
            raise ValueError(f"{self.name}: the embedded pair is not of lower order")
        embedded = (_minus(w, e) for w, e in zip(weights, errors, strict=True))
        self._check(self.embedded_order, "^", *embedded)

    def _check(
        self, order: int, sign: str, positions: Sequence[Fraction], velocities: Sequence[Fraction]
    ) -> None:
        """The conditions of an order p: of y' by trees up to p, of y, with one d more, up to p - 1.

        By induction over the branches: to y, a tree adds t^(order + 1)/((order + 1) density) in the
        solution and d^(order + 1) (A tree) at the stages.
        """
        for tree in (tree for reached in range(1, order + 1) for tree in trees(reached)):
            stages = tree.stages(self.nodes, self.rows)
            exact = Fraction(1, tree.density)
            if _dot(velocities, stages) != exact:
                raise ValueError(f"{self.name}: sum b'{sign} {tree} is not {exact}")
            exact /= tree.order + 1
            if tree.order < order and _dot(positions, stages) != exact:
                raise ValueError(f"{self.name}: sum b{sign} {tree} is not {exact}")

    @property
    def ends_as_next(self) -> bool:
        """Whether the last stage is at the end of the step, and so is the first of the next."""
        return self.nodes[-1] == 1 and self.positions == (*self.rows[-1], 0)


def _dot(left: Sequence[Fraction], right: Sequence[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(left, right, strict=True)), Fraction(0))


def _minus(left: Sequence[Fraction], right: Sequence[Fraction]) -> tuple[Fraction, ...]:
    return tuple(x - y for x, y in zip(left, right, strict=True))


NYSTROM = {
    name: Nystrom(
        name,
        table.order,
        table.nodes,
        table.rows,
        table.positions,
        table.velocities,
        table.position_errors,
        table.velocity_errors,
        table.embedded_order,
    )
    for name, table in coefficients.NYSTROM.items()
}


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


@dataclass(frozen=True, slots=True)
class Splitting:
    """A symmetric composition of two flows, ``drift(a_1 d) kick(b_1 d) ... drift(a_last d)``."""

    name: str
    order: int
    drifts: tuple[float, ...]
    kicks: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.drifts) != len(self.kicks) + 1:
            raise ValueError(f"{self.name}: there is not one drift more than kicks")
        for kind, lengths in (("drifts", self.drifts), ("kicks", self.kicks)):
            if abs(math.fsum(lengths) - 1) > TOLERANCE:
                raise ValueError(f"{self.name}: the {kind} do not sum to 1")
            if lengths != lengths[::-1]:
                raise ValueError(f"{self.name}: the {kind} are not a palindrome")
        for word, coefficient in sorted(self._words().items(), key=lambda item: len(item[0])):
            exact = Fraction(1, math.factorial(len(word)))
            if abs(coefficient - exact) > TOLERANCE:
                raise ValueError(f"{self.name}: the coefficient of {word} is not {exact}")

    def _words(self) -> dict[str, float]:
        """prod exp(a_i X) exp(b_i Y) up to the order, where exp(X + Y) has 1/n! at n letters."""
        series = {"": 1.0}
        for drift, kick in zip(self.drifts, (*self.kicks, 0.0), strict=True):
            for letter, length in (("X", drift), ("Y", kick)):
                product: dict[str, float] = {}
                for word, coefficient in series.items():
                    for power in range(self.order - len(word) + 1):
                        longer = word + letter * power
                        term = coefficient * length**power / math.factorial(power)
                        product[longer] = product.get(longer, 0.0) + term
                series = product
        return series


SPLITTINGS = {
    name: Splitting(name, table.order, table.drifts, table.kicks)
    for name, table in coefficients.SPLITTING.items()
}
