"""Hold the coefficients of methods, read from text as they are printed in papers.

That they meet the conditions of their order is a matter of the tests, not of every import.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Row = tuple[float, ...]
Exact = tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class RungeKuttaTableau:
    """A Runge-Kutta method: row i has the weights of the stages before stage i.

    ``errors`` are the weights less those of the embedded method, empty where there is none.
    """

    order: int
    nodes: Row
    rows: tuple[Row, ...]
    weights: Row
    errors: Row = ()
    embedded_order: int = 0

    def __post_init__(self) -> None:
        _check(self.nodes, self.rows, self.weights, self.errors or self.weights)


@dataclass(frozen=True, slots=True)
class NystromTableau:
    """A Runge-Kutta-Nyström method for y'' = g(t, y), with steps of length d.

    ``Y_i = y + c_i d y' + d^2 sum a_ij k_j`` and ``k_i = g(t + c_i d, Y_i)`` at the stages;
    ``y+ = y + d y' + d^2 sum b_i k_i`` and ``y'+ = y' + d sum b'_i k_i``. The nodes are c, the
    rows a, the positions b, the velocities b'. The errors are b and b' less those of the embedded
    method.
    """

    order: int
    nodes: Exact
    rows: tuple[Exact, ...]
    positions: Exact
    velocities: Exact
    position_errors: Exact
    velocity_errors: Exact
    embedded_order: int

    def __post_init__(self) -> None:
        weights = (self.positions, self.velocities, self.position_errors, self.velocity_errors)
        _check(self.nodes, self.rows, *weights)


@dataclass(frozen=True, slots=True)
class SplittingTableau:
    """A composition of two flows, ``drift(a_1 d) kick(b_1 d) ... drift(a_last d)``."""

    order: int
    drifts: Row
    kicks: Row

    def __post_init__(self) -> None:
        if len(self.drifts) != len(self.kicks) + 1:
            raise ValueError("a splitting has one drift more than kicks")


def _check(
    nodes: Sequence[float | Fraction],
    rows: Sequence[Sequence[float | Fraction]],
    *weights: Sequence[float | Fraction],
) -> None:
    """Refuse rows that are not strictly lower triangular, or too few weights."""
    if [len(row) for row in rows] != list(range(len(nodes))):
        raise ValueError("the rows are not strictly lower triangular")
    if any(len(w) != len(nodes) for w in weights):
        raise ValueError("there is not one weight for each stage")


def runge_kutta(
    order: int, nodes: str, *rows: str, weights: str, embedded: str = "", embedded_order: int = 0
) -> RungeKuttaTableau:
    """Read a Runge-Kutta method; the first stage has no row."""
    pairs = zip(numbers(weights), numbers(embedded))
    errors = tuple(b - embedded_b for b, embedded_b in pairs)
    table = ((), *map(numbers, rows))
    return RungeKuttaTableau(order, numbers(nodes), table, numbers(weights), errors, embedded_order)


def nystrom(
    order: int,
    nodes: str,
    *rows: str,
    positions: str,
    velocities: str,
    embedded: tuple[str, str],
    embedded_order: int,
) -> NystromTableau:
    """Read a Nyström method; ``embedded`` are its b^ and b'^."""
    b, b_embedded, db, db_embedded = map(
        fractions, (positions, embedded[0], velocities, embedded[1])
    )
    return NystromTableau(
        order,
        fractions(nodes),
        ((), *map(fractions, rows)),
        b,
        db,
        tuple(x - y for x, y in zip(b, b_embedded)),
        tuple(x - y for x, y in zip(db, db_embedded)),
        embedded_order,
    )


def mirrored(order: int, drifts: str, kicks: str) -> SplittingTableau:
    """Read the first half of a symmetric splitting.

    The middle is what the lengths lack of 1: one drift, or two kicks.
    """
    a, b = numbers(drifts), numbers(kicks)
    halves = (*b, 0.5 - sum(b))
    return SplittingTableau(order, (*a, 1 - 2 * sum(a), *a[::-1]), (*halves, *halves[::-1]))


def numbers(text: str) -> Row:
    """Return the numbers in a text: decimals and fractions, set apart by white space."""
    return tuple(map(_number, text.split()))


def _number(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)


def fractions(text: str) -> Exact:
    """Return the fractions in a text, set apart by white space."""
    return tuple(map(Fraction, text.split()))
