"""Read conditions: comparisons joined by ``and``, ``or`` and ``not``, the first argument of ``where``."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from itertools import pairwise, product
from typing import TypeAlias

import sympy as sp

from optode.language.conditions import (
    both,
    compared,
    comparisons,
    either,
    opposite,
    remainder,
    truth,
)
from optode.language.ranges import possible_signs
from optode.language.symbols import COUNTER

Value: TypeAlias = Callable[[ast.expr], "sp.Expr | None"]
Refuse: TypeAlias = Callable[[str, str, ast.expr, "str | None"], None]
"""Code, message, place and hint."""

LARGEST_DIVISOR = 1000

_RELATIONS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_NATURAL = sp.Symbol("k", integer=True, nonnegative=True)
_MOST_COMPARED = 4
"""Values whose signs are tried in all combinations."""


def is_condition(node: ast.expr) -> bool:
    """Return whether a node of the syntax tree compares, or joins comparisons."""
    negates = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return negates or isinstance(node, (ast.Compare, ast.BoolOp))


def read_condition(node: ast.expr, value: Value, refuse: Refuse) -> sp.Expr | None:
    """Return the condition that a node of the syntax tree is; None once its errors are reported.

    ``value`` reads what is compared, ``refuse`` reports an error. One that is the same whatever
    its values are is refused (E213).
    """
    if not is_condition(node):
        if value(node) is not None:
            hint = "like `u > 0`, `k < 5`, `u > 0 and v > 0`"
            refuse("E212", "the first argument of `where` is a condition", node, hint)
        return None
    condition = _read(node, value, refuse)
    constant = None if condition is None else _constant(condition)
    if constant is None:
        return condition
    message = f"this condition {'always' if constant else 'never'} holds"
    refuse("E213", message, node, "a condition has to depend on something that changes its sign")
    return None


def _read(node: ast.expr, value: Value, refuse: Refuse) -> sp.Expr | None:
    match node:
        case ast.Compare(left=left, ops=relations, comparators=others):
            sides = [_side(side, value, refuse) for side in (left, *others)]
            if None in sides:
                return None
            pairs = zip(pairwise(sides), relations, strict=True)
            return _joined(both, [compared(a, _RELATIONS[type(r)], b) for (a, b), r in pairs])
        case ast.BoolOp(op=operator, values=parts):
            found = [read_condition(part, value, refuse) for part in parts]
            if None in found:
                return None
            return _joined(both if isinstance(operator, ast.And) else either, found)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = read_condition(operand, value, refuse)
            return None if inner is None else opposite(inner)
    raise TypeError(f"no condition: {ast.dump(node)}")


def _joined(join: Callable[[sp.Expr, sp.Expr], sp.Expr], conditions: Iterable[sp.Expr]) -> sp.Expr:
    *others, last = conditions
    return reduce(lambda joined, condition: join(condition, joined), reversed(others), last)


def _side(node: ast.expr, value: Value, refuse: Refuse) -> sp.Expr | None:
    """Read a side of a comparison: a value, or a remainder of the counter."""
    match node:
        case ast.BinOp(left=left, op=ast.Mod(), right=right):
            counted, divisor = value(left), value(right)
            if counted is None or divisor is None:
                return None
            if not (counted - COUNTER).is_Integer:
                message = "a remainder is that of the counter: `k`, `k + 1`, ..."
                refuse("E214", message, left, "like `(k + 1) % 5 == 0`")
                return None
            if not (divisor.is_Integer and 2 <= divisor <= LARGEST_DIVISOR):
                message = f"a divisor is a whole number from 2 to {LARGEST_DIVISOR}"
                refuse("E214", message, right, None)
                return None
            return remainder(counted, divisor)
    return value(node)


def _constant(condition: sp.Expr) -> bool | None:
    """Return the truth of a condition that has the same one for all values, as far as is known.

    Each value is tried with all signs that it may have, alike where it occurs more than once.
    """
    found = comparisons(condition)
    values = list(dict.fromkeys(_unsigned(c.args[0]) for c in found))
    if len(values) > _MOST_COMPARED:
        return None
    truths = set()
    for sign_of in _together(values):
        sign_of |= {-u: -sign for u, sign in sign_of.items()}
        held = {c: sp.Integer(sign_of[c.args[0]] > 0) for c in found}
        truths.add(truth(condition.xreplace(held)))
    return bool(truths.pop()) if len(truths) == 1 else None


def _together(values: list[sp.Expr]) -> Iterator[dict[sp.Expr, int]]:
    """Yield the signs that values may have together; those that differ by a number move together."""
    groups: list[list[tuple[sp.Expr, sp.Expr]]] = []
    for value in values:
        group = next((g for g in groups if (value - g[0][0]).is_number), None)
        if group is None:
            groups.append([(value, sp.S.Zero)])
        else:
            group.append((value, value - group[0][0]))
    for signs in product(*map(_signs_of_group, groups)):
        yield {value: sign for group in signs for value, sign in group}


def _signs_of_group(group: list[tuple[sp.Expr, sp.Expr]]) -> list[list[tuple[sp.Expr, int]]]:
    """Return the signs of ``w + c`` for each number c, at w on and between the points where one is 0."""
    if len(group) == 1:
        return [[(group[0][0], sign)] for sign in _signs(group[0][0])]
    ends = sorted({-c for _, c in group})
    points = [ends[0] - 1, *ends, *((a + b) / 2 for a, b in pairwise(ends)), ends[-1] + 1]
    allowed = [set(_signs(value)) for value, _ in group]
    rows = [[(value, int(sp.sign(w + c))) for value, c in group] for w in points]
    return [
        row
        for row in rows
        if all(sign in signs for (_, sign), signs in zip(row, allowed, strict=True))
    ]


def _unsigned(u: sp.Expr) -> sp.Expr:
    return -u if u.could_extract_minus_sign() else u


def _signs(u: sp.Expr) -> tuple[int, ...]:
    """Return the signs that a value may have; a remainder takes all its values."""
    remainders = u.atoms(remainder)
    if len(remainders) == 1 and (u.free_symbols == {COUNTER}):
        (found,) = remainders
        values = (u.xreplace({found: sp.Integer(r)}) for r in range(int(found.args[1])))
        return tuple({int(sp.sign(v)) for v in values})
    return tuple(sorted(possible_signs(u.xreplace({COUNTER: _NATURAL})))) or (-1, 0, 1)
