"""Wrap lines of equations at their operators, so that they fit a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

LEAST = 30
"""Narrower terminals get lines of this width."""
_DEEPER = 2
"""How much further right the lines that continue an equation stand than its right-hand side."""
_BREAK = re.compile(
    r" (?=[-+@] )"  # before a sum's sign
    r"|(?<=,) "
    r"|(?<!\*)(?=\*(?!\*))|(?=/)"
    r"|(?<=\()"
    r"|(?<=[^\s+\-*/@=]) (?=[^\s+\-*/@=])"  # between words
)
_RANKS = {"+": 0, "-": 0, ",": 1, "*": 2, "@": 2, "/": 3, "(": 4}
_WORDS = 5


def wrapped(text: str, width: int) -> str:
    """Return a text none of whose lines is wider, as far as its words allow.

    A line breaks before an operator or after a comma, at the outermost of those that fit. What
    follows stands below the right-hand side of the equation, a little further right.
    """
    width = max(width, LEAST)
    return "\n".join(line for each in text.split("\n") for line in _lines(each, width))


def _lines(line: str, width: int) -> Iterator[str]:
    indent = _indent(line, width)
    begin = max(len(line) - len(line.lstrip()) + 1, line.find(" = ") + 4)
    while len(line) > width:
        at = _place(line, begin, indent, width)
        if at is None:
            break
        yield line[:at].rstrip()
        line, begin = " " * indent + line[at:].lstrip(), indent + 1
    yield line


def _indent(line: str, width: int) -> int:
    """Return where the lines that continue this one begin."""
    sign = line.find(" = ")
    own = len(line) - len(line.lstrip())
    right = sign + 3 if sign >= 0 else own
    return min(right, own + width // 3) + _DEEPER


def _place(line: str, begin: int, indent: int, width: int) -> int | None:
    """Return where to break a line that is too wide: the best of the places from ``begin`` on.

    Outer operators go before inner ones, sums before products, and later places before earlier ones.
    """
    least = max(indent + 1, begin)
    places = [m.start() for m in _BREAK.finditer(line) if least <= m.start() <= width]
    if not places:
        return None
    early = indent + (width - indent) // 3
    return min(places, key=lambda at: (at < early, *_rank(line, at), -at))


def _rank(line: str, at: int) -> tuple[int, int]:
    """Return how deep in brackets a place is, and the rank of its operator."""
    before = line[:at]
    depth = before.count("(") + before.count("[") - before.count(")") - before.count("]")
    near = line[at : at + 2].strip()[:1]
    kind = near if near in _RANKS else before[-1:]
    return depth, _RANKS.get(kind, _WORDS)
