"""Equations in SymPy's numbers of 30 digits, element by element: a way around the printer.

An ``Evaluation`` takes an expression apart and puts it together again from numbers. What acts on
single elements SymPy does itself; the functions that are not SymPy's are spelled out in
``MEANING``, by name; the sums over features and the network with its Jacobian products are written
out here. Nothing is optode's.
"""

from __future__ import annotations

from functools import cached_property, reduce

import numpy as np
import sympy as sp

DIGITS = 30
MEANING = {
    "sigmoid": lambda u: 1 / (1 + sp.exp(-u)),
    "softplus": lambda u: sp.log(1 + sp.exp(u)),
    "relu": lambda u: sp.Max(u, 0),
    "step": lambda u: sp.Integer(bool(u > 0)),
    "reaches": lambda u: sp.Integer(bool(u >= 0)),
    "hardtanh": lambda u, low, high: sp.Min(sp.Max(u, low), high),
}
TRANSFORMS = {
    "none": lambda u: u,
    "exp": sp.exp,
    "sigmoid": MEANING["sigmoid"],
    "softplus": MEANING["softplus"],
}


def number(value) -> sp.Float:
    """Of a float or a tensor of one element, as it is."""
    value = value.item() if hasattr(value, "item") else value
    return sp.Float(value, DIGITS)


def elementwise(function, *arrays):
    return np.frompyfunc(function, len(arrays), 1)(*arrays)


def numbers(tensor) -> np.ndarray:
    """A tensor's elements as they are."""
    return elementwise(number, np.array(tensor.tolist(), dtype=object))


class ExactField:
    """The network of fields.TanhField and its Jacobian products, typed by hand."""

    def __init__(self, field) -> None:
        layers = (field.inner.weight, field.inner.bias, field.outer.weight, field.outer.bias)
        self.inner, self.shift, self.outer, self.offset = map(numbers, layers)

    def hidden(self, t, at):
        return elementwise(sp.tanh, at @ self.inner.T + self.shift + sp.sin(3 * t))

    def value(self, t, at):
        return self.hidden(t, at) @ self.outer.T + self.offset

    def tangent(self, t, at, u):
        """J u."""
        slope = 1 - self.hidden(t, at) ** 2
        return (slope * (u @ self.inner.T)) @ self.outer.T

    def transposed(self, t, at, c):
        """J^T c."""
        slope = 1 - self.hidden(t, at) ** 2
        return (slope * (c @ self.outer)) @ self.inner

    def transposed_of_tangent(self, t, at, u, c):
        """The gradient of c . J(h) u by h."""
        y = self.hidden(t, at)
        bend = -2 * y * (1 - y**2)
        return (bend * (c @ self.outer) * (u @ self.inner.T)) @ self.inner


class Evaluation:
    """Values of expressions, given those of the symbols by name.

    States and costates are arrays of shape (samples, features); ``t`` is a number. ``equations``
    are the vector field's: what the network is called with stands in them. A transposed product
    does not say at which point the Jacobian is taken. Where the network is called at a point that
    another of its calls gives, going back meets the outer call first: a product of what holds no
    other product is taken at the outer point, one of what holds a product at the next one. An
    operator is ``tanh(scale*u)``, its scale the value of its name; the loss that of ``fields.LogLoss``.
    """

    def __init__(self, equations, values, field: ExactField) -> None:
        self.equations, self.values, self.field = equations, values, field
        self.known = {}

    @cached_property
    def points(self):
        """The arguments of the network's calls, the outermost call first."""
        calls = {call for e in self.equations for call in calls_of(e, "Field")}
        return [call.args[1:] for call in sorted(calls, key=depth, reverse=True)]

    def __call__(self, expression):
        if expression not in self.known:
            self.known[expression] = self._value(expression)
        return self.known[expression]

    def _value(self, e):
        if e.is_Symbol:
            return self.values[e.name]
        if e.is_Number:
            return e if e.is_Rational else sp.Float(e, DIGITS)
        if e.is_NumberSymbol:
            return e.evalf(DIGITS)
        own = getattr(self, f"_{e.func.__name__}", None)
        if own:
            return own(*e.args)
        return elementwise(MEANING.get(e.func.__name__, e.func), *map(self, e.args))

    def _Add(self, *terms):
        return reduce(np.add, map(self, terms))

    def _Mul(self, *factors):
        return reduce(np.multiply, map(self, factors))

    def _at(self, arguments):
        return np.concatenate([self(a) for a in arguments], axis=-1)

    def _total(self, u):
        return self(u).sum(axis=-1, keepdims=True)

    def _dot(self, u, w):
        return (self(u) * self(w)).sum(axis=-1, keepdims=True)

    def _Field(self, t, *arguments):
        return self.field.value(self(t), self._at(arguments))

    def _Tangent(self, call, direction):
        t, *arguments = call.args
        return self.field.tangent(self(t), self._at(arguments), self(direction))

    def _Oracle(self, name, *arguments):
        scale, u = self.values[str(name)], self(arguments[-1])
        if str(name) != "loss":
            return elementwise(sp.tanh, scale * u)
        each = elementwise(sp.log, 1 + scale * u**2)
        return (2 + sp.sin(self(arguments[0]))) * each.sum(axis=-1, keepdims=True) / 40

    def _FieldTransposed(self, c, by=None):
        if by is not None and by.func.__name__ == "Oracle":
            scale, u = self.values[str(by.args[0])], self(by.args[-1])
            if str(by.args[0]) != "loss":
                return scale * (1 - self(by) ** 2) * self(c)
            slope = (2 + sp.sin(self(by.args[1]))) * scale * u / (1 + scale * u**2) / 20
            return self._total(c) * slope
        if by is not None and by.func.__name__ == "Tangent":
            (t, *arguments), u = by.args[0].args, self(by.args[1])
            at = self._at(arguments)
            return self.field.transposed_of_tangent(self(t), at, u, self(c))
        arguments = self.points[nested_products(c)]
        whole = self.field.transposed(self.values["t"], self._at(arguments), self(c))
        parts = np.split(whole, len(arguments), axis=-1)
        return parts[arguments.index(by) if by is not None else 0]


def calls_of(expression, *names: str) -> set:
    """The calls in it of the functions of these names."""
    return {call for call in expression.atoms(sp.Function) if call.func.__name__ in names}


def depth(expression, name: str = "Field") -> int:
    """How many calls of it are nested."""
    inside = max((depth(a, name) for a in expression.args), default=0)
    return inside + (expression.func.__name__ == name)


def nested_products(expression) -> int:
    """How many transposed products with the network's Jacobian are nested."""
    inside = max((nested_products(a) for a in expression.args), default=0)
    is_one = expression.func.__name__ == "FieldTransposed"
    return inside + (
        is_one and not (expression.args[1:] and calls_of(expression.args[1], "Oracle"))
    )
