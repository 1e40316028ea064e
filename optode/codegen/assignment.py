"""Lay assignments out as ``ruff format`` leaves them, parts that are too long under names."""

from __future__ import annotations

import re
from itertools import count
from operator import itemgetter

import sympy as sp

from optode.codegen.expressions import TorchPrinter
from optode.codegen.layout import LINE_LENGTH
from optode.language.conditions import parts_with_values
from optode.language.symbols import symbol


def assignment(
    name: str, value: sp.Expr, printer: TorchPrinter, indent: int, taken: set[str] | None = None
) -> list[str]:
    """Return ``name = value`` as lines, without the indentation that is to come, none too long.

    A long sum or product is wrapped in parentheses as ruff does it; in anything else that is too
    long, the longest part gets a name of its own, ``name_1``, which joins those that are taken.
    """
    lines: list[str] = []
    taken = set() if taken is None else taken
    names = (f"{name}_{i}" for i in count(1))
    while (layout := _layout(name, value, printer, LINE_LENGTH - indent)) is None:
        short = symbol(next(n for n in names if n not in taken))
        part, rest = _longest_part(value, short, printer)
        if part.is_Atom:  # nothing is left to shorten
            return [*lines, f"{name} = {printer.text(value)}"]
        taken.add(short.name)
        printer = printer.knowing(short, part)
        lines += assignment(short.name, part, printer, indent, taken)
        value = rest
    return lines + layout


def _layout(name: str, value: sp.Expr, printer: TorchPrinter, room: int) -> list[str] | None:
    text = printer.text(value)
    if len(f"{name} = {text}") <= room or not value.args:
        return [f"{name} = {text}"]
    pieces = printer.operands(value) if isinstance(value, (sp.Add, sp.Mul)) else []
    body = [text] if len(text) <= room - 4 else pieces
    if len(pieces) < (2 if _has_bare_ends(text) else 3) or max(map(len, body)) > room - 4:
        return None
    return [f"{name} = (", *(f"    {line}" for line in body), ")"]


def _has_bare_ends(text: str) -> bool:
    """Return whether no operand at an end has parentheses that ruff would rather split at."""
    return not text.endswith(")") and not re.match(r"-?(\(|[\w.]+\()", text)


def _longest_part(
    value: sp.Expr, short: sp.Symbol, printer: TorchPrinter
) -> tuple[sp.Expr, sp.Expr]:
    """Return the operand with the longest text, and the value with a short name in its place."""
    above, below = _split_fraction(value)
    if below != 1:
        choices = [(below, above / short), (above, short / below)]
    else:
        operands = parts_with_values(value)
        choices = [(operand, value.xreplace({operand: short})) for operand in operands]
    lengths = (0 if part.is_Atom else len(printer.text(part)) for part, _ in choices)
    return max(zip(lengths, choices, strict=True), key=itemgetter(0))[1]


def _split_fraction(value: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """What the printer sets above and below the line."""
    below = [
        1 / factor
        for factor in sp.Mul.make_args(value)
        if isinstance(factor, sp.Pow) and factor.exp.could_extract_minus_sign()
    ]
    divisor = sp.Mul(*below)
    return value * divisor, divisor
