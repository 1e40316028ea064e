"""The elementwise functions of equations that SymPy does not have, with their derivatives."""

from __future__ import annotations

from typing import Any

import mpmath
import sympy as sp


class Elementwise(sp.Function):
    """Base class of the language's own elementwise functions; ``formula`` says what each is."""

    is_real = True

    def __new__(cls, *arguments: Any, **options: Any) -> sp.Expr:
        """Call the function; without a value where an argument has none."""
        if any(argument is sp.nan for argument in cls.decisive(*arguments)):
            return sp.nan
        return super().__new__(cls, *arguments, **options)

    @classmethod
    def decisive(cls, *arguments: Any) -> tuple[Any, ...]:
        """Return the arguments without which there is no value."""
        return arguments

    @classmethod
    def formula(cls, *arguments: sp.Expr) -> sp.Expr:
        """Return the value in terms of SymPy's functions."""
        raise NotImplementedError

    @classmethod
    def eval(cls, *arguments: sp.Expr) -> sp.Expr | None:
        if arguments[0] != 0:
            return None
        value = cls.formula(*arguments)
        return value if value.is_number and value.is_finite else None

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


class log1p(Elementwise):
    """log(1 + u), accurate where u is small."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return sp.log(1 + u)

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return 1 / (1 + self.args[0])


class logsigmoid(Elementwise):
    """log(sigmoid(u)), accurate where sigmoid(u) is near 0 or 1."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return -sp.log(1 + sp.exp(-u))

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(-self.args[0])

    def _eval_evalf(self, prec: int) -> Any:
        u = self.args[0]._eval_evalf(prec)
        if u is None or not u.is_Float:
            return None
        with mpmath.workprec(prec):
            return sp.sympify(-mpmath.log1p(mpmath.exp(-u._to_mpmath(prec))))


class step(Elementwise):
    """The derivative of relu: 1 where u > 0, else 0 (PyTorch's convention at 0)."""

    nargs = 1

    @classmethod
    def formula(cls, u: sp.Expr) -> sp.Expr:
        return sp.Piecewise((1, u > 0), (0, True))

    @classmethod
    def eval(cls, u: sp.Expr) -> sp.Expr | None:
        if u.is_number and u.is_comparable:
            return cls.formula(u)
        if u.is_positive:
            return sp.S.One
        return sp.S.Zero if u.is_nonpositive else None

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
        if u.is_nonnegative:
            return u
        if u.is_nonpositive:
            return sp.S.Zero
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
        if all(a.is_number and a.is_comparable for a in (u, low, high)):
            return cls.formula(u, low, high)
        if (low - u).is_nonnegative:
            return low
        if (u - high).is_nonnegative:
            return high
        return u if (u - low).is_nonnegative and (high - u).is_nonnegative else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        u, low, high = self.args
        slopes = (step(u - low) * step(high - u), step(low - u), step(u - high))
        return slopes[argindex - 1]


class atan2(Elementwise):
    """``atan2(y, x)``, the angle of the point (x, y) in (-pi, pi]."""

    nargs = 2

    @classmethod
    def formula(cls, y: sp.Expr, x: sp.Expr) -> sp.Expr:
        return sp.atan2(y, x)

    @classmethod
    def eval(cls, y: sp.Expr, x: sp.Expr) -> sp.Expr | None:
        return sp.S.Zero if y == 0 and x.is_positive else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        y, x = self.args
        return (x if argindex == 1 else -y) / (x**2 + y**2)


def maximum(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """max(a, b), in the form whose derivative is a plain step function."""
    return a + relu(b - a)


def minimum(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """min(a, b)."""
    return a - relu(a - b)


def soft_threshold(u: sp.Expr, bound: sp.Expr) -> sp.Expr:
    """sign(u)*max(abs(u) - bound, 0) for a bound from 0 on: what is left outside of [-bound, bound]."""
    return u - hardtanh(u, -bound, bound)


def by_formula(expression: sp.Expr) -> sp.Expr:
    """Return the expression with the language's own functions in terms of SymPy's."""
    return expression.replace(
        lambda node: isinstance(node, Elementwise), lambda node: node.formula(*node.args)
    )
