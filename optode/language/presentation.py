"""Expressions as a paper prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy as sp

from optode.language.effort import cancelled, factored, is_modest, is_short
from optode.language.elementwise import step
from optode.language.functions import kinds
from optode.language.symbols import At, Opaque, Reduction
from optode.time_limit import at_work


def present(expression: sp.Expr) -> sp.Expr:
    """Return common factors taken out of sums, nothing expanded."""
    expression = sp.sympify(expression)
    if not is_short(expression):
        return expression
    with at_work(expression=expression):
        return sp.factor_terms(expression, sign=False)


def collected(expression: sp.Expr, vectors: Iterable[sp.Symbol]) -> sp.Expr:
    """Return a sum with one term for each product of states and calls, its scalar coefficient simplified.

    ``vectors`` are the states; everything free of them and of calls is a scalar.
    """
    expression = sp.sympify(expression)
    if not (is_short(expression) and is_modest(expression)):
        return expression
    states = tuple(vectors)
    groups: dict[sp.Expr, sp.Expr] = {}
    for term in map(almost_everywhere, distributed(almost_everywhere(expression))):
        scalar, vector = term.as_independent(*states, Opaque, At, Reduction, as_Add=False)
        groups[vector] = groups.get(vector, sp.S.Zero) + scalar
    terms = ((simple_scalar(c), _collected_inside(v, states)) for v, c in groups.items())
    return present(sp.Add(*(scalar * vector for scalar, vector in terms)))


def _collected_inside(vector: sp.Expr, states: tuple[sp.Symbol, ...]) -> sp.Expr:
    """Collect the terms of sums inside roots and functions."""
    if isinstance(vector, sp.Add):
        return collected(vector, states)
    if not vector.args or isinstance(vector, sp.Tuple):
        return vector
    return vector.func(*(_collected_inside(argument, states) for argument in vector.args))


def distributed(expression: sp.Expr) -> Iterator[sp.Expr]:
    """Yield the terms of a sum, products distributed over the sums in them, denominators left alone."""
    if isinstance(expression, sp.Add):
        for argument in expression.args:
            yield from distributed(argument)
        return
    sums = [f for f in sp.Mul.make_args(expression) if isinstance(f, sp.Add)]
    if not sums or not isinstance(expression, sp.Mul):
        yield expression
        return
    rest = expression / sums[0]
    for argument in sums[0].args:
        yield from distributed(rest * argument)


def simple_scalar(scalar: sp.Expr) -> sp.Expr:
    """Return a coefficient as one reduced fraction, denominators written ``1 - beta``."""
    if not scalar.has(sp.Add) or scalar.has(sp.exp):
        return scalar
    fraction = _positive(factored(cancelled(scalar), deep=False))
    return fraction if sp.count_ops(fraction) <= sp.count_ops(scalar) + 4 else scalar


def _positive(fraction: sp.Expr) -> sp.Expr:
    """Return sums in a product turned so that their constant, else their first term, is positive."""
    sign, factors = sp.S.One, []
    for factor in sp.Mul.make_args(fraction):
        base, power = factor.as_base_exp()
        if base.is_Add and power.is_Integer and _reads_backwards(base):
            sign *= (-1) ** power
            base = sp.Add(*(-term for term in base.args))
        factors.append(base**power)
    return sign * sp.Mul(*factors)


def _reads_backwards(total: sp.Expr) -> bool:
    constant, rest = total.as_coeff_Add()
    if constant != 0:
        return bool(constant < 0)
    return bool(rest.could_extract_minus_sign())


def almost_everywhere(expression: sp.Expr) -> sp.Expr:
    """Return signs and sizes merged as they are where no argument is 0: ``abs(u)*sign(u)`` is u.

    Likewise ``sign(u)**2``, ``sign(u**2)`` and ``step(abs(u))`` are 1.
    """
    if not expression.has(sp.sign, sp.Abs, step):
        return expression

    def has_sign(node: sp.Basic) -> bool:
        return isinstance(node, (sp.sign, step)) and _vanishes_at_points(node.args[0])

    found = expression.replace(has_sign, lambda _: sp.S.One)
    return found.replace(lambda node: node.is_Mul or node.is_Pow, _signs_merged)


_FLAT = tuple({*kinds("kink", "jump", "contact")} - {sp.Abs, sp.sign})
"""Functions that are 0 on whole intervals."""


def _vanishes_at_points(u: sp.Expr) -> bool:
    """Return whether u is positive but at single points."""
    even = isinstance(u, sp.Abs) or (u.is_Pow and u.exp.is_even)
    return even and not u.has(*_FLAT)


def _signs_merged(product: sp.Expr) -> sp.Expr:
    powers = dict(factor.as_base_exp() for factor in sp.Mul.make_args(product))
    for sign in [base for base in powers if isinstance(base, sp.sign)]:
        size = sp.Abs(sign.args[0])
        if not powers[sign].is_Integer:
            continue
        if powers.get(size) == 1:
            powers[sign] -= 1
            del powers[size]
            powers[sign.args[0]] = powers.get(sign.args[0], sp.S.Zero) + 1
        powers[sign] %= 2
    return sp.Mul(*(base**power for base, power in powers.items()))
