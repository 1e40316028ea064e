"""Find how many rows and columns each state has, where the position is a matrix.

Every matrix is as high and as wide as the position is high or wide: the Gram matrix ``g @ g.T`` is
square, its sides the position's rows. What is elementwise has one shape; a number fits them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import sympy as sp

from optode.language.matrices import (
    MAPS,
    MatrixFunction,
    eye,
    matmul,
    operator_of,
    trace,
    transposed,
)
from optode.language.symbols import (
    At,
    Call,
    Field,
    FieldTransposed,
    Loss,
    Oracle,
    Reduction,
    Tangent,
)
from optode.language.text import to_text
from optode.rule.rule import Flaw

ROWS, COLUMNS = "rows", "columns"
Shape: TypeAlias = tuple[str, str]
"""The sides of a matrix: how many rows, how many columns."""

Pairs: TypeAlias = Iterable[tuple[sp.Expr, sp.Expr]]


class Misfit(ValueError):
    """Matrices whose shapes do not fit; the message names them."""


def needs_matrices(expression: sp.Expr) -> bool:
    """Return whether an expression has a function in it that sees rows and columns."""
    own = (*MAPS, trace, MatrixFunction)
    return expression.has(*own)


class Shapes:
    """The shapes of the states of a rule or an ODE, as far as the equations tell them."""

    def __init__(self, states: Sequence[sp.Symbol]) -> None:
        self._same: dict[str, str] = {}
        self._known: dict[sp.Expr, Shape] = {
            z: (f"rows of {z}", f"columns of {z}") for z in states[1:]
        }
        self._known[states[0]] = (ROWS, COLUMNS)
        self._states = tuple(states)
        self._waiting: dict[sp.Expr, sp.Expr] = {}

    def learn(self, pairs: Pairs) -> Iterable[Flaw]:
        """Take in assignments, in any order; yield a flaw (E310) for each in which shapes do not fit."""
        pairs = tuple(pairs)
        self._waiting = {name: value for name, value in pairs if isinstance(name, sp.Symbol)}
        for target, value in pairs:
            name = target.args[0] if isinstance(target, At) else target
            try:
                found = self.of(value)
                if name in self._known and found is not None:
                    self._equal(self._known[name], found, value)
                elif found is not None:
                    self._known[name] = found
            except Misfit as error:
                hint = f"`{self._states[0]}` has rows and columns of numbers of their own"
                yield Flaw("E310", name, str(error), hint)

    @property
    def of_states(self) -> tuple[Shape, ...]:
        """Return the shape of each state; a side that nothing tells is that of the position."""
        found = []
        for state in self._states:
            high, wide = map(self._side, self._known[state])
            is_square = high == wide
            high = high if high in (ROWS, COLUMNS) else ROWS
            found.append((high, wide if wide in (ROWS, COLUMNS) else COLUMNS))
            if is_square:
                found[-1] = (high, high)
        return tuple(found)

    def of(self, expression: sp.Expr) -> Shape | None:
        """Return the shape of a value; None for a number. Raises Misfit."""
        if isinstance(expression, At):
            return self.of(expression.args[0])
        if not expression.args:
            return self._of_name(expression)
        if isinstance(expression, Reduction):
            return self._of_reduction(expression)
        if isinstance(expression, FieldTransposed):
            return self.of(expression.args[0])
        if isinstance(expression, Tangent):
            return self.of(expression.args[0])
        if isinstance(expression, Call):
            return self._of_call(expression)
        return self._together(expression.args, expression)

    def _of_name(self, name: sp.Expr) -> Shape | None:
        """Return the shape of a name, by its own line where that comes later."""
        value = self._waiting.pop(name, None)
        if name not in self._known and value is not None and (shape := self.of(value)) is not None:
            self._known[name] = shape
        return self._known.get(name)

    def _of_call(self, call: Call) -> Shape | None:
        points = call.points[1:] if isinstance(call, Field) else call.points
        if isinstance(call, Loss) or (isinstance(call, Oracle) and call.has_time):
            self._together(points, call)
            return None
        operator = operator_of(call)
        if operator is None:
            return self._together(points, call)
        found = self._matrix(points[0], call)
        if operator.is_square:
            self._square(found, call)
        return found

    def _of_reduction(self, call: sp.Expr) -> Shape | None:
        if isinstance(call, matmul):
            left, right = (self._matrix(u, call) for u in call.args)
            if self._side(left[1]) != self._side(right[0]):
                self._join(left[1], right[0], call)
            return left[0], right[1]
        found = self._together(call.args, call)
        if isinstance(call, transposed):
            return found and (found[1], found[0])
        if isinstance(call, trace):
            self._square(self._matrix(call.args[0], call), call)
            return None
        if isinstance(call, eye):
            shape = self._matrix(call.args[0], call)
            return shape[0], shape[0]
        return found if isinstance(call, MAPS) else None

    def _together(self, parts: Iterable[sp.Expr], whole: sp.Expr) -> Shape | None:
        """Return the one shape of what stands side by side."""
        shapes = [shape for part in parts if (shape := self.of(part)) is not None]
        for other in shapes[1:]:
            self._equal(shapes[0], other, whole)
        return shapes[0] if shapes else None

    def _matrix(self, part: sp.Expr, whole: sp.Expr) -> Shape:
        shape = self.of(part)
        if shape is None:
            raise Misfit(f"`{to_text(part)}` is a number in `{to_text(whole)}`, and no matrix")
        return shape

    def _square(self, shape: Shape, whole: sp.Expr) -> None:
        if self._side(shape[0]) != self._side(shape[1]):
            self._join(*shape, whole, "is of a matrix that need not be square")

    def _equal(self, one: Shape, other: Shape, whole: sp.Expr) -> None:
        for a, b in zip(one, other, strict=True):
            self._join(a, b, whole)

    def _join(self, a: str, b: str, whole: sp.Expr, what: str = "") -> None:
        """Take two sides for equal."""
        first, second = self._side(a), self._side(b)
        if {first, second} == {ROWS, COLUMNS}:
            what = what or "puts the position's rows beside its columns"
            raise Misfit(f"the shapes do not fit: `{to_text(whole)}` {what}")
        if first != second:
            known, new = (first, second) if first in (ROWS, COLUMNS) else (second, first)
            self._same[new] = known

    def _side(self, side: str) -> str:
        while side in self._same:
            side = self._same[side]
        return side


def misfits(
    states: Sequence[sp.Symbol],
    assigned: Mapping[sp.Expr, sp.Expr],
    is_matrix: bool,
    starts: Pairs = (),
) -> Iterable[Flaw]:
    """Yield a flaw for each assignment in which matrices do not fit, or should not be."""
    if is_matrix:
        shapes = Shapes(states)
        yield from shapes.learn(assigned.items())
        yield from (replace(flaw, place="start") for flaw in shapes.learn(starts))
        return
    for target, value in assigned.items():
        if needs_matrices(value):
            name = target.args[0] if isinstance(target, At) else target
            message = "rows and columns are of a position that is a matrix"
            yield Flaw("E311", name, message, "write `shape: matrix` beside `state:`")


def shapes_of(
    states: Sequence[sp.Symbol], assigned: Mapping[sp.Expr, sp.Expr]
) -> tuple[Shape, ...]:
    """Return the shape of each state of a system whose shapes are known to fit."""
    shapes = Shapes(states)
    for flaw in shapes.learn(assigned.items()):
        raise ValueError(flaw.message)
    return shapes.of_states
