"""Expressions as text in the spec's own syntax."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.str import StrPrinter

from optode.language.conditions import remainder, where, written
from optode.language.functions import function_of
from optode.language.matrices import matmul, operator_named, transposed
from optode.language.ordering import ordered_factors, ordered_terms
from optode.language.symbols import (
    At,
    Field,
    FieldTransposed,
    Gradient,
    Loss,
    Oracle,
    Tangent,
    dot,
    highest,
    total,
)

MAX_INTEGER = 10**12
"""Written digit by digit; a larger number is written as a decimal."""

_LARGEST_DENOMINATOR = 10**330
"""No float has more decimals."""


def decimal_text(number: sp.Rational) -> str | None:
    """Return the exact decimal of a rational whose denominator has no prime factor but 2 and 5, else None.

    Halves, quarters and eighths stay fractions (None), as people write them.
    """
    if number.q in (1, 2, 4, 8) or _LARGEST_DENOMINATOR % number.q:
        return None
    text = repr(float(number))
    return text if sp.Rational(text) == number else None


def whole_text(number: int) -> str:
    """Return an integer as a spec can say it: a long one as a decimal, if that is exact."""
    text = repr(float(number)) if MAX_INTEGER < abs(number) < 10**308 else ""
    return text if text and sp.Rational(text) == number else str(number)


def other_norm(call: sp.Expr) -> tuple[sp.Expr, str] | None:
    """u and the order of a norm that is no Euclidean one; None for any other call."""
    orders = {total: "1", highest: "inf"}
    if type(call) in orders and isinstance(call.args[0], sp.Abs):
        return call.args[0].args[0], orders[type(call)]
    return None


def _norm_power(expr: sp.Pow) -> sp.Rational | None:
    """n where the expression is the n-th power of a norm, written as a root of ``dot(u, u)``."""
    base, power = expr.args
    root = isinstance(base, dot) and base.args[0] == base.args[1] and power.is_Rational
    return 2 * power if root and power.q != 1 else None


def operator_text(name: str, argument: str) -> str:
    """Return the call of an operator as a spec has it: ``inv_root(m, 4)`` of ``inv_root_4``."""
    operator = operator_named(name)
    if operator is None or operator.constant is None:
        return f"{name}({argument})"
    return f"{name.removesuffix(f'_{operator.constant}')}({argument}, {operator.constant})"


class _TextPrinter(StrPrinter):
    def _as_ordered_terms(self, expr: sp.Expr, order: Any = None) -> Any:
        return list(ordered_terms(expr))

    def _print_Integer(self, expr: sp.Integer) -> str:
        return whole_text(int(expr.p))

    def _print_Rational(self, expr: sp.Rational) -> str:
        return decimal_text(expr) or f"{whole_text(int(expr.p))}/{whole_text(int(expr.q))}"

    def _print_Mul(self, expr: sp.Mul) -> str:
        coefficient, rest = expr.as_coeff_Mul()
        sign = "-" if coefficient < 0 else ""
        above: list[sp.Expr] = []
        below: list[sp.Expr] = []
        magnitude = abs(coefficient)
        if magnitude.is_Rational and decimal_text(magnitude) is None:
            above += [sp.Integer(magnitude.p)] if magnitude.p != 1 else []
            below += [sp.Integer(magnitude.q)] if magnitude.q != 1 else []
        else:
            above += [magnitude] if magnitude != 1 else []
        for factor in ordered_factors(rest):
            negative = isinstance(factor, sp.Pow) and factor.exp.could_extract_minus_sign()
            (below if negative else above).append(1 / factor if negative else factor)
        text = sign + ("*".join(self._factor(f) for f in above) or "1")
        if not below:
            return text
        denominator = "*".join(self._factor(f) for f in below)
        return f"{text}/({denominator})" if len(below) > 1 else f"{text}/{self._divisor(below[0])}"

    def _factor(self, factor: sp.Expr) -> str:
        if factor.is_Rational:
            return str(self._print(factor))
        return str(self.parenthesize(factor, PRECEDENCE["Mul"], strict=False))

    def _divisor(self, factor: sp.Expr) -> str:
        text = self._print(factor)
        return f"({text})" if precedence(factor) <= PRECEDENCE["Mul"] else text

    def _print_Exp1(self, expr: sp.Expr) -> str:
        return "exp(1)"

    def _print_At(self, expr: At) -> str:
        offset = int(expr.args[1])
        return f"{self._print(expr.args[0])}[k{offset:+d}]" if offset else f"{expr.args[0]}[k]"

    def _print_Gradient(self, expr: Gradient) -> str:
        return f"g({self.stringify(expr.args, ', ')})"

    def _print_Oracle(self, expr: Oracle) -> str:
        arguments = self.stringify(expr.args[1:], ", ")
        return operator_text(str(expr.args[0]), arguments)

    _print_MatrixFunction = _print_Oracle

    def _print_Loss(self, expr: Loss) -> str:
        return f"loss({self._print(expr.args[0])})"

    def _print_Field(self, expr: Field) -> str:
        return f"f({self.stringify(expr.args, ', ')})"

    def _print_Tangent(self, expr: Tangent) -> str:
        call, *directions = expr.args
        name = "J" if len(directions) == 1 else f"D{len(directions)}"
        position = call.args[0] if isinstance(call, Gradient) else call.args[-1]
        at = "" if position.is_Symbol else f"[{self._print(position)}]"
        at = f"_{call.args[0]}{at}" if isinstance(call, Oracle) else at
        return f"{name}{at}({self.stringify(directions, ', ')})"

    def _print_FieldTransposed(self, expr: FieldTransposed) -> str:
        cotangent, *argument = expr.args
        product = [a for a in argument if isinstance(a, Tangent)]
        name = "JT" + "".join(f"_{_what(a)}" for a in argument if a not in product)
        name += "".join(f"[{self._print(a)}]" for a in product)
        return f"{name}({self._print(cotangent)})"

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        power = _norm_power(expr)
        if power is None:
            return str(super()._print_Pow(expr, rational=rational))
        text = f"norm({self._print(expr.base.args[0])})"
        size = abs(power)
        text += "" if size == 1 else f"**{size}" if size.is_Integer else f"**({size})"
        return text if power > 0 else f"1/{text}"

    def _print_where(self, expr: where) -> str:
        condition, *branches = expr.args
        return f"where({written(condition, self._print)}, {self.stringify(branches, ', ')})"

    def _print_remainder(self, expr: remainder) -> str:
        counted, divisor = expr.args
        return f"{self.parenthesize(counted, PRECEDENCE['Mul'])} % {divisor}"

    def _print_matmul(self, expr: matmul) -> str:
        left, right = expr.args
        level = PRECEDENCE["Mul"]
        first = self.parenthesize(left, level, strict=isinstance(left, matmul))
        return f"{first} @ {self.parenthesize(right, level)}"

    def _print_transposed(self, expr: transposed) -> str:
        inner = expr.args[0]
        plain = isinstance(inner, (sp.Symbol, At, Gradient, Field, Oracle, transposed))
        text = self._print(inner)
        return f"{text}.T" if plain else f"({text}).T"

    def _print_Function(self, expr: sp.Expr) -> str:
        if norm := other_norm(expr):
            return f"norm({self._print(norm[0])}, {norm[1]})"
        record = function_of(expr)
        name = record.name if record else type(expr).__name__
        return f"{name}({self.stringify(expr.args, ', ')})"


def _what(argument: sp.Expr) -> sp.Basic:
    """Return what a transposed Jacobian is named after: an argument of f, or an operator."""
    return argument.args[0] if isinstance(argument, Oracle) else argument


def to_text(expression: sp.Expr) -> str:
    """Return one line in the spec's own syntax: ``-gamma*m + f(t, h)``."""
    return str(_TextPrinter().doprint(expression))
