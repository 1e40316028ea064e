"""Simplify as far as the effort is bounded: beyond it the expression stands as it is.

The effort is counted in terms, before any work is done: how many an expression has once it is
multiplied out, over one denominator. So the output is the same on every machine, however fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from math import comb, prod
from typing import NamedTuple, TypeAlias

import sympy as sp

from optode.language.functions import function_of
from optode.language.numbers import real_value
from optode.language.symbols import Opaque, Reduction
from optode.time_limit import at_work

MOST_TERMS = 400
"""Of a numerator and a denominator together, for multiplying out."""
MOST_TO_CANCEL = 60
"""Of both, for what takes their common divisor: fractions in lowest terms, and factors."""
MOST_OPERATIONS = 600
"""Of an expression whose common factors are sought."""
MOST_WRITTEN_OUT = 5000
"""Operations of a rule whose intermediate quantities are put in."""
MOST_NESTED = 60
"""Their depth."""
MOST_TO_SOLVE = 40
"""Operations of an equation that is solved, or of a difference that is proved to be zero."""

_UNBOUNDED = 10**9
_SEEDS = (3, 7, 11)
_DIGITS = 40
_NEGLIGIBLE = sp.Float("1e-25")
_FAILURES = (
    ArithmeticError, AttributeError, LookupError, NotImplementedError, RecursionError, TypeError,
    ValueError, sp.PolynomialError,
)  # fmt: skip
"""What SymPy raises at equations that it cannot solve."""


Factors: TypeAlias = tuple[tuple[sp.Expr, int], ...]
"""Sums and their powers; a sum and its negative are one."""


class Terms(NamedTuple):
    """How many terms a numerator has, multiplied out, and the factors of its denominator."""

    above: int
    below: Factors = ()

    @property
    def total(self) -> int:
        """The terms of both, multiplied out: an upper bound."""
        return self.above + _count(self.below)


@lru_cache(maxsize=8192)
def terms(expression: sp.Expr) -> Terms:
    """Count the terms of an expression over one denominator, without multiplying out."""
    if isinstance(expression, sp.Add):
        return _of_sum([terms(argument) for argument in expression.args])
    if isinstance(expression, sp.Mul):
        parts = [terms(argument) for argument in expression.args]
        return Terms(_bounded(prod(p.above for p in parts)), _joined(p.below for p in parts))
    if isinstance(expression, sp.Pow) and expression.exp.is_Integer:
        return _of_power(expression.base, int(expression.exp))
    return Terms(1)


def _of_sum(parts: list[Terms]) -> Terms:
    whole = dict[sp.Expr, int]()
    for part in parts:
        whole |= {base: max(n, whole.get(base, 0)) for base, n in part.below}
    above = 0
    for part in parts:
        own = dict(part.below)
        above += part.above * _count((base, n - own.get(base, 0)) for base, n in whole.items())
    return Terms(_bounded(above), tuple(whole.items()))


def _of_power(base: sp.Expr, exponent: int) -> Terms:
    above, below = terms(base)
    size = abs(exponent)
    grown = tuple((factor, n * size) for factor, n in below)
    if exponent > 0:
        return Terms(_multiplied_out(above, size), grown)
    turned = -base if base.could_extract_minus_sign() else base
    return Terms(_count(grown), ((turned, size),) if above > 1 else ())


def _joined(denominators: Iterable[Factors]) -> Factors:
    whole = dict[sp.Expr, int]()
    for base, n in chain.from_iterable(denominators):
        whole[base] = whole.get(base, 0) + n
    return tuple(whole.items())


def _count(factors: Iterable[tuple[sp.Expr, int]]) -> int:
    return _bounded(prod(_multiplied_out(terms(base).above, n) for base, n in factors))


def _multiplied_out(count: int, exponent: int) -> int:
    return 1 if count == 1 else _bounded(comb(count + exponent - 1, exponent))


def _bounded(count: int) -> int:
    return min(count, _UNBOUNDED)


def is_modest(*expressions: sp.Expr, most: int = MOST_TERMS) -> bool:
    """Return whether expressions have no more terms than that, and are short inside roots, too."""
    return all(
        operations(expression) <= MOST_OPERATIONS and terms(expression).total <= most
        for expression in expressions
    )


@lru_cache(maxsize=65536)
def operations(expression: sp.Basic) -> int:
    """Count the operations and calls of an expression."""
    return 1 + sum(map(operations, expression.args)) if expression.args else 0


class Extent(NamedTuple):
    """How many operations an expression has, and how deep they are nested."""

    operations: int
    depth: int

    @property
    def is_modest(self) -> bool:
        return self.operations <= MOST_WRITTEN_OUT and self.depth <= MOST_NESTED


def written_out(expression: sp.Basic, extents: Mapping[sp.Expr, Extent]) -> Extent:
    """Measure an expression once names in it are replaced by what they stand for.

    ``extents`` gives those of what the names stand for. Nothing is put in.
    """
    if expression in extents:
        return extents[expression]
    if not expression.args:
        return Extent(0, 0)
    inner = [written_out(argument, extents) for argument in expression.args]
    return Extent(1 + sum(e.operations for e in inner), 1 + max(e.depth for e in inner))


def is_short(expression: sp.Expr, most: int = MOST_OPERATIONS) -> bool:
    """Return whether an expression has no more operations than that."""
    return operations(expression) <= most


def expanded(expression: sp.Expr) -> sp.Expr:
    """Multiply an expression out."""
    with at_work(expression=expression):
        return sp.expand(expression) if is_modest(expression) else expression


def cancelled(expression: sp.Expr) -> sp.Expr:
    """Write an expression as one fraction in lowest terms."""
    with at_work(expression=expression):
        modest = is_modest(expression, most=MOST_TO_CANCEL)
        return sp.cancel(sp.together(expression)) if modest else expression


def factored(expression: sp.Expr, *, deep: bool = True) -> sp.Expr:
    """Write an expression as a product of powers."""
    with at_work(expression=expression):
        modest = is_modest(expression, most=MOST_TO_CANCEL)
        return sp.factor(expression, deep=deep) if modest else expression


def solutions(equation: sp.Expr, unknown: sp.Symbol) -> list[sp.Expr]:
    """Return the solutions of ``equation = 0`` that are found, none of a long equation.

    Functions without the unknown are constants to SymPy, which would split into cases for their
    signs. Where other functions of the unknown than exponentials and logarithms occur, it would
    search for long and find nothing.
    """
    calls = sorted(equation.atoms(sp.Function), key=sp.default_sort_key)
    names = {call: sp.Dummy(real=True) for call in calls if not call.has(unknown)}
    named = equation.xreplace(names)
    hidden = [call for call in named.atoms(sp.Function) if not isinstance(call, (sp.exp, sp.log))]
    if hidden or not is_short(named, MOST_TO_SOLVE) or not is_modest(named, most=MOST_TO_CANCEL):
        return []
    with at_work(expression=equation):
        try:
            found = sp.solve(named, unknown)
        except _FAILURES:
            return []
    back = {name: call for call, name in names.items()}
    usable = all(isinstance(root, sp.Expr) and _is_in_the_language(root) for root in found)
    return [root.xreplace(back) for root in found] if usable else []


def _is_in_the_language(root: sp.Expr) -> bool:
    """Return whether a root has no function that only SymPy knows, such as LambertW."""
    nodes = (node for node in sp.preorder_traversal(root) if node.args)
    return all(
        isinstance(node, (sp.Add, sp.Mul, sp.Pow)) or function_of(node) is not None
        for node in nodes
    )


def common_solutions(equations: Mapping[sp.Symbol, sp.Expr]) -> list[dict[sp.Symbol, sp.Expr]]:
    """Return the common solutions of two short equations in two unknowns, each under its unknown.

    None of longer ones, or of equations that have a function of an unknown in them.
    """
    whole = list(equations.values())
    calls = set[sp.Basic]().union(*(e.atoms(sp.Function) for e in whole))
    names = {call: sp.Dummy(real=True) for call in sorted(calls, key=sp.default_sort_key)}
    short = all(is_short(e, MOST_TO_SOLVE) and is_modest(e, most=MOST_TO_CANCEL) for e in whole)
    if len(whole) != 2 or not short or any(call.has(*equations) for call in calls):
        return []
    with at_work(expression=whole[0]):
        try:
            found = sp.solve([e.xreplace(names) for e in whole], list(equations), dict=True)
        except _FAILURES:
            return []
    back = {name: call for call, name in names.items()}
    complete = [root for root in found if set(root) == set(equations)]
    if not all(_is_in_the_language(value) for root in complete for value in root.values()):
        return []
    return [{w: value.xreplace(back) for w, value in root.items()} for root in complete]


def is_zero(expression: sp.Expr) -> bool:
    """Tell whether an expression is zero: it is at several points, and a short one is proved to be.

    A long one is taken to be zero where it is at all points, to 25 digits of its terms.
    """
    with at_work(expression=expression):
        atoms = sorted(
            expression.free_symbols | expression.atoms(Opaque, Reduction), key=sp.default_sort_key
        )
        known = False
        for seed in _SEEDS:
            small = _is_small(expression, atoms, seed)
            if small is False:
                return False
            known = known or small is True
        if is_short(expression, MOST_TO_SOLVE) and is_modest(expression, most=MOST_TO_CANCEL):
            return bool(sp.simplify(expression) == 0)
        return known


def _is_small(expression: sp.Expr, atoms: list[sp.Expr], seed: int) -> bool | None:
    """Return whether an expression is negligible beside its terms at a point; None: no number.

    One point is positive, as roots need it, and one has both signs, as ``abs(x) - x`` does.
    """
    signs = (1, -1) if seed == _SEEDS[-1] else (1, 1)
    point = {
        a: sp.Float(signs[i % 2] * sp.Rational(seed + 2 * i, 5 + i), _DIGITS)
        for i, a in enumerate(atoms, 1)
    }
    terms = sp.Add.make_args(expression)
    values: list[sp.Expr] = [real_value(term, point, _DIGITS) for term in terms]
    if None in values:
        return None
    return bool(abs(sp.Add(*values)) <= _NEGLIGIBLE * max(abs(value) for value in values))
