"""Simplification within bounds that are counted before the work: estimates, and what stands."""

from __future__ import annotations

import pytest
import sympy as sp

from optode.language.effort import (
    MOST_OPERATIONS,
    MOST_TERMS,
    Extent,
    cancelled,
    expanded,
    is_zero,
    operations,
    solutions,
    terms,
    written_out,
)
from optode.language.numbers import has_floats, in_range, is_real, number_problem, real_value
from optode.language.symbols import TIME, symbol

X, Y, Z = map(symbol, "xyz")


@pytest.mark.parametrize(
    "expression",
    [(X + Y + 1) ** 4, (X + Y) * (X - Z) / (Y + 1) + X / (Y + 1) ** 2, 1 / (X - 1) + 1 / (1 - X)],
    ids=str,
)
def test_the_count_of_terms_is_an_upper_bound(expression: sp.Expr) -> None:
    above, below = sp.fraction(sp.together(expression))
    counts = [len(sp.Add.make_args(sp.expand(side))) for side in (above, below)]
    assert sum(counts) <= terms(expression).total


def test_common_denominators_count_once() -> None:
    total = sp.Add(*(X**n / (Y + 1) ** n for n in range(1, 6)))
    assert terms(total).total < 60


def test_what_is_too_long_stands_as_it_is() -> None:
    long = (X + Y + Z + 1) ** 30
    assert terms(long).total > MOST_TERMS
    assert expanded(long) is long
    root = sp.sqrt(sp.Add(*((X + n) ** n for n in range(2, MOST_OPERATIONS))))
    assert cancelled(root) is root


def test_a_difference_is_zero_at_all_points_or_it_is_not() -> None:
    assert is_zero((X + 1) ** 2 - X**2 - 2 * X - 1)
    assert not is_zero(sp.sqrt(X**2) - X + sp.Float("1e-9"))
    long = sp.Add(*(sp.exp(X / n) for n in range(1, 200)))
    assert is_zero((long + 1) ** 2 - long**2 - 2 * long - 1)
    assert not is_zero((long + 1) ** 2 - long**2 - 2 * long)


def test_solutions_take_functions_without_the_unknown_as_constants() -> None:
    size = sp.Abs(sp.sign(Y) / Z)
    assert solutions(size * X - Y, X) == [Y / size]
    assert solutions(1 - sp.exp(-Y * TIME), TIME) == [0]
    assert solutions(sp.tanh(X) - Y, X) == []


def test_names_are_written_out_by_counting() -> None:
    extents = {X: Extent(0, 0)}
    names = [symbol(f"y{i}") for i in range(200)]
    for before, name in zip((X, *names[:-1]), names, strict=True):
        extents[name] = written_out(before * sp.exp(before) + 1, extents)
    assert extents[names[-1]].operations > 2**190
    assert not extents[names[-1]].is_modest
    assert operations(X * Y + 1) == 2


def test_values_stay_in_the_range_of_floats() -> None:
    tower = sp.exp(sp.exp(sp.exp(sp.exp(X))))
    assert real_value(tower, {X: sp.Float(3)}) is None
    assert real_value(sp.sqrt(X), {X: sp.Float(-1)}) is None
    assert real_value(1 / X, {X: sp.Float(0)}) is None
    assert float(real_value(X**2 + 1, {X: sp.Float(2)})) == 5


def test_constants_that_are_no_floats() -> None:
    assert in_range(sp.Rational("1e300") - sp.Rational(1, 2))
    assert not in_range(sp.Integer(10) ** 310)
    assert not has_floats(X * sp.Rational(1, 10**400))
    assert not is_real((-8) ** sp.Rational(1, 3) * X)
    assert number_problem(sp.Abs(sp.sqrt(Y)), {Y: sp.Integer(-2)}) == "has no real value"
