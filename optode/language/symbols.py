"""The vocabulary of equations: the SymPy symbols and functions every stage from rule to program
speaks.

All functions act elementwise on tensors of one shape; SymPy treats them as scalar functions, which
is exact for everything elementwise. The gradient and the field are opaque calls (oracles).
"""

from __future__ import annotations

from typing import Any

import sympy as sp


def symbol(name: str) -> sp.Symbol:
    """A real quantity: state, parameter, costate or intermediate."""
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
    """The step size: the small positive quantity that goes to zero."""
    return sp.Symbol(name, positive=True)


def velocity_symbol(of: sp.Symbol) -> sp.Symbol:
    """The symbol for a derivative in time: ``x_dot``, shown as ``x'``."""
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


class Gradient(Call):
    """``Gradient(x)`` is the gradient of the objective at x, written ``grad(x)`` in a spec."""


class Oracle(Call):
    """``Oracle(name, u)``: an operator of the caller's, applied to u; written ``name(u)``."""

    nargs = 2


class Field(Call):
    """``Field(t, h, ...)`` is the network f(t, h, ...), the vector field that takes the gradient's
    place.
    """


def field_call(*arguments: sp.Expr) -> sp.Expr:
    """``f(t, h, ...)`` as an author writes it; ValueError where the time or the states are missing."""
    if len(arguments) < 2 or arguments[0] != TIME:
        raise ValueError("f takes the time and then states: `f(t, h)`")
    return Field(*arguments)


class Tangent(Opaque):
    """``Tangent(call, u)``: the Jacobian of an oracle at the call's point applied to u; with more
    directions, the higher derivative applied to them (``Tangent(g(x), u, w)`` is D^2 g(x)[u, w]).

    A call of several arguments takes a direction for each, in a ``sp.Tuple``.
    """


class FieldTransposed(Opaque):
    """``FieldTransposed(c, i)`` is ``J_i^T c``, the i-th transposed partial Jacobian of the field
    applied to c.
    """


class dot(sp.Function):
    """``dot(u, w)``: the inner product over the feature dimensions, broadcast back; symmetric."""

    nargs = 2
    is_real = True

    @classmethod
    def eval(cls, u: sp.Expr, w: sp.Expr) -> sp.Expr | None:
        if u == 0 or w == 0:
            return sp.S.Zero
        (a, u_rest), (b, w_rest) = u.as_coeff_Mul(), w.as_coeff_Mul()
        if a * b != 1:
            return a * b * cls(u_rest, w_rest)
        in_order = sp.default_sort_key(u_rest) <= sp.default_sort_key(w_rest)
        return (
            None if in_order and a == 1 else cls(*sorted((u_rest, w_rest), key=sp.default_sort_key))
        )


def norm(u: sp.Expr) -> sp.Expr:
    """The Euclidean norm over the feature dimensions, broadcast back."""
    return sp.sqrt(dot(u, u))


class total(sp.Function):
    """``total(u)``: the sum over the feature dimensions, broadcast back."""

    nargs = 1
    is_real = True


def partial(expression: sp.Expr, variable: sp.Symbol) -> sp.Expr:
    """The derivative almost everywhere: a sign is constant beside its jump."""
    return expression.diff(variable).replace(sp.DiracDelta, lambda *_: sp.S.Zero)


class Elementwise(sp.Function):
    """Base class of the language's own elementwise functions; ``formula`` says what each is."""

    is_real = True

    @classmethod
    def formula(cls, *arguments: sp.Expr) -> sp.Expr:
        """Return the value in terms of SymPy's functions."""
        raise NotImplementedError

    @classmethod
    def eval(cls, *arguments: sp.Expr) -> sp.Expr | None:
        return sp.S.Zero if arguments[0] == 0 and cls.formula(*arguments) == 0 else None

    def _eval_evalf(self, prec: int) -> Any:
        return self.formula(*self.args)._eval_evalf(prec)


class sigmoid(Elementwise):
    """Logistic function 1 / (1 + exp(-u))."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return 1 / (1 + sp.exp(-u))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self * (1 - self)


class softplus(Elementwise):
    """log(1 + exp(u))."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return sp.log(1 + sp.exp(u))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0])


class silu(Elementwise):
    """u*sigmoid(u) (Elfwing, Uchibe and Doya 2018)."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return u / (1 + sp.exp(-u))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0]) + self * (1 - sigmoid(self.args[0]))


class gelu(Elementwise):
    """u times the probability that a standard normal variable is below u (Hendrycks and Gimpel
    2016).
    """

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return u * (1 + sp.erf(u / sp.sqrt(2))) / 2

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        (u,) = self.args
        density = sp.exp(-(u**2) / 2) / sp.sqrt(2 * sp.pi)
        return (1 + sp.erf(u / sp.sqrt(2))) / 2 + u * density


class expm1(Elementwise):
    """exp(u) - 1, accurate where u is small; SymPy takes its value from mpmath by its name."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return sp.exp(u) - 1

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.exp(self.args[0])

    def _eval_evalf(self, prec: int) -> Any:
        return sp.Function._eval_evalf(self, prec)


class step(Elementwise):
    """The derivative of relu: 1 where u > 0, else 0 (PyTorch's convention at 0)."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return sp.Piecewise((1, u > 0), (0, True))

    @classmethod
    def eval(cls, u: sp.Expr) -> sp.Expr | None:
        return cls.formula(u) if u.is_number and u.is_comparable else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.S.Zero


class reaches(Elementwise):
    """1 where u >= 0, else 0: ``reaches(B - w)`` says that w is down on its floor B."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return sp.Piecewise((1, u >= 0), (0, True))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.S.Zero


class relu(Elementwise):
    """max(u, 0)."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return sp.Max(u, 0)

    @classmethod
    def eval(cls, u: sp.Expr) -> sp.Expr | None:
        return cls.formula(u) if u.is_number and u.is_comparable else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return step(self.args[0])


class hardtanh(Elementwise):
    """``hardtanh(u, low, high)``: u clipped to [low, high]; ``hardtanh(u)`` clips to [-1, 1]."""

    nargs = 3

    def __new__(cls, u: Any, low: Any = -1, high: Any = 1, **options: Any) -> sp.Expr:
        return super().__new__(cls, u, low, high, **options)

    @classmethod
    def formula(cls, u: sp.Expr, low: sp.Expr, high: sp.Expr) -> sp.Expr:
        return sp.Min(sp.Max(u, low), high)

    @classmethod
    def eval(cls, u: sp.Expr, low: sp.Expr, high: sp.Expr) -> sp.Expr | None:
        numbers = all(a.is_number and a.is_comparable for a in (u, low, high))
        return cls.formula(u, low, high) if numbers else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        u, low, high = self.args
        slopes = (step(u - low) * step(high - u), step(low - u), step(u - high))
        return slopes[argindex - 1]


def maximum(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """max(a, b), in the form whose derivative is a plain step function."""
    return a + relu(b - a)


def minimum(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """min(a, b)."""
    return a - relu(a - b)
