"""Expressions as LaTeX."""

from __future__ import annotations

import re
from typing import Any

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE

from optode.language.conditions import Words, remainder, where, written
from optode.language.functions import function_of
from optode.language.matrices import MatrixFunction, matmul, transposed
from optode.language.ordering import ordered_factors, ordered_terms
from optode.language.symbols import (
    At,
    Field,
    FieldTransposed,
    Gradient,
    Loss,
    Opaque,
    Oracle,
    Tangent,
    symbol,
)
from optode.language.text import decimal_text, other_norm

_WORDS = Words(
    both=r" \text{ and } ",
    either=r" \text{ or } ",
    tight=False,
    relations={">": ">", ">=": r"\ge", "<": "<", "<=": r"\le", "==": "=", "!=": r"\ne"},
)


class _LatexPrinter(LatexPrinter):
    def _as_ordered_terms(self, expr: sp.Expr, order: Any = None) -> Any:
        return list(ordered_terms(expr))

    def _print_Mul(self, expr: sp.Mul) -> str:
        return str(super()._print_Mul(sp.Mul(*ordered_factors(expr), evaluate=False)))

    def _needs_mul_brackets(self, expr: sp.Expr, first: bool = False, last: bool = False) -> bool:
        oracle = isinstance(expr, Opaque)
        return not oracle and bool(super()._needs_mul_brackets(expr, first, last))

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        stem, _, accent = expr.name.rpartition("_")
        if stem and accent in ("hat", "bar", "tilde", "dot"):
            return rf"\{accent}{{{self._print(symbol(stem))}}}"
        if expr.name == "eps":
            return r"\varepsilon"
        word = str(super()._print_Symbol(expr, style))
        word = re.sub(r"_\{([A-Za-z]{2,})\}", r"_{\\mathrm{\1}}", word)
        return re.sub(r"^([A-Za-z]{2,})(?=_|$)", r"\\mathit{\1}", word)

    def _call(self, name: str, arguments: tuple[sp.Expr, ...], exp: str | None) -> str:
        inner = ", ".join(self._print(a) for a in arguments)
        power = f"^{{{exp}}}" if exp else ""
        return rf"{name}\left({inner}\right){power}"

    def _print_Gradient(self, expr: Gradient, exp: str | None = None) -> str:
        return self._call("g", expr.args, exp)

    def _print_Oracle(self, expr: Oracle, exp: str | None = None) -> str:
        return self._call(rf"\operatorname{{{expr.args[0]}}}", expr.args[1:], exp)

    def _print_Loss(self, expr: Loss, exp: str | None = None) -> str:
        return self._call(r"\operatorname{loss}", expr.args, exp)

    def _print_Field(self, expr: Field, exp: str | None = None) -> str:
        return self._call("f", expr.args, exp)

    def _print_Tangent(self, expr: Tangent, exp: str | None = None) -> str:
        call, *directions = expr.args
        name = "J" if len(directions) == 1 else f"D^{{{len(directions)}}}"
        name += rf"_{{\operatorname{{{call.args[0]}}}}}" if isinstance(call, Oracle) else ""
        return self._call(name, tuple(directions), exp)

    def _print_FieldTransposed(self, expr: FieldTransposed, exp: str | None = None) -> str:
        cotangent, *argument = expr.args
        of = [
            rf"\operatorname{{{a.args[0]}}}" if isinstance(a, Oracle) else self._print(a)
            for a in argument[:1]
        ]
        name = f"J_{{{of[0]}}}^{{\\top}}" if of else r"J^{\top}"
        return self._call(name, (cotangent,), exp)

    def _print_At(self, expr: At, exp: str | None = None) -> str:
        name, offset = self._print(expr.args[0]), int(expr.args[1])
        base = f"{{{name}}}" if "_" in name else name
        index = f"_{{k{offset:+d}}}" if offset else "_{k}"
        return base + index + (f"^{{{exp}}}" if exp else "")

    def _print_Rational(self, expr: sp.Rational) -> str:
        decimal = decimal_text(expr)
        if decimal is None:
            return str(super()._print_Rational(expr))
        mantissa, _, exponent = decimal.partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa

    def _print_where(self, expr: where, exp: str | None = None) -> str:
        condition, a, b = expr.args
        rows = (
            rf"{self._print(a)} & \text{{if }} {written(condition, self._print, _WORDS)}",
            rf"{self._print(b)} & \text{{otherwise}}",
        )
        cases = rf"\begin{{cases}} {rows[0]} \\ {rows[1]} \end{{cases}}"
        return rf"\left({cases}\right)^{{{exp}}}" if exp else cases

    def _print_remainder(self, expr: remainder, exp: str | None = None) -> str:
        counted = self.parenthesize(expr.args[0], PRECEDENCE["Mul"])
        return rf"{counted} \bmod {self._print(expr.args[1])}"

    def _print_matmul(self, expr: matmul, exp: str | None = None) -> str:
        product = r" \cdot ".join(self.parenthesize(u, PRECEDENCE["Mul"]) for u in expr.args)
        return rf"\left({product}\right)^{{{exp}}}" if exp else product

    def _print_transposed(self, expr: transposed, exp: str | None = None) -> str:
        (inner,) = expr.args
        text = self._print(inner)
        turned = text if inner.is_Symbol else rf"\left({text}\right)"
        turned = rf"{{{turned}}}^{{\top}}"
        return rf"\left({turned}\right)^{{{exp}}}" if exp else turned

    def _print_MatrixFunction(self, expr: MatrixFunction, exp: str | None = None) -> str:
        stem, _, number = str(expr.args[0]).rpartition("_")
        if stem == "inv_root":
            root = "-1" if number == "1" else f"-1/{number}"
            base = rf"\left({self._print(expr.args[1])}\right)^{{{root}}}"
            return rf"\left({base}\right)^{{{exp}}}" if exp else base
        name = rf"\operatorname{{{stem or number}}}".replace("_", r"\_")
        name += rf"_{{{number}}}" if stem else ""
        return self._call(name, expr.args[1:], exp)

    def _print_Function(self, expr: sp.Expr, exp: str | None = None) -> str:
        if norm := other_norm(expr):
            order = norm[1].replace("inf", r"\infty")
            size = rf"\left\| {self._print(norm[0])} \right\|_{{{order}}}"
            return f"{size}^{{{exp}}}" if exp else size
        record = function_of(expr)
        if record is None or record.latex is None:
            return str(super()._print_Function(expr, exp))
        call = record.latex.replace("{}", ", ".join(map(self._print, expr.args)))
        return call + (f"^{{{exp}}}" if exp else "")


def to_latex(expression: sp.Expr) -> str:
    """Return LaTeX, without delimiters."""
    return str(_LatexPrinter({"order": "none", "mul_symbol": r" \, "}).doprint(expression))
