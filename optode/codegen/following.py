"""Write how a module's states follow from f: class attributes, and the linear part of the rates."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from optode.codegen.accurate import accurate
from optode.codegen.assignment import assignment
from optode.codegen.expressions import TorchPrinter
from optode.codegen.layout import BODY, LINE_LENGTH, flat, indented, tuple_lines
from optode.language.symbols import symbol
from optode.model.following import Following
from optode.model.model import NeuralODE


def following_attributes(following: Following) -> list[str]:
    """Return the class attributes that are not the base class's."""
    groups = [[f'"{z}"' for z in group] for group in following.followers]
    lines = _nested("followers =", groups, 4) if groups else []
    lines += ["followers_see_f = True"] if following.followers_see_f else []
    if names := [f'"{z}"' for z in following.linear_only]:
        lines += tuple_lines("linear_only =", names, 4)
    degree = following.relative_degree
    return [*lines, f"relative_degree = {degree}"] if degree != 1 else lines


def _nested(prefix: str, rows: Sequence[Sequence[str]], indent: int) -> list[str]:
    """Return a tuple of tuples: on one line, one row a line, or one item a line where a row is long."""
    lines = tuple_lines(prefix, [_row(row) for row in rows], indent)
    if len(lines) == 1:
        return lines
    inner = flat(tuple_lines("", row, indent + 4, ",") for row in rows)
    return [lines[0], *indented(inner), lines[-1]]


def _row(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def linear_method(model: NeuralODE, following: Following) -> list[list[str]]:
    """Return ``linear_part``; none where it is zero, as in the base class.

    The time is a tensor of any shape, and an entry may depend on shared parameters alone.
    """
    if not any(map(any, following.linear_part)):
        return []
    own = {p.symbol: symbol(f"self.{p.symbol}") for p in model.parameters}
    positive = {own[p.symbol] for p in model.parameters if p.transform != "none"}
    fixed = {own[p.symbol] for p in model.parameters if not p.is_learned}
    printer = TorchPrinter(fixed, own.values())
    lines, rows = [], []
    for state, row in zip(model.states, following.linear_part, strict=True):
        texts = []
        for by, entry in zip(model.states, row, strict=True):
            value = accurate(entry.xreplace(own), positive)
            text = _number(value, printer)
            if len(text) > LINE_LENGTH - BODY - 9:  # no line of its own would hold it
                text = f"{state}_by_{by}"  # no other local variable: parameters are attributes
                lines += assignment(text, value, printer, BODY)
            texts.append(text)
        rows.append(texts)
    meaning = '"""The numbers L in z\' = L z + rest, rows and columns in the order of states."""'
    given = "def linear_part(self, t: Tensor) -> tuple[Rates, ...]:"
    return [[given, *indented([meaning, *lines, *_returned(rows)])]]


def _number(value: sp.Expr, printer: TorchPrinter) -> str:
    """Return an entry as an argument; integers as floating-point numbers."""
    return f"{value}.0" if value.is_Integer else printer.argument(value)


def _returned(rows: list[list[str]]) -> list[str]:
    """Return the lines ``return (a, b), (c, d)``, in parentheses where it is one row, or too long for a line."""
    line = f"return {', '.join(map(_row, rows))}"
    if len(rows) > 1 and len(line) <= LINE_LENGTH - BODY:
        return [line]
    return _nested("return", rows, BODY)
