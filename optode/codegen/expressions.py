"""SymPy expressions as PyTorch text, laid out as ``ruff format`` leaves it.

Symbols print as their own names. Those listed as floats are Python floats in the emitted code, all
others tensors: a function of floats alone is taken from ``math``, every other one from ``torch``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

import sympy as sp

from optode.language.conditions import TENSORS, opposite, where, written
from optode.language.elementwise import Elementwise, atan2, hardtanh, maximum, minimum
from optode.language.functions import function_of
from optode.language.matrices import matmul, transposed
from optode.language.ordering import ordered_factors, ordered_terms
from optode.language.symbols import TIME


class Binding(IntEnum):
    """How tightly the outermost operator of a text binds."""

    CHOICE = 0
    SUM = 1
    PRODUCT = 2
    SIGN = 3
    POWER = 4
    ATOM = 5


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    binding: Binding

    def within(self, binding: Binding) -> str:
        """Return the text as an operand that has to bind at least that tightly."""
        return self.text if self.binding >= binding else f"({self.text})"


_NUMBER = re.compile(r"-?[\d.]+(e[+-]?\d+)?")
_SIMPLE = re.compile(
    rf"[^\W\d]\w*(\.[^\W\d]\w*)*|{_NUMBER.pattern}"
)  # what ruff hugs to ``**``: a name, an attribute or a number


class TorchPrinter:
    """Prints expressions; raises TypeError at what has no PyTorch text, such as a call of the
    field. The scalars are tensors of one number, which cost less to divide by one another than
    states do by them.
    """

    def __init__(
        self,
        floats: Collection[sp.Symbol] = (),
        scalars: Collection[sp.Symbol] = (),
    ) -> None:
        self.floats = frozenset(floats)
        self.scalars = self.floats.union(scalars)
        self._shown: dict[sp.Expr, _Text] = {}

    def text(self, expression: sp.Expr) -> str:
        """Return one line: ``-gamma * m + f``."""
        return self._show(expression).text

    def is_float(self, expression: sp.Expr) -> bool:
        """Return whether the emitted value is a Python number rather than a tensor."""
        return bool(expression.free_symbols <= self.floats)

    def knowing(self, name: sp.Symbol, value: sp.Expr) -> TorchPrinter:
        """Return a printer for which the name is what this value is: a number, or of one element."""
        read = value.free_symbols
        floats, scalars = (
            known | {name} if read <= known else known for known in (self.floats, self.scalars)
        )
        return TorchPrinter(floats, scalars)

    def _show(self, e: sp.Expr) -> _Text:
        if e not in self._shown:
            self._shown[e] = self._print(e)
        return self._shown[e]

    def _print(self, e: sp.Expr) -> _Text:
        if isinstance(e, sp.Symbol):
            return _Text(e.name, Binding.ATOM)
        if e.is_number:
            return _number(e)
        if isinstance(e, sp.Add):
            return _Text(" ".join(self._terms(e)), Binding.SUM)
        if isinstance(e, sp.Pow) and not e.exp.could_extract_minus_sign():
            return self._power(e)
        if isinstance(e, (sp.Mul, sp.Pow)):
            return _Text(" ".join(self._factors(e)), Binding.PRODUCT)
        return self._function(e)

    def operands(self, e: sp.Expr) -> list[str]:
        """Return a sum or product in pieces, each but the first with its operator: ``-gamma * m``, ``+
        f``.
        """
        return self._terms(e) if isinstance(e, sp.Add) else self._factors(e)

    def _terms(self, total: sp.Expr) -> list[str]:
        texts = [self._show(term).within(Binding.PRODUCT) for term in ordered_terms(total)]
        signed = [f"- {_bare(text[1:])}" if text[0] == "-" else f"+ {text}" for text in texts[1:]]
        return [texts[0], *signed]

    def _factors(self, product: sp.Expr) -> list[str]:
        coefficient, rest = product.as_coeff_Mul()
        factors = ordered_factors(rest)
        scalars = [factor for factor in factors if factor.free_symbols <= self.scalars]
        others = [factor for factor in factors if factor not in scalars]
        number = _fraction(abs(coefficient))
        above, below = self._sides(scalars, *number)
        rest_above, rest_below = self._sides(others)
        if above and rest_above and len(below) > len(number[1]):
            first, *more = _quotient(rest_above, rest_below)
            return [*_quotient(above, below, coefficient < 0), f"* {first}", *more]
        return _quotient(*self._sides(factors, *number), coefficient < 0)

    def _sides(
        self, factors: Iterable[sp.Expr], above: Iterable[_Text] = (), below: Iterable[_Text] = ()
    ) -> tuple[list[_Text], list[_Text]]:
        """What stands above and below the line, after what is there already."""
        sides = [*above], [*below]
        for factor in factors:
            divides = isinstance(factor, sp.Pow) and factor.exp.could_extract_minus_sign()
            sides[divides].append(self._show(1 / factor if divides else factor))
        return sides

    def _power(self, e: sp.Pow) -> _Text:
        if e.exp == sp.Rational(1, 2):
            module = "math" if self.is_float(e.base) else "torch"
            return _Text(f"{module}.sqrt({self.text(e.base)})", Binding.ATOM)
        base = self._show(e.base).within(Binding.ATOM)
        return _power_text(base, self._show(e.exp).within(Binding.ATOM))

    def _function(self, e: sp.Expr) -> _Text:
        record = function_of(e)
        if record is None:
            raise TypeError(f"no PyTorch text for {e}")
        if isinstance(e, where):
            return self._choice(*e.args)
        if isinstance(e, matmul):
            left, right = (self._show(u).within(Binding.SIGN) for u in e.args)
            # in parentheses within products, which are elementwise
            return _Text(f"{left} @ {right}", Binding.SUM)
        if isinstance(e, transposed):
            return _Text(f"{self._show(e.args[0]).within(Binding.ATOM)}.mT", Binding.ATOM)
        if isinstance(e, hardtanh) and not all(
            bound.is_finite is not False for bound in e.args[1:]
        ):
            return self._one_sided(*e.args)
        shown = [self.argument(a) for a in e.args]
        if self.is_float(e) and record.floats is not None:
            return _Text(record.floats.format(*shown), Binding.ATOM)
        if self.is_float(e) and isinstance(e, Elementwise):
            return self._show(e.formula(*e.args))
        if isinstance(e, hardtanh) and e.args[0].free_symbols <= self.floats:
            u, low, high = e.args  # a number between bounds that are tensors
            return self._show(minimum(maximum(u, low), high))
        if isinstance(e, atan2):
            shown = [self._as_tensor(argument, e) for argument in e.args]
        mixed = len({self.is_float(bound) for bound in e.args[1:]}) > 1
        text = (mixed and record.torch_mixed) or record.torch
        signs = self._signs(e.args[0]) if record.tells_signs else {}
        return _Text(text.format(*shown, **signs), Binding.ATOM)

    def _choice(self, condition: sp.Expr, a: sp.Expr, b: sp.Expr) -> _Text:
        """Return one of two values: Python's own choice where the condition is no tensor."""
        if self.is_float(condition):
            chosen = written(condition, self.argument)
            text = f"{self.argument(a)} if {chosen} else {self._show(b).within(Binding.SUM)}"
            return _Text(text, Binding.CHOICE)
        holds = written(condition, self.argument, TENSORS)
        if (a, b) == (1, 0):
            return _Text(f"({holds}).to({self._tensor(condition)}.dtype)", Binding.ATOM)
        if (a, b) == (0, 1):
            return self._choice(opposite(condition), b, a)
        second = self._as_tensor(b, condition) if self.is_float(a) else self.argument(b)
        return _Text(f"torch.where({holds}, {self.argument(a)}, {second})", Binding.ATOM)

    def _one_sided(self, u: sp.Expr, low: sp.Expr, high: sp.Expr) -> _Text:
        """Return the larger or the smaller of two values."""
        side, bound = ("max", high) if low == -sp.oo else ("min", low)
        first, second = self.argument(u), self.argument(bound)
        if self.is_float(u + bound):
            return _Text(f"{'min' if side == 'max' else 'max'}({first}, {second})", Binding.ATOM)
        if self.is_float(u):
            return self._one_sided(bound, *((-sp.oo, u) if side == "max" else (u, sp.oo)))
        return _Text(f"torch.clamp({first}, {side}={second})", Binding.ATOM)

    def argument(self, e: sp.Expr) -> str:
        """What a function is called with: numbers as floats."""
        return float_text(e) if e.is_number else self.text(e)

    def _signs(self, u: sp.Expr) -> dict[str, str]:
        """Return the conditions u > 0 and u >= 0, ``5 - m > 0`` as ``m < 5``, and a tensor in u."""
        constant, rest = u.as_coeff_Add()
        if rest.could_extract_minus_sign():
            left, right, (strict, weak) = self.text(-rest), self.text(constant), ("<", "<=")
        else:
            left, right, (strict, weak) = self.text(rest), self.text(-constant), (">", ">=")
        return {
            "positive": f"{left} {strict} {right}",
            "nonnegative": f"{left} {weak} {right}",
            "like": self._tensor(u),
        }

    def _as_tensor(self, e: sp.Expr, among: sp.Expr) -> str:
        """Return an argument, a number as a tensor of the dtype of those in another expression."""
        text = self.argument(e)
        return f"{self._tensor(among)}.new_tensor({text})" if self.is_float(e) else text

    def _tensor(self, e: sp.Expr) -> str:
        """Return the name of a tensor in an expression: one of the states' shape if there is any."""
        names = e.free_symbols - self.floats
        order = sorted(names, key=lambda s: (s in self.scalars, s == TIME, s.name))
        return order[0].name if order else ""


