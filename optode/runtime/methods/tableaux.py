"""Hold the coefficients of methods, read from text as they are printed in papers.

Tests, not every import, check the conditions of their order.
"""

from __future__ import annotations

from dataclasses import dataclass

Row = tuple[float, ...]


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
        count = len(self.nodes)
        if [len(row) for row in self.rows] != list(range(count)):
            raise ValueError("the rows are not strictly lower triangular")
        if {len(self.weights), len(self.errors or self.weights)} != {count}:
            raise ValueError("there is not one weight for each stage")


def runge_kutta(
    order: int, nodes: str, *rows: str, weights: str, embedded: str = "", embedded_order: int = 0
) -> RungeKuttaTableau:
    """Read a Runge-Kutta method; the first stage has no row."""
    pairs = zip(numbers(weights), numbers(embedded))
    errors = tuple(b - embedded_b for b, embedded_b in pairs)
    table = ((), *map(numbers, rows))
    return RungeKuttaTableau(order, numbers(nodes), table, numbers(weights), errors, embedded_order)


def numbers(text: str) -> Row:
    """Return the numbers in a text: decimals and fractions, set apart by white space."""
    return tuple(map(_number, text.split()))


def _number(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below or 1)
