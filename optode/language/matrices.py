"""The vocabulary of matrices: their products and traces, sums over rows and columns, and functions
such as the polar factor.

A position of ``shape: matrix`` has rows and columns in the place of features. All that is
elementwise stays so; what is named here sees the matrix. Products and traces are linear in each
argument, and their derivatives are written with each other. Matrix functions are operators whose
derivatives are Jacobian products, like those of a caller's operator.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE

from optode.language.symbols import Oracle, Reduction, highest, mean, total

MOST_ROOTS = 16
NEWTON_SCHULZ_STEPS = 5


class matmul(Reduction):
    """``matmul(a, b)``: the matrix product, ``a @ b`` in text."""

    nargs = 2
    precedence = PRECEDENCE["Mul"]

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        (c, left), (d, right) = a.as_coeff_Mul(), b.as_coeff_Mul()
        if c * d == 0:
            return sp.S.Zero
        if isinstance(left, eye) or isinstance(right, eye):
            return c * d * (right if isinstance(left, eye) else left)
        return None if c == d == 1 else c * d * cls(left, right)


class transposed(Reduction):
    """``transposed(a)``: rows and columns exchanged, ``a.T`` in text."""

    precedence = PRECEDENCE["Atom"]

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        if a.is_number or isinstance(a, eye):
            return a
        if isinstance(a, cls):
            return a.args[0]
        if isinstance(a, sp.Add):
            return sp.Add(*map(cls, a.args))
        if isinstance(a, matmul):
            left, right = a.args
            return matmul(cls(right), cls(left))
        factor, rest = a.as_coeff_Mul()
        return None if factor == 1 else factor * cls(rest)


class trace(Reduction):
    """``trace(a)``: the sum of the diagonal of a square matrix, broadcast back."""

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        factor, rest = a.as_coeff_Mul()
        return None if factor == 1 else factor * cls(rest)


class eye(Reduction):
    """``eye(a)``: the identity matrix with as many rows as a has."""

    @classmethod
    def eval(cls, a: sp.Expr) -> sp.Expr | None:
        rest = a.as_coeff_Mul()[1]
        return None if rest == a else cls(rest)


class ones(Reduction):
    """``ones(a)``: ones in the shape of a."""


class row_total(total):
    """``row_total(u)``: the sum of each row, broadcast back to the row."""


class column_total(total):
    """``column_total(u)``: the sum of each column, broadcast back to the column."""


class row_mean(mean):
    """``row_mean(u)``: the mean of each row, broadcast back to the row."""


class column_mean(mean):
    """``column_mean(u)``: the mean of each column, broadcast back to the column."""


class row_highest(highest):
    """``row_highest(u)``: the largest value of each row, broadcast back to the row."""


class column_highest(highest):
    """``column_highest(u)``: the largest value of each column, broadcast back to the column."""


MAPS = (
    matmul, transposed, eye, ones, row_total, column_total, row_mean, column_mean, row_highest,
    column_highest,
)  # fmt: skip
"""The reductions whose values are matrices; those of all others are a number for each sample."""


def with_scalars_out(expression: sp.Expr, scalars: Collection[sp.Symbol]) -> sp.Expr:
    """Take factors that are numbers, given as symbols, out of products and transposed matrices."""

    def opened(*parts: sp.Expr) -> sp.Expr:
        split = [
            part.as_independent(*(part.free_symbols - {*scalars}), as_Add=False) for part in parts
        ]
        factor = sp.Mul(*(number for number, _ in split))
        return factor * matmul(*(rest for _, rest in split))

    def turned(part: sp.Expr) -> sp.Expr:
        number, rest = part.as_independent(*(part.free_symbols - {*scalars}), as_Add=False)
        return number * transposed(rest)

    return expression.replace(matmul, opened).replace(transposed, turned)


def rows(_: sp.Expr) -> sp.Expr:
    """Return the number of rows of the position."""
    return column_total(sp.S.One)


def columns(_: sp.Expr) -> sp.Expr:
    """Return the number of columns of the position."""
    return row_total(sp.S.One)


def counted(expression: sp.Expr) -> str | None:
    """Return the function that gives a number of features, rows or columns; None for another value."""
    if not isinstance(expression, total) or expression.args != (sp.S.One,):
        return None
    return {row_total: "columns", column_total: "rows"}.get(type(expression), "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixOperator:
    """What is known of a matrix function: ``F(c*M) = c**degree * F(M)`` for c > 0.

    An odd one has ``F(-M) = -F(M)``. ``is_square``: whether it takes square matrices only.
    ``constant`` is the number in its name, which a spec gives as a second argument. ``stem`` begins
    the name of a local variable that holds its value.
    """

    stem: str
    degree: Fraction
    is_odd: bool = False
    is_square: bool = False
    constant: int | None = None


class MatrixFunction(Oracle):
    """A matrix function of the language applied to an expression, its factors taken out."""

    def __new__(cls, name: Any, u: Any, **options: Any) -> sp.Expr:
        """Take the name as a symbol or a text; the value may be a multiple of a call."""
        operator = operator_named(str(name))
        factor, rest = sp.sympify(u).as_coeff_Mul()
        if operator is None or factor in (0, 1) or not (factor.is_positive or operator.is_odd):
            return super().__new__(cls, name, u, **options)
        scale = abs(factor) ** sp.Rational(operator.degree) * sp.sign(factor)
        return scale * super().__new__(cls, name, rest, **options)

    def at(self, *points: sp.Expr) -> sp.Expr:
        """Return the function of another matrix."""
        return MatrixFunction(self.args[0], *points)


def operator_named(name: str) -> MatrixOperator | None:
    """Return what is known of a matrix function by its name, such as ``inv_root_4``."""
    if name in _PLAIN:
        return _PLAIN[name]
    stem, _, digits = name.rpartition("_")
    if stem not in _NUMBERED or not digits.isdigit():
        return None
    return _numbered(stem, int(digits))


def operator_of(call: sp.Expr) -> MatrixOperator | None:
    """Return what is known of a call of a matrix function; None for any other expression."""
    return operator_named(str(call.args[0])) if isinstance(call, Oracle) else None


_PLAIN: Mapping[str, MatrixOperator] = {
    "polar": MatrixOperator(stem="polar", degree=Fraction(0), is_odd=True),
    "eigenvectors": MatrixOperator(stem="basis", degree=Fraction(0), is_square=True),
}
_NUMBERED = ("inv_root", "newton_schulz")


def _numbered(function: str, number: int) -> MatrixOperator:
    if function == "newton_schulz":
        return MatrixOperator(stem="orthogonal", degree=Fraction(0), is_odd=True, constant=number)
    return MatrixOperator(stem="root", degree=Fraction(-1, number), is_square=True, constant=number)


def polar(u: sp.Expr) -> sp.Expr:
    """Return the orthogonal polar factor U V^T of a matrix U S V^T (Higham 2008, chapter 8)."""
    return MatrixFunction("polar", u)


def eigenvectors(u: sp.Expr) -> sp.Expr:
    """Return the eigenvectors of a symmetric matrix in columns, by ascending eigenvalues."""
    return MatrixFunction("eigenvectors", u)


def inv_root(u: sp.Expr, number: sp.Expr) -> sp.Expr:
    """Return the inverse n-th root of a symmetric positive matrix; ValueError unless n is 1, 2, ..., 16."""
    return MatrixFunction(f"inv_root_{_whole(number, 'the root')}", u)


def newton_schulz(u: sp.Expr, steps: sp.Expr | int = NEWTON_SCHULZ_STEPS) -> sp.Expr:
    """Approximate the polar factor by steps of the quintic iteration of Muon (Jordan et al. 2024).

    Raises ValueError unless the number of steps is 1, 2, ..., 16.
    """
    return MatrixFunction(f"newton_schulz_{_whole(steps, 'the number of steps')}", u)


def _whole(number: sp.Expr | int, what: str) -> int:
    value = sp.sympify(number)
    if not value.is_Integer or not 1 <= value <= MOST_ROOTS:
        raise ValueError(f"{what} is a whole number from 1 to {MOST_ROOTS}")
    return int(value)