def _bare(text: str) -> str:
    """Return a power without the parentheses that it needs after a sign, but not after an operator."""
    power = re.fullmatch(r"\(((self\.)?\w+\*\*(self\.)?\w+)\)", text)
    return power[1] if power else text


def _power_text(base: str, exponent: str) -> _Text:
    """Return a power as ruff sets it: names and numbers hug the operator."""
    hugged = _SIMPLE.fullmatch(base) and _SIMPLE.fullmatch(exponent)
    return _Text(f"{base}**{exponent}" if hugged else f"{base} ** {exponent}", Binding.POWER)


def float_text(value: sp.Expr | float) -> str:
    """Return a Python float, as ruff leaves it: ``0.5``, ``1e-08``, ``1e16``."""
    return repr(float(value)).replace("e+", "e")


def _number(value: sp.Expr) -> _Text:
    """Return an integer, an exact decimal, a fraction, or the nearest float of anything else."""
    if not value.is_extended_real or not value.is_finite:
        raise TypeError(f"no PyTorch text for {value}")
    if value.is_Rational and _decimal(value) is None and max(abs(value.p), value.q) < 2**53:
        return _Text(f"{value.p} / {value.q}", Binding.PRODUCT)
    text = (_decimal(value) if value.is_Rational else None) or float_text(value)
    return _Text(text, Binding.SIGN if text.startswith("-") else Binding.ATOM)


