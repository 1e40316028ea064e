"""Conditions: expressions that are 1 where they hold and 0 elsewhere, and the choice by one.

A condition is ``step(u)``, which says that u > 0, or a choice between conditions: ``c and d`` is
``where(c, d, 0)``, ``c or d`` is ``where(c, 1, d)`` and ``not c`` is ``where(c, 0, 1)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import sympy as sp

from optode.language.elementwise import Elementwise, step

Comparison: TypeAlias = tuple[sp.Expr, str, sp.Expr]
"""Left side, relation and right side."""

_HALF = sp.Rational(1, 2)
_TURNED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}


class where(Elementwise):
    """``where(c, a, b)``: a where the condition c holds, b elsewhere."""

    nargs = 3

    @classmethod
    def decisive(cls, *arguments: Any) -> tuple[Any, ...]:
        """Return the condition: a branch that is not taken may be anything."""
        return arguments[:1]

    @classmethod
    def formula(cls, condition: sp.Expr, a: sp.Expr, b: sp.Expr) -> sp.Expr:
        return sp.Piecewise((a, truth(condition)), (b, True))

    @classmethod
    def eval(cls, condition: sp.Expr, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        if condition.is_number and condition.is_comparable:
            return a if condition > _HALF else b
        return a if a == b else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        condition = self.args[0]
        return (sp.S.Zero, condition, opposite(condition))[argindex - 1]

    def along(self, of_a: sp.Expr, of_b: sp.Expr) -> sp.Expr:
        """Return the choice by the same condition between other values.

        ``where(c, da, db)`` is the derivative: in ``c*da + (1 - c)*db`` an infinite value in the
        branch that is not taken would give nan.
        """
        return where(self.args[0], of_a, of_b)


class remainder(Elementwise):
    """``k % n``, the remainder of the iteration counter divided by a whole number."""

    nargs = 2

    @classmethod
    def formula(cls, u: sp.Expr, n: sp.Expr) -> sp.Expr:
        return sp.Mod(u, n)

    @classmethod
    def eval(cls, u: sp.Expr, n: sp.Expr) -> sp.Expr | None:
        return cls.formula(u, n) if u.is_number and u.is_comparable else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.S.One if argindex == 1 else sp.S.Zero


# Conditions are made of comparisons


def both(c: sp.Expr, d: sp.Expr) -> sp.Expr:
    """Return the condition ``c and d``."""
    if _joint(c) == "both" and as_comparison(c) is None:
        return both(c.args[0], both(c.args[1], d))
    return where(c, d, sp.S.Zero)


def either(c: sp.Expr, d: sp.Expr) -> sp.Expr:
    """Return the condition ``c or d``."""
    if _joint(c) == "either" and as_comparison(c) is None:
        return either(c.args[0], either(c.args[2], d))
    return where(c, sp.S.One, d)


def opposite(c: sp.Expr) -> sp.Expr:
    """Return the condition ``not c``, by De Morgan's laws down to the comparisons."""
    joint, parts = _joint(c), c.args
    if joint == "both":
        return either(opposite(parts[0]), opposite(parts[1]))
    if joint == "either":
        return both(opposite(parts[0]), opposite(parts[2]))
    return parts[0] if joint == "opposite" else where(c, sp.S.Zero, sp.S.One)


def compared(left: sp.Expr, relation: str, right: sp.Expr) -> sp.Expr:
    """Return the condition that two values are in a relation, such as ``>=``."""
    more, less = step(left - right), step(right - left)
    meanings: Mapping[str, Callable[[], sp.Expr]] = {
        ">": lambda: more,
        "<": lambda: less,
        ">=": lambda: opposite(less),
        "<=": lambda: opposite(more),
        "!=": lambda: either(more, less),
        "==": lambda: both(opposite(more), opposite(less)),
    }
    return meanings[relation]()


def holds(condition: sp.Expr) -> sp.Expr:
    """Return 1 where a condition holds, else 0, as a value."""
    return where(condition, sp.S.One, sp.S.Zero)


def truth(condition: sp.Expr) -> sp.Basic:
    """Return the condition as one of SymPy's."""
    if isinstance(condition, step):
        return condition.args[0] > 0
    if isinstance(condition, where):
        c, d, e = map(truth, condition.args)
        return sp.Or(sp.And(c, d), sp.And(sp.Not(c), e))
    return condition > _HALF


