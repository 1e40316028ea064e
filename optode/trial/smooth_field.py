"""Smooth functions of two variables on which derivations are tried out, with exact derivatives.

Neither quadratic nor separable: on a quadratic the third derivatives vanish, on a separable
function every product of vectors commutes with the Hessian, and either would hide a wrong
next-order term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import chain
from typing import TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]


class SmoothField:
    """A map of vectors (each of shape (2,)) to a vector, with its derivatives of every order.

    ``potential`` is the function whose gradient the map is, where there is one.
    """

    def __init__(
        self,
        variables: Sequence[sp.Symbol],
        components: Sequence[sp.Expr],
        potential: sp.Expr | None = None,
    ) -> None:
        self.variables = tuple(variables)
        self.potential = potential
        self._derivatives: dict[int, Callable[..., Sequence[float]]] = {}
        self._tensors: list[list[sp.Expr]] = [list(components)]

    def __call__(self, *points: Array) -> Array:
        """Return the value at a point, given as one vector for each argument."""
        return self.derivative(points)

    def loss(self, *points: Array) -> Array:
        """Return the potential at a point of two components; TypeError where there is none."""
        if self.potential is None:
            raise TypeError("this field is no gradient: it has no loss")
        try:
            return np.array(self._potential(*_joined(points).tolist()))
        except (OverflowError, ValueError):  # far away, or nowhere
            return np.array(np.nan)

    @cached_property
    def _potential(self) -> Callable[..., float]:
        function: Callable[..., float] = sp.lambdify(self.variables, self.potential, "math")
        return function

    def derivative(self, points: Sequence[Array], *directions: Sequence[Array]) -> Array:
        """Return the n-th derivative at a point applied to n directions (for n = 1 the Jacobian product)."""
        tensor = self._tensor(len(directions), _joined(points))
        for direction in directions:
            tensor = tensor @ _joined(direction)
        return tensor

    def _tensor(self, order: int, point: Array) -> Array:
        """Return all partial derivatives of an order, shape (2, n, ..., n) with n variables."""
        if order not in self._derivatives:
            entries = self._entries(order)
            self._derivatives[order] = sp.lambdify(self.variables, entries, "math", cse=True)
        shape = (-1,) + (len(self.variables),) * order
        try:
            values = self._derivatives[order](*point.tolist())
        except (OverflowError, ValueError):  # far away, or nowhere
            return np.full(len(self._entries(order)), np.nan).reshape(shape)
        return np.array(values).reshape(shape)

    def _entries(self, order: int) -> list[sp.Expr]:
        while len(self._tensors) <= order:
            rows = ([e.diff(v) for v in self.variables] for e in self._tensors[-1])
            self._tensors.append(list(chain.from_iterable(rows)))
        return self._tensors[order]


def _joined(vectors: Sequence[Array]) -> Array:
    """Concatenate vectors of two components; a number stands for a vector of two equal components."""
    return np.concatenate([np.broadcast_to(vector, 2) for vector in vectors])


@cache
def optimizer_field() -> SmoothField:
    """Return the gradient of a strongly convex function, its loss; its Hessian is symmetric."""
    x, y = variables = sp.symbols("x y", real=True)
    f = sp.log(sp.cosh(x + y / 2)) + x**4 / 10 + x**2 / 10 + y**2 / 2 + x * y / 5
    bend = sp.tanh(x + y / 2)  # written out: SymPy takes as long to differentiate as a check takes
    slopes = [bend + 2 * x**3 / 5 + x / 5 + y / 5, bend / 2 + y + x / 5]
    return SmoothField(variables, slopes, f)


@cache
def game_field() -> SmoothField:
    """Return a monotone field that is no gradient, as of a game between x and y: it turns.

    What holds on it holds for a network; ``J^T u`` in the place of ``J u`` is told apart.
    """
    x, y = variables = sp.symbols("x y", real=True)
    turning = sp.Matrix([y + y**3 / 5, -x - sp.sin(x) / 2])
    pulling = sp.Matrix([x / 2 + x * y / 5, sp.tanh(y) / 2 + x**2 / 6])
    return SmoothField(variables, list(turning + pulling))
