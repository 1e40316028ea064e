"""Rewrite expressions so that their digits do not cancel: ``1 - exp(-x)`` as ``-expm1(-x)``.

Equations are derived and shown in the forms of a paper. In floating point some of these lose all
digits where two terms are nearly equal, or overflow on the way to a finite value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, permutations

import sympy as sp

from optode.language.elementwise import expm1, hardtanh, log1p, logsigmoid, relu, sigmoid, softplus
from optode.language.presentation import distributed
from optode.language.program import Assign, Statement, Total
from optode.model.model import NeuralODE

_HALF = sp.Rational(1, 2)


def accurate_statements(model: NeuralODE, statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Return the statements with their values in accurate form."""
    positive = {p.symbol for p in model.parameters if p.transform != "none"}
    return tuple(
        replace(s, value=accurate(s.value, positive)) if isinstance(s, (Assign, Total)) else s
        for s in statements
    )


def accurate(e: sp.Expr, positive: Collection[sp.Symbol] = ()) -> sp.Expr:
    """Return an equal expression that keeps its digits; the given symbols are positive numbers."""
    if isinstance(e, sp.Mul):
        e = _lowered(e)
    arguments = [accurate(argument, positive) for argument in e.args]
    if any(new is not old for new, old in zip(arguments, e.args, strict=True)):
        e = e.func(*arguments)
    if isinstance(e, sp.Add):
        return _sum(e, positive)
    if isinstance(e, sp.log):
        return _logarithm(e.args[0])
    if isinstance(e, sp.Mul):
        return _product(e)
    return _power(e) if isinstance(e, sp.Pow) else e


# Sums


def _sum(total: sp.Expr, positive: Collection[sp.Symbol]) -> sp.Expr:
    """Rewrite terms that cancel, also those of products with sums in them, until none are left."""
    for terms in (total.args, sp.Add.make_args(sp.Add(*distributed(total)))):
        kept = list(terms)
        while found := next(_cancelling(kept, positive), None):
            pair, value = found
            kept = [term for term in kept if term not in pair] + [value]
        if len(kept) < len(terms):
            return sp.Add(*kept)
    return total


def _cancelling(
    terms: list[sp.Expr], positive: Collection[sp.Symbol]
) -> Iterator[tuple[tuple[sp.Expr, ...], sp.Expr]]:
    """Yield terms whose sum cancels, with that sum in another form."""
    yield from _polynomials(terms)
    for term in terms:
        for factor, rest in _factors(term):
            for sign, form in _forms(factor, positive):
                if sign * rest in terms:
                    yield (term, sign * rest), rest * form
    for one, other in permutations(terms, 2):
        for found in (_over_one_sum(one, other), _larger(one, other)):
            if found is not None:
                yield (one, other), found
    for one, other in combinations(terms, 2):
        (u, a), (v, b) = _exponential(one), _exponential(other)
        if a == -b and u != 0 and v != 0:
            yield (one, other), a * expm1(u) - a * expm1(v)


def _factors(term: sp.Expr) -> Iterator[tuple[sp.Expr, sp.Expr]]:
    """Yield each factor of a term, also of a power of it, with the product of the others."""
    for power in sp.Mul.make_args(term):
        base, exponent = power.as_base_exp()
        if isinstance(power, sp.Pow) and exponent.is_Integer and exponent > 1:
            yield base, term / base
        yield power, term / power


def _forms(factor: sp.Expr, positive: Collection[sp.Symbol]) -> Iterator[tuple[int, sp.Expr]]:
    """Yield -1 or 1 with the accurate form of the factor plus that."""
    u = factor.args[0] if factor.args else sp.S.Zero
    if isinstance(factor, expm1):
        yield 1, sp.exp(u)
    elif isinstance(factor, sigmoid):
        yield -1, -sigmoid(-u)
    elif isinstance(factor, sp.tanh):
        yield -1, -2 * sigmoid(-2 * u)
        yield 1, 2 * sigmoid(2 * u)
    elif isinstance(factor, sp.cosh):
        yield -1, -expm1(u) * expm1(-u) / 2
    elif isinstance(factor, sp.Pow):
        yield from _power_forms(factor.base, factor.exp, positive)


def _power_forms(
    base: sp.Expr, exponent: sp.Expr, positive: Collection[sp.Symbol]
) -> Iterator[tuple[int, sp.Expr]]:
    """Yield those of a power: of tanh(u)**2, a root of 1 + u, b**t with a positive b."""
    constant, u = base.as_coeff_Add()
    if isinstance(base, sp.tanh) and exponent == 2:
        yield -1, -1 / sp.cosh(base.args[0]) ** 2
    elif constant == 1 and exponent == _HALF:
        yield -1, u / (sp.sqrt(base) + 1)
    elif constant == 1 and not exponent.is_Integer:
        yield -1, expm1(exponent * log1p(u))
    elif (base in positive or base.is_positive) and not exponent.is_number:
        yield -1, expm1(exponent * sp.log(base))


