"""The vocabulary of equations: the SymPy symbols and functions every stage from rule to program
speaks.

All functions act elementwise on tensors of one shape; SymPy treats them as scalar functions, which
is exact for everything elementwise. The gradient and the field are opaque calls (oracles).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy as sp
from sympy.core.symbol import Str


def symbol(name: str) -> sp.Symbol:
    """Return a real quantity: state, parameter, costate or intermediate."""
    return sp.Symbol(name, real=True)


def by_name(expression: sp.Expr) -> sp.Expr:
    """Return the expression with every symbol taken by its name, whatever its assumptions were.

    A decimal number becomes the exact rational it is written as: 0.9 is 9/10.
    """
    expression = sp.sympify(expression)
    own = {s: symbol(s.name) for s in expression.free_symbols}
    exact = {n: sp.Rational(repr(float(n))) for n in expression.atoms(sp.Float)}
    return expression.xreplace(own | exact)


def step_symbol(name: str) -> sp.Symbol:
    """Return the step size: the small positive quantity that goes to zero."""
    return sp.Symbol(name, positive=True)


def velocity_symbol(of: sp.Symbol) -> sp.Symbol:
    """Return the symbol for a derivative in time: ``x_dot``, shown as ``x'``."""
    return symbol(f"{of}_dot")


COUNTER = sp.Symbol("k", real=True)
"""The iteration counter k = 0, 1, 2, ..."""

TIME = sp.Symbol("t", real=True)
"""Continuous time t."""


class At(sp.Function):
    """``At(z, j)`` is ``z[k+j]``, the value of the sequence z at iteration k + j (j an integer, not
    0).
    """

    nargs = 2
    is_real = True


class Opaque(sp.Function):
    """Base class of what only the caller can evaluate: oracles and their Jacobians' products."""

    is_real = True


class Call(Opaque):
    """Base class of the calls of an oracle, whose derivatives are Jacobian products."""

    @property
    def points(self) -> tuple[sp.Expr, ...]:
        """What a derivative of the call is taken by."""
        return self.args

    def at(self, *points: sp.Expr) -> sp.Expr:
        """Return the call at other points."""
        return self.func(*points)


class Gradient(Call):
    """``Gradient(x)`` is the gradient of the objective at x, written ``grad(x)`` in a spec."""


class Loss(Call):
    """``Loss(x)`` is the objective at x, one number for each sample, written ``loss(x)`` in a spec.

    Its derivative along u is ``dot(Gradient(x), u)``: see ``Tangent``.
    """

    nargs = 1


class Oracle(Call):
    """``Oracle(name, u)``: an operator of the caller's, applied to u; written ``name(u)``.

    ``Oracle(name, t, u)`` is one that depends on the time too, as the loss of a model does.
    """

    nargs = (2, 3)
    is_commutative = True

    def __new__(cls, name: Any, *arguments: Any, **options: Any) -> sp.Expr:
        """Take the name as a symbol or a text: it is no quantity of the expression."""
        return super().__new__(cls, Str(str(name)), *arguments, **options)

    @property
    def has_time(self) -> bool:
        """Whether it is called with the time before its argument."""
        return len(self.args) == 3

    @property
    def points(self) -> tuple[sp.Expr, ...]:
        return self.args[-1:]

    def at(self, *points: sp.Expr) -> sp.Expr:
        return Oracle(*self.args[:-1], *points)


def operators_in(expressions: Iterable[sp.Expr]) -> tuple[str, ...]:
    """Return the names of the caller's operators, sorted; the loss of a model is one."""
    calls = (call for e in expressions for call in e.atoms(Oracle) if type(call) is Oracle)
    return tuple(sorted({str(call.args[0]) for call in calls}))


class Field(Call):
    """``Field(t, h, ...)`` is the network f(t, h, ...), the vector field that takes the gradient's
    place.
    """


def field_call(*arguments: sp.Expr) -> sp.Expr:
    """Return ``f(t, h, ...)`` as an author writes it; ValueError where the time or the states are missing."""
    if len(arguments) < 2 or arguments[0] != TIME:
        raise ValueError("f takes the time and then states: `f(t, h)`")
    return Field(*arguments)