def comparisons(condition: sp.Expr) -> tuple[step, ...]:
    """Return the comparisons ``step(u)`` that a condition is made of, each once."""
    if isinstance(condition, step):
        return (condition,)
    if isinstance(condition, where):
        found = (c for part in condition.args for c in comparisons(part))
        return tuple(dict.fromkeys(found))
    return ()


def conditions_of(expression: sp.Expr) -> set[sp.Expr]:
    """Return the conditions of the choices in an expression."""
    return {choice.args[0] for choice in expression.atoms(where)}


def value_nodes(expression: sp.Expr) -> Iterator[sp.Expr]:
    """Yield the parts of an expression from the outside in, conditions themselves left out."""
    yield expression
    for part in parts_with_values(expression):
        yield from value_nodes(part)


def parts_with_values(expression: sp.Expr) -> tuple[sp.Expr, ...]:
    """Return the arguments of an expression; in place of a condition, the terms that it compares."""
    if not isinstance(expression, where):
        return tuple(expression.args)
    condition, *branches = expression.args
    terms = (sp.Add.make_args(c.args[0]) for c in comparisons(condition))
    return (*branches, *chain.from_iterable(terms))


def branches_of(expression: sp.Expr) -> tuple[sp.Expr, ...]:
    """Return the values that a choice, also one of choices, is made between."""
    if not isinstance(expression, where):
        return (expression,)
    return tuple(leaf for branch in expression.args[1:] for leaf in branches_of(branch))


def in_branches(expression: sp.Expr, change: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    """Return a choice, also one of choices, with its values changed."""
    if not isinstance(expression, where):
        return change(expression)
    condition, a, b = expression.args
    return where(condition, in_branches(a, change), in_branches(b, change))


# How conditions are written


class Words(NamedTuple):
    """The words of a notation between conditions, and for relations."""

    both: str
    either: str
    tight: bool
    """Whether they bind more tightly than a comparison."""
    relations: Mapping[str, str]


PYTHON = Words(" and ", " or ", False, {r: r for r in _TURNED})
TENSORS = Words(" & ", " | ", True, {r: r for r in _TURNED})


def written(condition: sp.Expr, show: Callable[[sp.Expr], str], words: Words = PYTHON) -> str:
    """Write a condition, given how its values are written."""
    compared_values = as_comparison(condition)
    if compared_values is not None:
        left, relation, right = compared_values
        return f"{show(left)} {words.relations[relation]} {show(right)}"

    def inner(part: sp.Expr, joined: str) -> str:
        text = written(part, show, words)
        bare = not words.tight if as_comparison(part) is not None else _joint(part) == joined
        return text if bare else f"({text})"

    c, d, e = condition.args
    joint = _joint(condition)
    if joint == "same":
        return written(c, show, words)
    if joint == "opposite":
        return written(opposite(c), show, words)
    if joint == "both":
        return inner(c, joint) + words.both + inner(d, joint)
    if joint == "either":
        return inner(c, joint) + words.either + inner(e, joint)
    return written(either(both(c, d), both(opposite(c), e)), show, words)


def _joint(condition: sp.Expr) -> str:
    """Return how a choice joins its conditions."""
    if not isinstance(condition, where):
        return ""
    _, d, e = condition.args
    if (d, e) in ((1, 0), (0, 1)):
        return "same" if d == 1 else "opposite"
    return "both" if e == 0 else "either" if d == 1 else ""


def as_comparison(condition: sp.Expr) -> Comparison | None:
    """Return a condition as a relation of two values; None for one made of several."""
    if isinstance(condition, step):
        return _sides(condition.args[0], ">")
    if not isinstance(condition, where):
        return condition, ">", sp.S.Zero
    c, d, e = condition.args
    if isinstance(c, step) and (d, e) == (0, 1):
        return _sides(-c.args[0], ">=")
    if isinstance(c, step) and d == 1 and e == step(-c.args[0]):
        return _sides(c.args[0], "!=")
    u = opposite(c).args[0]
    if isinstance(opposite(c), step) and e == 0 and d == opposite(step(-u)):
        return _sides(u, "==")
    return None


def _sides(u: sp.Expr, relation: str) -> Comparison:
    """Write ``u relation 0`` without minus signs, a number on the right: ``5 - k > 0`` as ``k < 5``."""
    terms = sp.Add.make_args(u)
    negative = [term for term in terms if term.could_extract_minus_sign()]
    left = sp.Add(*(term for term in terms if term not in negative))
    right = sp.Add(*(-term for term in negative))
    if left.is_number and not right.is_number:
        return right, _TURNED[relation], left
    return left, relation, right
