"""Write the pieces of equations in two dialects: the spec's own syntax, and LaTeX."""

from __future__ import annotations

import re
from typing import Protocol

import sympy as sp

from optode.language.latex import to_latex
from optode.language.symbols import TIME, At
from optode.language.text import to_text


class Dialect(Protocol):
    """A way to write equations; every method returns a finished piece of text."""

    def expression(self, expression: sp.Expr) -> str:
        """Return a formula."""
        ...

    def words(self, text: str) -> str:
        """Return a remark beside a formula."""
        ...

    def derivative(self, state: sp.Symbol) -> str:
        """Return the left-hand side of a differential equation."""
        ...

    def second_derivative(self, state: sp.Symbol) -> str:
        """Return the left-hand side of an equation of second order."""
        ...

    def value_at(self, state: sp.Symbol, time: str) -> str:
        """Return a state at a time; ``T`` is the end."""
        ...

    def loss_gradient(self, of: str) -> str:
        """Return the derivative of the loss with respect to a quantity."""
        ...

    def quadrature(self, integrand: sp.Expr) -> str:
        """Return the integral over the span of the sum over elements."""
        ...

    def first(self, state: sp.Symbol) -> str:
        """Return a state at iteration 0."""
        ...


class PlainText:
    """The syntax of specs: ``v' = -gamma*v - g(x)``."""

    def expression(self, expression: sp.Expr) -> str:
        return to_text(expression)

    def words(self, text: str) -> str:
        return text

    def derivative(self, state: sp.Symbol) -> str:
        return f"{state}'"

    def second_derivative(self, state: sp.Symbol) -> str:
        return f"{state}''"

    def value_at(self, state: sp.Symbol, time: str) -> str:
        return f"{state}({time})"

    def loss_gradient(self, of: str) -> str:
        return f"dL/d{of}"

    def quadrature(self, integrand: sp.Expr) -> str:
        return f"int sum({to_text(integrand)}) dt"

    def first(self, state: sp.Symbol) -> str:
        return f"{state}[0]"


class Latex:
    """LaTeX mathematics, within what amsmath and MathJax both know."""

    def expression(self, expression: sp.Expr) -> str:
        return to_latex(expression)

    def words(self, text: str) -> str:
        return rf"\text{{{latex_words(text)}}}" if text else ""

    def derivative(self, state: sp.Symbol) -> str:
        return _dotted(state, "dot")

    def second_derivative(self, state: sp.Symbol) -> str:
        return _dotted(state, "ddot")

    def value_at(self, state: sp.Symbol, time: str) -> str:
        return f"{to_latex(state)}({time})"

    def loss_gradient(self, of: str) -> str:
        return rf"\frac{{\partial L}}{{\partial {of}}}"

    def quadrature(self, integrand: sp.Expr) -> str:
        bracketed = integrand.is_Add or integrand.could_extract_minus_sign()
        inner = to_latex(integrand)
        inner = rf"\left({inner}\right)" if bracketed else inner
        return rf"\int \sum {inner} \, \mathrm{{d}}{to_latex(TIME)}"

    def first(self, state: sp.Symbol) -> str:
        return to_latex(At(state, 0)).removesuffix("_{k}") + "_{0}"


def _dotted(state: sp.Symbol, accent: str) -> str:
    """Return a state with dots over its letter, and not over its index."""
    letter, sign, index = to_latex(state).partition("_")
    return rf"\{accent}{{{letter}}}{sign}{index}"


def latex_words(text: str) -> str:
    """Return words as LaTeX text: its special characters stand for themselves."""
    special = {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\~{}"}
    return re.sub(r"[\\^~_{}&%$#]", lambda m: special.get(m[0], "\\" + m[0]), text)


def markdown_words(text: str) -> str:
    """Return words as Markdown: nothing in them is read as markup, HTML or mathematics."""
    return re.sub(r"([\\`*_{}\[\]<>#$|~&!])", r"\\\1", text)
