"""Linear operators on costates: elementwise factors, ``J^T``, its rate, and sums over the elements.

An elementwise factor that changes along the trajectory does not commute with ``J^T``, and ``J^T``
does not with itself at another time. An expression is therefore kept as a sum of scalars times
vectors such as ``JT(f(t, h)*a_v)``, and is zero where every scalar is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import sympy as sp

from optode.calculus.tangent import derivative_along
from optode.language.elementwise import reaches
from optode.language.functions import kinds
from optode.language.presentation import distributed, present
from optode.language.symbols import TIME, Field, FieldTransposed, Reduction, Tangent, mean, total

Terms: TypeAlias = dict[sp.Expr, sp.Expr]
"""Vectors with their elementwise coefficients."""


class TransposedRate(FieldTransposed):
    """``TransposedRate(c, i)``: the time derivative of ``J_i^T`` along the trajectory, applied to
    c; written ``JT_i'(c)``.
    """

    def _sympystr(self, printer: Any) -> str:
        name, _, rest = printer.doprint(FieldTransposed(*self.args)).partition("(")
        return f"{name}'({rest}"


class NotLinear(ValueError):
    """An expression that is not linear in the vectors; the message says where."""


class NotEliminated(ValueError):
    """An elimination that does not go through; the message says why."""


_NUMBER = sp.Dummy(real=True)
OPERATORS = (FieldTransposed, TransposedRate, total, mean)


@dataclass(frozen=True, slots=True)
class Operators:
    """The expressions linear in ``vectors``; what holds a state or a call of f is no scalar.

    An inner product is the same for all elements, so that it commutes with J^T at the same time.
    """

    states: tuple[sp.Symbol, ...]
    vectors: tuple[sp.Symbol, ...]
    names: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    """Names of elementwise factors and of their rates, with what they stand for."""

    def is_scalar(self, expression: sp.Expr) -> bool:
        """Return whether it commutes with J^T: in time and parameters only."""
        return not expression.has(*self.states, *dict(self.names), Field, Tangent)

    def switches(self, expression: sp.Expr) -> bool:
        """Return whether an elementwise factor in it jumps in time."""
        return bool(expression.xreplace(dict(self.names)).has(*kinds("jump", "contact")))

    def terms(self, expression: sp.Expr) -> Terms:
        """Return the vectors of an expression with their coefficients, none of them zero.

        Raises NotLinear.
        """
        found: Terms = {}
        for vector, coefficient in self._terms(sp.sympify(expression)):
            found[vector] = found.get(vector, sp.S.Zero) + coefficient
        meaning = dict(self.names)
        return {vector: c for vector, c in found.items() if not vanishes(c.xreplace(meaning))}

    def normal(self, expression: sp.Expr) -> sp.Expr:
        """Return the expression as the sum of its terms, with coefficients as short as they get."""
        return sp.Add(*(shortest(c) * vector for vector, c in self.terms(expression).items()))

    def _terms(self, expression: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]]:
        if expression == 0:
            return []
        if expression in self.vectors:
            return [(expression, sp.S.One)]
        if isinstance(expression, sp.Add):
            return [pair for argument in expression.args for pair in self._terms(argument)]
        if isinstance(expression, OPERATORS):
            return self._applied(expression)
        applied = (*self.vectors, FieldTransposed, TransposedRate)
        linear = [f for f in sp.Mul.make_args(expression) if f.has(*applied)]
        if len(linear) != 1 or linear[0] == expression:
            raise NotLinear(f"not linear: {expression}")
        rest = sp.Mul(*(f for f in sp.Mul.make_args(expression) if f != linear[0]))
        return [(vector, rest * c) for vector, c in self._terms(linear[0])]

    def _applied(self, expression: sp.Expr) -> list[tuple[sp.Expr, sp.Expr]]:
        """Return an operator applied to a sum: applied to each term, scalars in front of it."""
        argument, *which = expression.args
        found = []
        for vector, coefficient in self.terms(argument).items():
            for piece in distributed(shortest(coefficient)):
                factors = sp.Mul.make_args(piece)
                even = sp.Mul(*filter(self._is_even, factors))
                found.append((expression.func(piece / even * vector, *which), even))
        return found

    def _is_even(self, factor: sp.Expr) -> bool:
        """Return whether it is the same for all elements."""
        return self.is_scalar(factor.replace(lambda e: isinstance(e, Reduction), lambda _: _NUMBER))

    def transposed(self, expression: sp.Expr, onto: sp.Expr) -> Terms:
        """Return the transpose of a linear map of one vector, applied to ``onto``, with J^T for J.

        Factors and operators follow in reversed order; each of them is its own transpose but J.
        """
        result = sp.S.Zero
        for vector, coefficient in self.terms(expression).items():
            image = coefficient * onto
            while isinstance(vector, OPERATORS):
                operator, (argument, *which) = vector.func, vector.args
                ((vector, coefficient),) = self.terms(argument).items()
                image = coefficient * operator(image, *which)
            result += image
        return self.terms(result)

    def rate(self, expression: sp.Expr, rates: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
        """Return the time derivative where the symbols (states, vectors, t) move at the given rates.

        Raises NotEliminated where the field itself, or J^T twice, would have to be differentiated.
        """
        nodes = _outermost(expression)
        names = {node: sp.Dummy(real=True) for node in nodes}
        moving = dict(rates) | {names[node]: self._operator_rate(node, rates) for node in nodes}
        found = derivative_along(expression.xreplace(names), moving)
        found = found.xreplace({name: node for node, name in names.items()})
        if found.has(Tangent):
            raise NotEliminated("the field would have to be differentiated in time")
        return found

    def _operator_rate(self, node: sp.Expr, rates: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
        argument, *which = node.args
        moved = node.func(self.rate(argument, rates), *which)
        if isinstance(node, Reduction):
            return moved
        if isinstance(node, TransposedRate) or any(isinstance(a, Tangent) for a in which):
            raise NotEliminated("the transposed Jacobian would have to be differentiated twice")
        return TransposedRate(argument, *which) + moved


def _outermost(expression: sp.Expr) -> list[sp.Expr]:
    """Return the applications of operators that stand in no other."""
    if isinstance(expression, OPERATORS):
        return [expression]
    return list(dict.fromkeys(node for a in expression.args for node in _outermost(a)))


def vanishes(expression: sp.Expr) -> bool:
    """Return whether an elementwise expression is 0 identically; its value at two points tells most."""
    if not expression.has(sp.Add):
        return bool(expression == 0)
    if any(value > 1e-9 for value in _sizes(expression)):
        return False
    return sp.cancel(sp.together(expression)) == 0 or sp.simplify(expression) == 0


def _sizes(expression: sp.Expr) -> Iterator[float]:
    """Return absolute values on tensors of one element, at arguments of order 1, then far beyond."""
    flat = expression
    if flat.has(Reduction, reaches):
        flat = flat.replace(lambda e: isinstance(e, Reduction), lambda e: sp.Mul(*e.args))
        flat = flat.replace(reaches, lambda u: (1 + sp.sign(u)) / 2)
    calls = sorted(flat.atoms(Field, Tangent), key=str)
    names = [*sorted(flat.xreplace(dict.fromkeys(calls, _NUMBER)).free_symbols, key=str), *calls]
    for scale in (1, 40):
        point = {name: sp.Rational(scale * (5 * i + 3), 11) for i, name in enumerate(names)}
        try:
            yield abs(complex(sp.N(flat.xreplace(point))))
        except (TypeError, OverflowError):
            continue  # no number there


def shortest(coefficient: sp.Expr) -> sp.Expr:
    """Return a coefficient in the shortest of its forms, ``1 - beta`` in denominators."""
    if not coefficient.has(sp.Add):
        return coefficient
    reduced = [sp.factor(sp.cancel(term), deep=False) for term in sp.Add.make_args(coefficient)]
    spread = sp.Add(*distributed(coefficient))
    forms = [coefficient, spread, sp.Add(*reduced), sp.cancel(sp.together(coefficient))]
    return _turned(min(map(present, forms), key=sp.count_ops))


def _turned(expression: sp.Expr) -> sp.Expr:
    """Return the expression with denominators of negative constant multiplied by -1."""

    def backwards(e: sp.Expr) -> bool:
        odd = e.is_Pow and e.exp.is_Integer and e.exp < 0 and e.exp % 2
        return bool(odd and e.base.is_Add and e.base.as_coeff_Add()[0] < 0)

    return expression.replace(backwards, lambda e: -((-e.base) ** e.exp))


def at_time(expression: sp.Expr, time: sp.Expr) -> sp.Expr:
    """Return the expression with another clock in its coefficients; the calls of f stay where they are."""
    calls = {call: sp.Dummy(real=True) for call in expression.atoms(Field)}
    moved = expression.xreplace(calls).xreplace({TIME: time})
    return moved.xreplace({name: call for call, name in calls.items()})