def loss_call(*arguments: sp.Expr) -> sp.Expr:
    """Return ``loss(t, h)`` as an author of a model writes it; ValueError where something is missing."""
    if len(arguments) != 2 or arguments[0] != TIME:
        raise ValueError("loss takes the time and then one state: `loss(t, h)`")
    return Oracle("loss", *arguments)


class Tangent(Opaque):
    """``Tangent(call, u)``: the Jacobian of an oracle at the call's point applied to u; with more
    directions, the higher derivative applied to them (``Tangent(g(x), u, w)`` is D^2 g(x)[u, w]).

    A call of several arguments takes a direction for each, in a ``sp.Tuple``. The derivative of a
    loss is an inner product: ``Tangent(loss(x), u, w)`` is ``dot(J u, w)``, J that of the gradient.
    """

    @classmethod
    def eval(cls, call: sp.Expr, *directions: sp.Expr) -> sp.Expr | None:
        if not isinstance(call, Loss) or not directions:
            return None
        g, (*others, last) = Gradient(*call.args), directions
        return dot(cls(g, *others) if others else g, last)


class FieldTransposed(Opaque):
    """``FieldTransposed(c, i)`` is ``J_i^T c``, the i-th transposed partial Jacobian of the field
    applied to c.
    """


class Reduction(sp.Function):
    """Base class of what mixes the features, the values of one sample: sums, means and extremes.

    Its value is one number for each sample, broadcast back.
    """

    nargs = 1
    is_real = True

    @property
    def is_number(self) -> bool:
        """No value is known before the number of features is."""
        return False


class dot(Reduction):
    """``dot(u, w)``: the inner product over the features, broadcast back; symmetric."""

    nargs = 2

    @classmethod
    def eval(cls, u: sp.Expr, w: sp.Expr) -> sp.Expr | None:
        if u == 0 or w == 0:
            return sp.S.Zero
        (a, u_rest), (b, w_rest) = u.as_coeff_Mul(), w.as_coeff_Mul()
        if 1 in (u_rest, w_rest):
            return a * b * total(u_rest * w_rest)
        if a * b != 1:
            return a * b * cls(u_rest, w_rest)
        in_order = sp.default_sort_key(u_rest) <= sp.default_sort_key(w_rest)
        return (
            None if in_order and a == 1 else cls(*sorted((u_rest, w_rest), key=sp.default_sort_key))
        )

    def _eval_is_nonnegative(self) -> bool | None:
        return True if self.args[0] == self.args[1] else None


class total(Reduction):
    """``total(u)``: the sum over the features, broadcast back; ``total(1)`` is their number."""

    @classmethod
    def eval(cls, u: sp.Expr) -> sp.Expr | None:
        factor, rest = u.as_coeff_Mul()
        if factor != 1:
            return factor * cls(rest)
        return u * cls(sp.S.One) if u.is_number and u != 1 else None


class mean(Reduction):
    """``mean(u)``: the mean over the features, broadcast back."""

    @classmethod
    def eval(cls, u: sp.Expr) -> sp.Expr | None:
        factor, rest = u.as_coeff_Mul()
        if factor != 1:
            return factor * cls(rest)
        return u if u.is_number else None


class highest(Reduction):
    """``highest(u)``: the largest value among the features, broadcast back; ``maximum`` in text."""

    @classmethod
    def eval(cls, u: sp.Expr) -> sp.Expr | None:
        return u if u.is_number else None


class lowest(Reduction):
    """``lowest(u)``: the smallest value among the features, broadcast back; ``minimum`` in text."""

    @classmethod
    def eval(cls, u: sp.Expr) -> sp.Expr | None:
        return u if u.is_number else None


def norm(u: sp.Expr, order: sp.Expr | int = 2) -> sp.Expr:
    """Return the norm of an order over the features, broadcast back; ValueError unless it is 1, 2 or oo."""
    if order == 2:
        return sp.sqrt(dot(u, u))
    if order not in (1, sp.oo):
        raise ValueError("`norm` is of the order 1, 2 or inf")
    return total(sp.Abs(u)) if order == 1 else highest(sp.Abs(u))


def count(_: sp.Expr) -> sp.Expr:
    """Return the number of features."""
    return total(sp.S.One)