def _exponential(term: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Return u and a of a term ``a*exp(u)``; u is 0 without an exponential."""
    for factor in sp.Mul.make_args(term):
        if isinstance(factor, sp.exp):
            return factor.args[0], term / factor
    return sp.S.Zero, term


def _over_one_sum(one: sp.Expr, other: sp.Expr) -> sp.Expr | None:
    """Return ``1 - x/(x + y)`` as y/(x + y): over one denominator, where terms of it cancel."""
    powers = other.as_powers_dict()
    for factor in sp.Mul.make_args(one):
        base, q = factor.as_base_exp()
        times = powers.get(base, 0) - q
        if base.is_Add and q.is_negative and times == 1:
            above = sp.expand_mul(one / factor + other * base / base ** (q + 1))
            if len(sp.Add.make_args(above)) < len(base.args):
                return above * factor
    return None


def _larger(one: sp.Expr, other: sp.Expr) -> sp.Expr | None:
    """Return ``a + relu(b - a)`` as the larger of a and b, which keeps the digits of a small b."""
    for factor in sp.Mul.make_args(one):
        if isinstance(factor, relu) and factor.args[0].is_Add:
            scale = one / factor
            a = other / scale
            b = sp.expand_mul(factor.args[0] + a)
            if len(sp.Add.make_args(b)) >= len(factor.args[0].args):
                continue
            if a.could_extract_minus_sign() and b.could_extract_minus_sign():
                return -scale * hardtanh(-b, -sp.oo, -a)
            return scale * hardtanh(b, a, sp.oo)
    return None


def _polynomials(
    terms: list[sp.Expr],
) -> Iterator[tuple[tuple[sp.Expr, ...], sp.Expr]]:
    """Yield sums such as ``a*exp(2*w) - 2*a*exp(w) + a``: a*(X - 1)**2 with X = exp(w).

    X - 1 is expm1(w), and (X - 1)/X is -expm1(-w), which overflows where the sum does.
    """
    groups: dict[sp.Expr, list[tuple[sp.Expr, sp.Expr, sp.Expr]]] = {}
    for term in terms:
        u, a = _exponential(term)
        number, rest = a.as_coeff_Mul()
        groups.setdefault(rest, []).append((term, u, number))
    for rest, group in groups.items():
        members, exponents, numbers = zip(*group, strict=True)
        if any(exponents) and sum(numbers) == 0:
            value = _factored(exponents, numbers)
            if value is not None:
                yield members, rest * value


def _factored(exponents: Sequence[sp.Expr], numbers: Sequence[sp.Expr]) -> sp.Expr | None:
    """Return a sum of multiples of exponentials as a product; None where it has no such form."""
    first = next(u for u in exponents if u != 0)
    ratios = [u / first for u in exponents]
    if not all(ratio.is_Rational for ratio in ratios):
        return None
    parts = sp.ilcm(1, *(ratio.q for ratio in ratios))
    step = sp.Rational(sp.igcd(*(ratio * parts for ratio in ratios)), parts)
    w, powers = first * step, [int(ratio / step) for ratio in ratios]
    x, low = sp.Dummy("x"), min(powers)
    polynomial = sp.Add(*(n * x ** (p - low) for p, n in zip(powers, numbers, strict=True)))
    constant, factors = sp.factor_list(polynomial, x)
    zeros = dict(factors)[x - 1]
    others = sp.Mul(*(base**n for base, n in factors if base != x - 1))
    below = min(zeros, max(-low, 0))
    if low + below < 0 and others != 1:
        return None
    zero = (-expm1(-w)) ** below * expm1(w) ** (zeros - below)
    return constant * zero * sp.exp((low + below) * w) * others.xreplace({x: sp.exp(w)})


# Logarithms, products and powers


def _logarithm(u: sp.Expr) -> sp.Expr:
    if isinstance(u, sigmoid):
        return logsigmoid(u.args[0])
    constant, rest = u.as_coeff_Add()
    if constant != 1 or rest == 0:
        return sp.log(u)
    return softplus(rest.args[0]) if isinstance(rest, sp.exp) else log1p(rest)


def _power(power: sp.Expr) -> sp.Expr:
    """Return ``1/(1 + exp(u))`` as sigmoid(-u)."""
    constant, rest = power.base.as_coeff_Add()
    if constant == 1 and isinstance(rest, sp.exp) and power.exp.is_negative:
        return sigmoid(-rest.args[0]) ** -power.exp
    return power


def _lowered(product: sp.Expr) -> sp.Expr:
    """Return ``exp(-u)*(exp(u) - 1)`` as ``1 - exp(-u)``: one exponential overflows, the other vanishes."""
    v, rest = _exponential(product)
    for factor in sp.Mul.make_args(rest) if v != 0 else ():
        base, n = factor.as_base_exp()
        if not (base.is_Add and n.is_Integer and n > 0):
            continue
        ratios = [_exponential(term)[0] / v for term in base.args]
        if not all(ratio.is_Rational for ratio in ratios):
            continue
        largest = max(-ratio for ratio in ratios)
        if 0 < largest * n <= 1:
            lower = sp.expand_mul(sp.exp(largest * v) * base)
            return rest / factor * sp.exp(v - n * largest * v) * lower**n
    return product


def _product(product: sp.Expr) -> sp.Expr:
    """Return ``exp(u)*sigmoid(-u)`` as sigmoid(u), as the exponential may overflow; ``u*sign(u)`` as |u|."""
    for factor in product.args:
        if isinstance(factor, sp.sign) and factor.args[0] in product.args:
            return product / factor / factor.args[0] * abs(factor.args[0])
        if isinstance(factor, sp.exp) and product.has(opposite := sigmoid(-factor.args[0])):
            rest = product / factor / opposite
            if not rest.has(sp.exp):
                return rest * sigmoid(factor.args[0])
    return product