def _quotient(above: list[_Text], below: list[_Text], negative: bool = False) -> list[str]:
    """Return a product over a product in pieces, each but the first with its operator."""
    first, *others = above or [_Text("1", Binding.ATOM)]
    # ruff sets -(x**2) in parentheses
    lead = f"-{first.within(Binding.ATOM)}" if negative else first.within(Binding.SIGN)
    divisor = " * ".join(b.within(Binding.SIGN) for b in below)
    pieces = [lead, *(f"* {a.within(Binding.SIGN)}" for a in others)]
    if below:
        pieces.append(f"/ ({divisor})" if len(below) > 1 else f"/ {divisor}")
    return pieces


def _fraction(magnitude: sp.Expr) -> tuple[list[_Text], list[_Text]]:
    """Return a coefficient as factors above and below the line; nothing where it is 1."""
    parts = (magnitude, sp.S.One)
    if magnitude.is_Rational and _decimal(magnitude) is None:
        parts = (sp.Integer(magnitude.p), sp.Integer(magnitude.q))
    above, below = ([_number(part)] if part != 1 else [] for part in parts)
    return above, below


def _decimal(number: sp.Rational) -> str | None:
    """Return the integer, or the decimal where there is an exact one; PyTorch takes no longer integers."""
    if number.is_Integer and abs(number) < 2**53:
        return str(number)
    text = float_text(number)
    return text if sp.Rational(text) == number else None
