"""A random network in closed form, and equations as functions of arrays that may be complex.

Complex arguments give derivatives without a difference: the imaginary part of ``F(x + i*1e-30*u)``
over 1e-30 is the derivative along u to round-off. No rule of differentiation is used that a
derivation could share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from optode.claim.operators import TransposedRate
from optode.claim.verdicts import Jacobian
from optode.language.arrays import ONES, array_function, array_modules, in_full, ones
from optode.language.symbols import Field, Tangent

Array: TypeAlias = NDArray[Any]
TINY = 1e-30
"""The length of a complex step."""


class RandomNetwork:
    """``f(t, x, ...) = W0 tanh(W1 x + ... + w t + b)`` on vectors of ``features`` elements.

    Arrays have shape (features, batch). Where the Jacobian is to be symmetric, ``W0 = W1^T``: f is
    the gradient of a function; where it is to be constant, tanh is left out.
    """

    def __init__(
        self, random: np.random.RandomState, features: int, arguments: int, jacobian: Jacobian
    ) -> None:
        hidden = 2 * features
        self.inner = [random.standard_normal((hidden, features)) * 0.6 for _ in range(arguments)]
        self.outer = random.standard_normal((features, hidden)) * 0.6
        self.clock, self.bias = random.standard_normal((2, hidden, 1))
        self.is_linear = jacobian == "constant"
        if self.is_linear:
            self.outer *= 0.3  # about what tanh would do
        if jacobian == "symmetric":
            self.outer = self.inner[0].T

    def __call__(self, t: Any, *arguments: Array) -> Array:
        """Return ``f(t, x, ...)``."""
        hidden = self._hidden(t, arguments)
        return np.asarray(self.outer @ (hidden if self.is_linear else np.tanh(hidden)))

    def tangent(self, t: Any, *arguments: Array) -> Array:
        """Return the Jacobian product: points, then a direction for each."""
        points, directions = np.split(np.array(np.broadcast_arrays(*arguments)), 2)
        moved = sum(w @ u for w, u in zip(self.inner, directions, strict=True))
        return np.asarray(self.outer @ (self._slope(t, points) * moved))

    def jacobian(self, t: Any, arguments: Iterable[Array], index: int) -> Array:
        """Return ``df/dx_index`` at arguments of shape (features, 1)."""
        return np.asarray(self.outer @ (self._slope(t, arguments) * self.inner[index]))

    def _slope(self, t: Any, arguments: Iterable[Array]) -> Array:
        hidden = self._hidden(t, arguments)
        return np.ones_like(hidden) if self.is_linear else 1 - np.tanh(hidden) ** 2

    def _hidden(self, t: Any, arguments: Iterable[Array]) -> Array:
        moved = sum(w @ x for w, x in zip(self.inner, arguments, strict=True))
        return np.asarray(moved + self.clock * t + self.bias)


def compiled(
    inputs: Sequence[sp.Symbol],
    expressions: Iterable[sp.Expr],
    network: RandomNetwork | None = None,
) -> Callable[..., list[Array]]:
    """Return a function of arrays, shape (features, batch), that gives the values of the expressions.

    Calls of the field are those of the network. Transposed Jacobians are called by name: ``JT_x``
    is among the inputs, and ``JT_x_dot`` for the rate.
    """
    calls = {"field": network, "tangent": network.tangent if network else None}
    opened = [in_full(_opened(sp.sympify(expression))) for expression in expressions]
    run: Callable[..., list[Array]] = array_function(
        (ONES, *inputs), opened, array_modules(0, calls)
    )

    def evaluate(*values: Any) -> list[Array]:
        return run(ones(*(v for v in values if not callable(v))), *values)

    return evaluate


def operator_name(node: sp.Expr) -> str:
    """Return the name of a transposed Jacobian or of its rate."""
    name = "_".join(["JT", *map(str, node.args[1:])])
    return f"{name}_dot" if isinstance(node, TransposedRate) else name


def _opened(expression: sp.Expr) -> sp.Expr:
    """Return the expression with calls of oracles as plain functions of their arguments."""
    if isinstance(expression, Tangent):
        call, direction = expression.args
        along = direction if isinstance(direction, sp.Tuple) else (direction,)
        return _function("tangent")(*map(_opened, (*call.args, *along)))
    if isinstance(expression, Field):
        return _function("field")(*map(_opened, expression.args))
    if expression.func.__name__ in ("FieldTransposed", "TransposedRate"):
        return _function(operator_name(expression))(_opened(expression.args[0]))
    inner = [_opened(argument) for argument in expression.args]
    return expression.func(*inner) if inner else expression


def _function(name: str) -> sp.Function:
    return sp.Function(name, real=True)
